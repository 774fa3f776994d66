"""Memory or a disk that ran out, in one line: what there was too little of, and what to lower or to free.

Python's own errors of files are told by their number, those of TensorFlow and DuckDB by where they come from and by
their words: to ask a library for its errors would import it.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from configs.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CUT_OFF = re.compile(r"\d+ requested and \d+ written")  # numpy, where a file took only a part of an array
_MEMORY = re.compile("OOM when allocating|out of memory|OUT_OF_MEMORY|failed to allocate", re.IGNORECASE)
_LIBRARIES = ("tensorflow", "duckdb", "_duckdb")
_TENSOR = re.compile(r"shape\s?(\[[\d,]*\]) and type (\w+) on \S*device:(\w+:\d+)")
_LONGEST = 120  # characters of what a library says


class OutOfMemory(UserError):
    """The machine's memory, or the accelerator's, cannot hold what these settings ask for."""


class DiskFull(UserError):
    """Nothing more can be written where results are kept."""


def shortage(error: Exception) -> OutOfMemory | DiskFull | None:
    """The same error in words for a person, where memory or a disk ran out."""
    if isinstance(error, (OutOfMemory, DiskFull)):
        return error
    if _is_full_disk(error):
        return _disk_full(_folder_of(error) or "the disk")
    if not _is_out_of_memory(error):
        return None
    return OutOfMemory(
        f"memory ran out{_asked(str(error))}; lower train.batch, train.negatives, towers.embedding_dim, "
        "towers.query_vectors or towers.history.length for the towers, ranker.batch for the ranker, "
        "baselines.max_items for the baselines; raise trend.bucket for the trends, index.shards for the index"
    )


@contextmanager
def naming_disk(folder: Path) -> Iterator[None]:
    """Within the block a full disk is said to be that of `folder`, where an error does not say itself what it wrote.

    Raises: DiskFull.
    """
    try:
        yield
    except Exception as error:
        if _is_full_disk(error):
            raise _disk_full(_folder_of(error) or folder) from error
        raise


def _disk_full(where: Path | str) -> DiskFull:
    return DiskFull(f"no space left on {where}; free some and run the same command again")


def _folder_of(error: Exception) -> Path | None:
    """Where an error of files says that it wrote."""
    named = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return Path(os.fsdecode(named)).parent if isinstance(named, (str, bytes)) else None


def _is_full_disk(error: Exception) -> bool:
    said = str(error)
    if isinstance(error, OSError) and not isinstance(error, shutil.Error):  # which has the words of many, and no number
        return error.errno in _FULL or _CUT_OFF.fullmatch(said) is not None
    return any(os.strerror(number) in said for number in _FULL)


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    known = type(error).__module__.partition(".")[0] in _LIBRARIES
    return isinstance(error, MemoryError) or (known and _MEMORY.search(str(error)) is not None)


def _asked(said: str) -> str:
    """What memory was asked for, as far as that is said."""
    if tensor := _TENSOR.search(said):
        return ": no room for a tensor of {} {} on {}".format(*tensor.groups())
    line = said.strip().partition("\n")[0]
    return f": {line[:_LONGEST]}{'…' * (len(line) > _LONGEST)}" if line else ""
