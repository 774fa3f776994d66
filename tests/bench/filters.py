"""`make bench-filters`: search under filters that leave a half, a tenth, a hundredth and a thousandth of the items, and
that leave a tenth far from what the query likes; recall against brute force over the survivors, and the time of a
query in the graph beside exact search of all items. Searchers are tuned to a recall first, as those that are served
are. One thread, clustered unit vectors, one process.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Iterator

import numpy as np

from pipelines.index.growth import KEPT, fit_growth
from pipelines.index.overlap import overlap_by_row
from pipelines.index.tuning import Goal, tune
from serving.filters import Filters, codes
from serving.retrieval import Asked, Retrieval
from serving.searchers import build_searcher
from tests.bench.harness import Row, bench
from tests.bench.vectors import clustered, near
from towers.backend import tf, traced

K, QUERIES = 100, 200
RECALL, TUNING, BUILDS = 0.979, 1_000, 2  # tuned to, on other queries, in at most so many layouts
TURN = 20  # queries asked in a row, before exact search is asked the same: other work slows both alike
SHARES = (0.5, 0.1, 0.01, 0.001)
FAR = "a tenth, none near the query"


def measure(items: int) -> Iterator[Row]:
    """Rows of every searcher under every filter."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    rng = np.random.default_rng(0)
    vectors, cluster = clustered(rng, items)
    own = rng.integers(0, items, QUERIES)
    queries, others = near(rng, vectors[own]), near(rng, vectors[rng.integers(0, items, TUNING)])
    texts = {f"{share:g}": np.where(rng.random(items) < share, "in", "out") for share in SHARES}
    region = (cluster % 10).astype(str)
    filters = Filters(texts | {"region": region})
    far = ((cluster[own] + 5) % 10).astype(str)
    asked: dict[str, tuple[dict[str, list[str]], np.ndarray]] = {"no filter": ({}, np.ones((1, items), bool))}
    for share in SHARES:
        asked[f"{share:g} of the items"] = ({f"{share:g}": ["in"] * QUERIES}, (texts[f"{share:g}"] == "in")[None])
    asked[FAR] = ({"region": list(far)}, far[:, None] == region[None])
    truth = {name: brute_force(queries, vectors, kept) for name, (_, kept) in asked.items()}
    everything = searched(build_searcher("exact", vectors), vectors, Filters({}))
    for kind in ("scann", "ivf"):
        started = time.perf_counter()
        searcher, tuned = tune(kind, vectors, others, Goal(K, RECALL), BUILDS, lambda: None)
        fit_growth(searcher, vectors, others[::2], K)
        chosen = f"recall {tuned.held_out.mean:.4f}, {searcher.layout}, {searcher.effort}"
        yield Row(f"{kind}: built and tuned", time.perf_counter() - started, "s", chosen)
        graph, plain = searched(searcher, vectors, filters), 0.0
        for name, (values, _) in asked.items():
            spent, exact, found = seconds(graph, everything, queries, codes_of(filters, values))
            recall = float(overlap_by_row(found, truth[name]).mean())
            plain = plain if values else recall
            yield Row(
                f"{kind}, {name}: recall@{K}", recall, "", "", f"at least {plain:.3f} - {KEPT}", recall >= plain - KEPT
            )
            yield Row(
                f"{kind}, {name}",
                1e6 * spent,
                "microseconds",
                f"{spent / exact:.3f} of exact, {1e6 * exact:,.0f}; {items:,} items, {QUERIES} queries",
                "under exact",
                spent < exact,
            )
        del searcher, graph
        gc.collect()


def brute_force(queries: np.ndarray, vectors: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Rows of the K best of those kept [1 or Q, N], -1 where there are fewer."""
    found = np.full((len(queries), K), -1)
    for row, query in enumerate(queries):
        allowed = np.flatnonzero(kept[row if len(kept) > 1 else 0])
        scores = vectors[allowed] @ query
        best = np.argsort(-scores, kind="stable")[:K]
        found[row, : len(best)] = allowed[best]
    return found


def searched(searcher, vectors: np.ndarray, filters: Filters):
    """Retrieval by a searcher as a graph of query, seen and wanted."""
    empty = np.zeros((len(vectors), 0), np.float32)
    of = Retrieval(searcher, np.arange(len(vectors)), vectors, empty, empty, filters, np.zeros(0, np.float32))

    @traced(reduce_retracing=True)
    def best(query: tf.Tensor, wanted: dict[str, tf.Tensor]) -> tf.Tensor:
        return of.best(Asked(query, tf.zeros([1, 0], tf.int32), wanted), tf.constant(K))[0]

    return best


def codes_of(filters: Filters, values: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """Codes of what each query wants of every filter, [Q, 1]."""
    none = [""] * QUERIES
    return {name: codes(tf.constant(values.get(name, none)))[:, None].numpy() for name in filters.names}


def seconds(graph, exact, queries: np.ndarray, wanted: dict[str, np.ndarray]) -> tuple[float, float, np.ndarray]:
    """Median time of one query, and of exact search for it, by turns of `TURN` queries; and what each finds."""
    spent, beside, found = [], [], []
    for start in range(0, len(queries), TURN):
        turn = range(start, min(start + TURN, len(queries)))
        asked = [{name: tf.constant(value[row][None]) for name, value in wanted.items()} for row in turn]
        each = [tf.constant(queries[row][None]) for row in turn]
        times, rows = timed(graph, each, asked)
        spent.extend(times)
        found.extend(rows)
        beside.extend(timed(exact, each, [{}] * len(turn))[0])
    return float(np.median(spent)), float(np.median(beside)), np.stack(found)


def timed(graph, queries: list[tf.Tensor], wanted: list[dict[str, tf.Tensor]]) -> tuple[list[float], list[np.ndarray]]:
    """The time of each query and what it finds; the first is asked once more, before, to warm up."""
    graph(queries[0], wanted[0])
    spent, found = [], []
    for query, asked in zip(queries, wanted, strict=True):
        started = time.perf_counter()
        rows = graph(query, asked)
        spent.append(time.perf_counter() - started)
        found.append(rows.numpy()[0])
    return spent, found


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=1_000_000)
    items = parser.parse_args().items
    bench("filters", lambda: list(measure(items)))
