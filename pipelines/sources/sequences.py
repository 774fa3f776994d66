"""Published sequence files: text without a header, a query and what it took on every line, in the order taken.

`user item` a line (SASRec and those that follow it) or `user item item ...` (S3-Rec and those that follow it), between
spaces or tabs, also mixed; the events of a query follow one another as they do in the file, wherever its lines are.

Such a file holds no clock, not even an order between the events of two queries. The one axis there is: `position`, how
many events the query had before. It orders each query's own events, which is all that leave_last_out and the history
encoders ask for (the latest item lies one step back, as it should). Anything that counts all queries' events up to a
moment counts them up to a position instead: a recent window holds what long histories took late, which is no trend.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from configs.errors import DataError
from configs.schema import Config
from pipelines.sources.base import RawTables, listing

_BLOCK = 1 << 26  # bytes read at a time: a line has to fit
_SPACE, _BETWEEN = " \t\r", "[ \t]+"
_DELIMITER = "\x1f"  # stands in no text, so that every line is one column
_GZIP = b"\x1f\x8b"
_NUMBER_OR_DATE = r"^-?[0-9][0-9.:TZ+-]*$"
_EXPECTED = "expected UTF-8 text with `user item` or `user item item ...` on each line"


def paths(config: Config) -> list[Path]:
    """The one file: `data.path`, or `data.events.path` in that folder. Raises: DataError."""
    where = Path(config.data.path or ".")
    file = where if where.is_file() else where / (config.data.events.path or "")
    if not file.is_file():
        around = file if file.is_dir() else file.parent
        raise DataError(
            f"data.path: no file at {file}; expected a file of sequences, or a folder that holds data.events.path = "
            f"{config.data.events.path!r}; found in {around}: {listing(around)}"
        )
    return [file]


def read(config: Config, backend: Any) -> RawTables:
    """events(query, item, position, line): ids as text, the rest int64, lines counted from 1.

    A line without an item gives one event without one, an empty line one without a query either: both are then
    quarantined. Raises: DataError.
    """
    (file,) = paths(config)
    lines = _lines(file)
    _refuse_ratings(file, lines)
    events = ibis.memtable(_events(lines))
    return RawTables(
        backend.create_table(ibis.util.gen_name("events"), events, temp=True), origins={"events": str(file)}
    )


def _lines(file: Path) -> pa.Array:
    try:
        table = csv.read_csv(
            file,
            csv.ReadOptions(column_names=["line"], block_size=_BLOCK),
            csv.ParseOptions(delimiter=_DELIMITER, quote_char=False, ignore_empty_lines=False),
            csv.ConvertOptions(column_types={"line": pa.string()}, strings_can_be_null=False),
        )
    except pa.ArrowInvalid:  # whose words show what the file holds, to a terminal that may obey it
        raise DataError(f"data.path: {file} {_why_unread(file)}; {_EXPECTED}") from None
    return table["line"].combine_chunks()


def _why_unread(file: Path) -> str:
    with file.open("rb") as stream:
        if stream.peek(2)[:2] == _GZIP:
            return "is compressed; unpack it, or let its name end in .gz"
        number = 0
        for number, line in enumerate(stream, 1):
            try:
                text = line.decode()
            except UnicodeDecodeError:
                return f"is no UTF-8 text in line {number:,}"
            if _DELIMITER in text:
                return f"holds a control character (0x{ord(_DELIMITER):02X}) in line {number:,}"
    return f"has a line of more than {_BLOCK >> 20} MiB" if number else "is empty"


def _refuse_ratings(file: Path, lines: pa.Array) -> None:
    """Ratings and times would pass for items. Raises: DataError.

    Sequences that a query takes come in all lengths, mostly on one line each; a table has as many columns in every line
    and a line for every event.
    """
    trimmed = pc.utf8_trim(lines, _SPACE)
    there = trimmed.filter(pc.not_equal(trimmed, ""))
    columns = pc.unique(pc.count_substring_regex(there, _BETWEEN)).to_pylist()
    if columns not in ([2], [3]):
        return
    tokens = pc.split_pattern_regex(there, _BETWEEN)
    queries = pc.count_distinct(pc.list_element(tokens, 0)).as_py()
    third = pc.list_element(tokens, 2)[1:]  # the first may be a header
    if queries < len(there) and pc.all(pc.match_substring_regex(third, _NUMBER_OR_DATE)).as_py():
        raise DataError(
            f"data.path: {file} looks like a table of user, item, rating or time: found {columns[0] + 1} words on each "
            f"of its {len(there):,} lines, the third a number, and the first {queries:,} different ones; {_EXPECTED}, "
            'or a CSV file with a header and data.source = "tables"'
        )


def _events(lines: pa.Array) -> pa.Table:
    tokens = pc.split_pattern_regex(pc.utf8_trim(lines, _SPACE), _BETWEEN)
    lengths, ids = pc.list_value_length(tokens).to_numpy(), tokens.flatten()
    starts = np.cumsum(lengths) - lengths
    counts = np.maximum(lengths - 1, 1)  # a line without items says one thing: that there is none
    line = np.repeat(np.arange(len(lines)), counts)
    within = np.arange(len(line)) - np.repeat(np.cumsum(counts) - counts, counts)
    query = ids.take(starts[line])
    there = lengths[line] > 1
    item = ids.take(pa.array(starts[line] + 1 + within, mask=~there))
    return pa.table({"query": query, "item": item, "position": _positions(query), "line": line + 1})


def _positions(query: pa.Array) -> np.ndarray:
    """How often each value stands before its own place, [n] int64."""
    code = query.dictionary_encode().indices.to_numpy()
    order = np.argsort(code, kind="stable")
    counts = np.bincount(code)
    position = np.empty(len(code), np.int64)
    position[order] = np.arange(len(code)) - np.repeat(np.cumsum(counts) - counts, counts)
    return position
