"""Search inside an exported graph, through the C loader, beside ScaNN's own binding: a part of `make bench-index`.

`python -m tests.bench.index_graph export FOLDER ITEMS` tunes ScaNN and the inverted file of core operations to a
recall and exports both and exact search, each as a SavedModel; `... ask FOLDER` then loads them as a server does and
asks one query a call, each by turns, on one thread. Both print, `ask` rows as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.index.overlap import overlap_by_row
from pipelines.index.truth import best_rows
from pipelines.progress import Progress
from serving.runtime import Session, libraries_of, signature_table
from tests.bench.harness import Row
from tests.bench.index_parts import ONE_THREAD, tell
from tests.bench.vectors import clustered, near

K, RECALL, BUILDS = 100, 0.978, 3
TUNING, CALLS, WARM, ROUNDS = 1_000, 300, 30, 3
OVERHEAD, BEHIND = 1.5, 3.0  # times ScaNN's binding, times ScaNN in the graph
KINDS = {"scann": "ScaNN", "ivf": "core-ops IVF", "exact": "matmul and top_k"}
_SIGNATURE, _VECTORS, _CHOSEN = "search", "vectors.npz", "chosen.json"

Ask = Callable[[np.ndarray], np.ndarray]


def export(folder: Path, items: int, progress: Progress) -> None:
    """Tune, then write a SavedModel for each kind, what was chosen, and the vectors."""
    from towers.backend import tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    rng = np.random.default_rng(0)
    vectors, _ = clustered(rng, items)
    queries = near(rng, vectors[rng.integers(0, items, TUNING + CALLS)])
    truth = best_rows(queries, vectors, K)
    np.savez(folder / _VECTORS, items=vectors, queries=queries[TUNING:], truth=truth[TUNING:])
    chosen = {}
    for kind in KINDS:
        searcher = _tuned(kind, vectors, queries[:TUNING], truth[:TUNING], progress)
        _save(searcher, folder / kind, vectors.shape[1])
        chosen[kind] = {"layout": _numbers(searcher.layout), "effort": _numbers(searcher.effort)}
        chosen[kind]["signatures"] = signature_table(folder / kind)
        progress.say(f"graph: {kind} exported, {chosen[kind]['layout']} {chosen[kind]['effort']}")
    (folder / _CHOSEN).write_text(json.dumps(chosen))


def _tuned(kind: str, vectors: np.ndarray, queries: np.ndarray, truth: np.ndarray, progress: Progress):
    """The layout and depth that reach the recall quickest, as the index stage finds them, and of the leaves no more
    than the recall needs on average: recall is then as equal as whole leaves allow."""
    from pipelines.candidates import search
    from pipelines.index.tuning import Goal, tune

    searcher, _ = tune(
        kind, vectors, queries, Goal(K, RECALL), BUILDS, partial(progress.say, f"graph: {kind}, a layout")
    )
    if searcher.effort is None:
        return searcher
    number = "leaves" if searcher.effort.leaves else "reorder"  # without a tree, what is scored exactly
    low, high, effort = 1, getattr(searcher.effort, number), searcher.effort
    while low < high:
        middle = (low + high) // 2
        searcher.effort = replace(effort, **{number: middle})
        reached = overlap_by_row(search(searcher, queries, K)[1], truth).mean() >= RECALL
        low, high = (low, middle) if reached else (middle + 1, high)
    searcher.effort = replace(effort, **{number: low})
    return searcher


def _save(searcher, folder: Path, dimension: int) -> None:
    from towers.backend import tf, traced

    class Searched(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.searcher = searcher

        @traced(
            input_signature=[tf.TensorSpec([None, dimension], tf.float32, "queries"), tf.TensorSpec([], tf.int32, "k")]
        )
        def search(self, queries, k):
            scores, rows = self.searcher.search(queries, k)
            return {"scores": scores, "rows": rows}

    module = Searched()
    tf.saved_model.save(module, str(folder), {_SIGNATURE: module.search})


def _numbers(choice: Any) -> dict[str, Any]:
    return {} if choice is None else asdict(choice)


def ask(folder: Path) -> Iterator[Row]:
    """Rows of what each takes for a query and what it finds; one thread."""
    chosen = json.loads((folder / _CHOSEN).read_text())
    with np.load(folder / _VECTORS) as saved:
        items, queries, truth = saved["items"], saved["queries"], saved["truth"]
    library, asks = "ScaNN's binding", {}
    for kind, words in KINDS.items():
        asks[f"{words} in the graph"] = _session(folder, chosen, kind)
    asks[library] = _binding(
        items, chosen["scann"]
    )  # after the sessions: the first one of a process says how many threads
    what = f"{len(items):,} x {items.shape[1]}, k = {K}, one query a call"
    spent, found, busy = _by_turns(asks, queries)
    scann, ivf, exact = (f"{words} in the graph" for words in KINDS.values())
    settings = {library: chosen["scann"], scann: chosen["scann"], ivf: chosen["ivf"], exact: {}}
    for name in settings:
        recall = overlap_by_row(found[name], truth).mean()
        numbers = settings[name].get("layout", {}), settings[name].get("effort", {})
        layout, effort = (", ".join(f"{name} {value}" for name, value in part.items()) for part in numbers)
        reference = f"recall {recall:.4f}; layout: {layout}; effort: {effort}" if layout else f"recall {recall:.4f}"
        yield Row(f"{what}: {name}", 1000 * spent[name], "ms", reference)
    ratio = spent[scann] / spent[library]
    yield Row("ScaNN in the graph / its binding", ratio, "times", what, f"under {OVERHEAD}", ratio < OVERHEAD)
    ratio = spent[ivf] / spent[scann]
    yield Row("core-ops IVF / ScaNN, both in the graph", ratio, "times", what, f"at most {BEHIND:g}", ratio <= BEHIND)
    reference = f"{len(queries)} calls of each, {ROUNDS} times by turns"
    yield Row("in the graph: cores at work", busy, "", reference, f"at most {ONE_THREAD}", busy <= ONE_THREAD)


def _session(folder: Path, chosen: dict[str, Any], kind: str) -> Ask:
    session = Session(folder / kind, chosen[kind]["signatures"], op_libraries=libraries_of(kind), threads=1)
    return lambda query: session.run(_SIGNATURE, {"queries": query[None], "k": np.int32(K)})["rows"][0]


def _binding(items: np.ndarray, chosen: dict[str, Any]) -> Ask:
    from serving.searchers.scann import Layout
    from tests.bench.index_peers import scann_index

    searcher, effort = scann_index(items, Layout(**chosen["layout"])), chosen["effort"]
    leaves = effort["leaves"] or -1  # none: ScaNN's word for "as built"
    return lambda query: searcher.search(query, K, effort["reorder"], leaves)[0]


def _by_turns(asks: dict[str, Ask], queries: np.ndarray) -> tuple[dict[str, float], dict[str, np.ndarray], float]:
    """Median seconds of a call, the rows that each finds [Q, K], and seconds of the processors in a second."""
    medians: dict[str, list[float]] = {name: [] for name in asks}
    found: dict[str, np.ndarray] = {}
    started, used = time.perf_counter(), time.process_time()
    for _ in range(ROUNDS):
        for name, one in asks.items():
            for query in queries[:WARM]:
                one(query)
            spent, rows = zip(*(_clock(one, query) for query in queries), strict=True)
            medians[name].append(statistics.median(spent))
            found[name] = np.stack(rows).astype(np.int64)
    busy = (time.process_time() - used) / (time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in medians.items()}, found, busy


def _clock(one: Ask, query: np.ndarray) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    rows = one(query)
    return time.perf_counter() - started, rows


def main(step: str, folder: str, items: str = "") -> None:
    """One of the two steps."""
    if step == "export":
        export(Path(folder), int(items), Progress())
        return
    for row in ask(Path(folder)):
        tell(row)


if __name__ == "__main__":
    main(*sys.argv[1:])
