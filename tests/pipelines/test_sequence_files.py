"""Sequence files: both layouts give the same events, what is wrong is set aside, and published ones are read whole."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import DataError
from configs.load import builtin, load
from configs.schema import Config
from pipelines.dataset import load_dataset
from pipelines.evaluation.results import load_results
from pipelines.prepare import prepare
from pipelines.progress import Progress
from pipelines.run import open_run, report_run, run_until
from pipelines.sources import fingerprint, read
from pipelines.sources.sequences import _events as events_of
from pipelines.train import FOR_RANKER, REFITTED, SELECTED
from towers.backend import tf

COLUMNS = ["query", "item", "position"]


def config(place: Path, *overrides: str) -> Config:
    small = "gate.k=1", "gate.list_k=1", "index.candidates=1", "rerank.pool=1"
    return load(builtin("ml-1m-sequences"), [f"data.path={place}", *small, *overrides])


def events(place: Path) -> list[tuple[Any, ...]]:
    frame = read(config(place), ibis.duckdb.connect()).events.to_pyarrow().to_pandas()
    return list(frame[COLUMNS].itertuples(index=False, name=None))


def written(folder: Path, text: str) -> Path:
    (folder / "s.txt").write_bytes(text.encode())
    return folder / "s.txt"


def test_both_layouts_by_hand(tmp_path: Path) -> None:
    expected = [("u1", "a", 0), ("u1", "b", 1), ("u2", "a", 0), ("u1", "007", 2)]
    assert events(written(tmp_path, "u1 a\nu1 b\nu2 a\nu1 007\n")) == expected
    assert events(written(tmp_path, "u1 a b\nu2\ta\nu1  \t 007")) == expected
    assert events(written(tmp_path, " u1 a b \r\nu2 a\r\nu1 007\r\n")) == expected


@given(st.lists(st.tuples(st.integers(0, 4), st.lists(st.integers(0, 9), min_size=1, max_size=5)), min_size=1))
@settings(deadline=None)
def test_a_naive_reading_gives_the_same(lines: list[tuple[int, list[int]]]) -> None:
    text = [f"{query} {' '.join(map(str, items))}" for query, items in lines]
    expected, before = [], dict.fromkeys(range(5), 0)
    for query, items in lines:
        for item in items:
            expected.append((str(query), str(item), before[query]))
            before[query] += 1
    found = events_of(pa.array(text)).select(COLUMNS).to_pylist()
    assert [tuple(row.values()) for row in found] == expected


def test_bad_lines_are_set_aside_with_their_number(tmp_path: Path) -> None:
    place = written(tmp_path, "1 2\n\n1\n1 3\n2 2 3 4\n \n")
    summary = prepare(config(place), tmp_path / "out")
    account = summary.tables["events"]
    assert (account.rows, account.kept) == (8, 5)
    assert account.quarantined == {"no item id": 1, "no query id": 2}
    records = pd.read_parquet(tmp_path / "out" / "quarantine.parquet")["record"].tolist()
    assert [f'"line":{line}' in record for line, record in zip((2, 3, 6), records, strict=True)] == [True] * 3


def test_a_file_without_any_sequence_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no usable row in .*s\.txt \(left out: no item id: 2\)"):
        prepare(config(written(tmp_path, "1,2\n1,3\n")), tmp_path / "out")


def test_a_missing_file_is_named_with_what_is_there(tmp_path: Path) -> None:
    written(tmp_path, "1 2\n")
    with pytest.raises(DataError, match=r"no file at .*ml-1m\.txt; expected a file of sequences.*: s\.txt"):
        events(tmp_path)
    assert fingerprint(config(tmp_path, "data.events.path=s.txt")) == fingerprint(config(tmp_path / "s.txt"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"1 2\n\xff\xfe 1\n1 2\n", "is no UTF-8 text in line 2"),
        (b"1 2\n1\x1f\x1b[31m 3\n", "holds a control character (0x1F) in line 2"),
        (gzip.compress(b"1 2\n" * 99, mtime=0), "is compressed; unpack it, or let its name end in .gz"),
    ],
)
def test_what_is_no_text_is_one_line_that_does_not_show_it(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "s.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"s\.txt") as raised:
        prepare(config(tmp_path / "s.txt"), tmp_path / "out")
    assert f"s.txt {why}; expected UTF-8 text with `user item`" in str(raised.value)
    assert str(raised.value).isprintable()


def test_a_compressed_file_is_read_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "s.txt.gz").write_bytes(gzip.compress(b"u a b\n"))
    assert events(tmp_path / "s.txt.gz") == [("u", "a", 0), ("u", "b", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "1 10 5 978300760\n1 11 3 978302109\n2 10 4 978301968\n",
        "1\t10\t4.5\n2\t10\t3\n1\t12\t1\n\n",
        "user item rating time\nu a 5 2024-01-01\nu b 4 2024-01-02T10:00:00Z\n",
    ],
)
def test_a_table_of_ratings_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"s\.txt looks like a table of user, item, rating or time: found [34] words"):
        prepare(config(written(tmp_path, text)), tmp_path / "out")


@pytest.mark.parametrize("text", ["1 2 3\n2 3 4\n", "1 2 3\n1 4 5 6\n2 3 4\n", "u a b\nu c d\n", "1 2\n1 3\n2 4\n"])
def test_sequences_of_few_items_are_none(tmp_path: Path, text: str) -> None:
    expected = sum(len(line.split()) - 1 for line in text.splitlines())
    assert len(events(written(tmp_path, text))) == expected


def test_the_last_event_is_judged_with_the_one_before_in_the_history(tmp_path: Path) -> None:
    asked = config(written(tmp_path, "u a b c d\nv b c a\nw d\nx c a\n"))
    prepare(asked, tmp_path / "out")
    dataset = load_dataset(asked, tmp_path / "out")
    items, names = dataset.tables.items["item"], dataset.tables.queries["query"]

    def of(requests: Any) -> dict[str, tuple[list[str], list[str]]]:
        rows = range(len(requests))
        return {
            names[requests.query[row]]: (
                items[requests.history[row]].tolist(),
                items[requests.targets[row]].tolist(),
            )
            for row in rows
        }

    assert of(dataset.test_requests) == {"u": (["a", "b", "c"], ["d"]), "v": (["b", "c"], ["a"]), "x": (["c"], ["a"])}
    assert of(dataset.validation_requests) == {"u": (["a", "b"], ["c"]), "v": (["b"], ["c"])}
    assert dataset.test_requests.time.tolist() == [3, 2, 1]
    cuts = dataset.cuts
    assert cuts.for_ranker == (cuts.validation, cuts.ranker)
    assert np.bincount(cuts.window, minlength=4).tolist() == [5, 2, 0, 3]  # a first event is never held out


@pytest.mark.slow
def test_a_run_on_a_sequence_file_ranks_and_its_ranker_is_chosen_on_the_selected_towers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    taken = [rng.permutation(np.arange(user % 3, 60, 3))[:12] for user in range(90)]
    text = "".join(f"u{user} {' '.join(f'i{item}' for item in items)}\n" for user, items in enumerate(taken))
    small = ("towers.embedding_dim=8", "towers.hidden=[16]", "towers.history.length=12", "train.max_epochs=6")
    quick = (
        "train.learning_rate=0.02",
        "train.batch=256",
        "train.average=0",
        "ranker.max_epochs=1",
        "baselines.trials=1",
    )
    sizes = ("gate.k=10", "gate.list_k=5", "index.candidates=20", "rerank.pool=20")
    asked = load(builtin("ml-1m-sequences"), [f"data.path={written(tmp_path, text)}", *small, *quick, *sizes])
    work = open_run(asked, tmp_path / "runs")
    assert run_until(work, "rank", Progress(quiet=True)).is_dir()
    selected, ranker, refitted = (_weights(work.results["train"] / which) for which in (SELECTED, FOR_RANKER, REFITTED))
    assert selected.keys() == ranker.keys()
    assert all(np.array_equal(selected[name], ranker[name]) for name in selected)
    assert not all(np.array_equal(selected[name], refitted[name]) for name in selected)
    recall = load_results(work.results["gate"] / "results.npz")["towers"].metrics["recall@10"]
    assert set(np.unique(recall)) <= {0.0, 1.0}  # one target: recall is the hit rate
    assert recall.mean() > 2 * 10 / 49  # of all that is not seen, and a third of it is of the right kind
    report = report_run(work, Progress(quiet=True)).read_text()
    assert "the ranker learns on what the towers retrieve" in report


def _weights(folder: Path) -> dict[str, np.ndarray]:
    saved = tf.train.load_checkpoint(str(folder / "best" / "weights"))
    return {name: saved.get_tensor(name) for name in saved.get_variable_to_shape_map() if "/" in name}


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "folder", "events", "queries", "items"),
    [
        pytest.param("ml-1m-sequences", "ml-1m-sequences", 999_611, 6_040, 3_416, marks=pytest.mark.slow),
        ("amazon-beauty", "amazon-beauty", 198_502, 22_363, 12_101),
    ],
)
def test_published_files_are_read_whole(
    shared_data: Path, tmp_path: Path, name: str, folder: str, events: int, queries: int, items: int
) -> None:
    asked = load(builtin(name), [f"data.path={shared_data / folder}"])
    summary = prepare(asked, tmp_path)
    assert (summary.events, summary.queries, summary.items) == (events, queries, items)
    assert summary.tables["events"].quarantined == {}
    requests = load_dataset(asked, tmp_path).test_requests
    assert len(requests) == queries
    assert (requests.targets.lengths == 1).all()
    asked_for = np.arange(len(requests)) * items + requests.targets.values
    assert not np.isin(asked_for, requests.history.rows * items + requests.history.values).any()  # nothing is filtered
