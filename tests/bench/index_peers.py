"""The indexes that `make bench-index` compares, each built and searched by its own library.

ScaNN is built in twinspire's layouts, through its Python binding: peers are libraries too. FAISS (Douze et al. 2024)
may be missing. Every library gets as many layouts to choose from, and the same shares of items to score exactly.
"""

from __future__ import annotations

import ctypes
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np

from pipelines.progress import Progress
from serving.searchers.scann import _SAMPLE, Layout
from towers.quiet import quiet

# isort: split
from scann.scann_ops.py import scann_ops_pybind  # brings TensorFlow, after the backend that sets it up

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read while FAISS loads: threads that spin slow a busy machine
if find_spec("faiss") is not None:
    import faiss

OURS, FLAT, FAST_SCAN, GRAPH, BRUTE_FORCE = (
    "ScaNN as twinspire builds it",
    "FAISS IVF-flat",
    "FAISS IVF-PQ fast scan",
    "FAISS HNSW",
    "brute force",
)
FAISS = (FLAT, FAST_SCAN, GRAPH)
_DEPTHS = (1.5, 2, 4, 8, 16, 32)  # items scored exactly, for each one asked for
_LISTS = (1, 2, 4)  # times sqrt(N)
_CODES = (2, 1, 4)  # dimensions that share a 4-bit code, the usual first
_TRAINED = 1 << 18  # items that lists are learned on
_LEAST_TRAINED = 39  # items a list, below which FAISS warns
_GRAPHS = ((32, 128), (16, 64))  # links of an item, and how many candidates are held while it is put in
_STEPS = 25  # in which items are put into a graph, to see how long it will take
_MANY = 1 << 30
_ALL: dict[str, Any] = {"efforts": range(1, 2), "unit": "pass over all items", "queries": 100}

Search = Callable[[np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Index:
    """A built index. `search(queries [Q, D], effort, depth)` gives rows and scores [Q, k] on one thread.

    efforts: from the least to the most, of what `unit` says; recall and time rise with them. depths: how many items may
    be scored exactly, 0 where there is no such choice. queries: how many are asked at most, where each takes long.
    """

    peer: str
    layout: str
    seconds: float
    search: Search
    efforts: range
    unit: str
    depths: tuple[int, ...] = (0,)
    queries: int = _MANY


def scann_indexes(items: np.ndarray, k: int) -> Iterator[Index]:
    """Twinspire's layout for so many items [N, D], and what its tuning tries first from there."""
    usual = Layout.of(len(items))
    layouts = [usual, *(replace(usual, leaves=round(usual.leaves * times)) for times in (2, 0.5) if usual.leaves)]
    if usual.dims:
        layouts += [replace(usual, dims=dims) for dims in (1, 4)]
        if usual.leaves:
            layouts += [replace(usual, leaves=2 * usual.leaves, dims=0, spherical=round_) for round_ in (True, False)]
            layouts += [replace(usual, leaves=2 * usual.leaves, spherical=True)]
    for layout in layouts:
        started = time.perf_counter()
        searcher = scann_index(items, layout)
        spent = time.perf_counter() - started
        yield _scann(searcher, layout, spent, _depths(k, len(items)), k)


def scann_index(items: np.ndarray, layout: Layout) -> scann_ops_pybind.ScannSearcher:
    """What `Scann.build` builds over items [N, D], by the Python binding: a test holds their settings together."""
    builder = scann_ops_pybind.builder(np.asarray(items, np.float32), min(100, len(items)), "dot_product")
    if layout.leaves:
        sample = min(len(items), _SAMPLE)
        tree = {"training_sample_size": sample, "spherical": layout.spherical}
        builder = builder.tree(layout.leaves, math.ceil(layout.leaves / 10), **tree)
    if layout.dims:
        builder = builder.score_ah(layout.dims, anisotropic_quantization_threshold=layout.threshold).reorder(200)
    else:
        builder = builder.score_brute_force()
    quiet(ctypes.CDLL(scann_ops_pybind.scann_pybind.__file__))
    return builder.build()


def _scann(searcher, layout: Layout, seconds: float, depths: tuple[int, ...], k: int) -> Index:
    codes = f"{layout.dims} dimensions a code" if layout.dims else "every item exactly"
    if layout.leaves:

        def search(queries: np.ndarray, effort: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
            return searcher.search_batched(queries, k, depth or None, effort)

        words = f"{layout.leaves:,} leaves{' of unit centres' if layout.spherical else ''}, {codes}"
        depths = depths if layout.dims else (0,)
        return Index(OURS, words, seconds, search, range(1, layout.leaves + 1), "leaves searched", depths)

    def scan(queries: np.ndarray, effort: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
        return searcher.search_batched(queries, k, effort if layout.dims else None)

    efforts = range(min(depths), max(depths) + 1) if layout.dims else range(1, 2)
    return Index(OURS, f"no leaves, {codes}", seconds, scan, efforts, "scored exactly")


def brute_force_indexes(items: np.ndarray, k: int) -> Iterator[Index]:
    """ScaNN's and FAISS's own scoring of all items; a hundred queries are enough to time it."""
    started = time.perf_counter()
    layout = Layout(0, 0, 0.2)
    searcher = scann_index(items, layout)
    spent = time.perf_counter() - started
    yield Index(BRUTE_FORCE, "ScaNN", spent, lambda queries, *_: searcher.search_batched(queries, k), **_ALL)
    if find_spec("faiss") is not None:
        flat, spent = _built(lambda: faiss.IndexFlatIP(items.shape[1]), items)
        yield Index(BRUTE_FORCE, "FAISS", spent, lambda queries, *_: _found(flat, queries, k), **_ALL)


def flat_indexes(items: np.ndarray, k: int) -> Iterator[Index]:
    """FAISS IVF-flat: the items of the lists searched are scored exactly."""
    for lists in dict.fromkeys(_lists(len(items))):
        index, spent = _built(lambda lists=lists: _inverted(faiss.IndexIVFFlat, items, lists), items)
        yield Index(FLAT, f"{lists:,} lists", spent, _probing(index, k), range(1, lists + 1), "lists searched")


def fast_scan_indexes(items: np.ndarray, k: int) -> Iterator[Index]:
    """FAISS IVF-PQ fast scan (André et al. 2015) with exact scores for the best: ScaNN's nearest kin."""
    dimension = items.shape[1]
    usual, other, most = _lists(len(items))
    layouts = [(lists, _CODES[0]) for lists in (other, usual, most)] + [(other, dims) for dims in _CODES[1:]]
    for lists, dims in dict.fromkeys(layouts):  # small catalogues have but one number of lists
        if dimension % dims:  # FAISS has codes of one length alone
            continue
        codes = dimension // dims, 4

        def build(lists: int = lists, codes: tuple[int, int] = codes):
            return faiss.IndexRefineFlat(_inverted(faiss.IndexIVFPQFastScan, items, lists, *codes))

        index, spent = _built(build, items)

        def search(queries: np.ndarray, effort: int, depth: int, index=index) -> tuple[np.ndarray, np.ndarray]:
            probes = faiss.SearchParametersIVF(nprobe=effort)
            asked = faiss.IndexRefineSearchParameters(k_factor=depth / k, base_index_params=probes)
            return _found(index, queries, k, asked)

        words = f"{lists:,} lists, {dims} dimensions a code"
        depths = _depths(k, len(items))
        yield Index(FAST_SCAN, words, spent, search, range(1, lists + 1), "lists searched", depths)


def graph_indexes(items: np.ndarray, k: int, seconds: float, progress: Progress) -> Iterator[Index]:
    """FAISS HNSW (Malkov and Yashunin 2020), of the richer graph that is built in `seconds`; none where neither is.

    By distance, as graphs are meant: where lengths differ, one more dimension makes the largest inner product the
    nearest (Bachrach et al. 2014).
    """
    squares = (items**2).sum(axis=1)
    lacking = np.sqrt(np.maximum(squares.max() - squares, 0))[:, None]
    level = lacking.max() < 0.01 * np.sqrt(squares.max())
    placed = items if level else np.concatenate([items, lacking], axis=1)
    for links, depth in _GRAPHS:
        index = faiss.IndexHNSWFlat(placed.shape[1], links)
        index.hnsw.efConstruction = depth
        words = f"{links} links, built at {depth}"
        with _all_cores():
            spent = _put_in(index, placed, seconds)
        if spent is None:
            progress.say(f"HNSW with {words}: more than {seconds:g} s to build, left off")
            continue

        def search(queries: np.ndarray, effort: int, depth: int, index=index) -> tuple[np.ndarray, np.ndarray]:
            asked = queries if level else np.pad(queries, [(0, 0), (0, 1)])
            return _found(index, asked, k, faiss.SearchParametersHNSW(efSearch=effort))

        yield Index(GRAPH, words, spent, search, range(k, max(k + 1, min(len(items), 4096))), "candidates held")
        return


def _put_in(index, items: np.ndarray, seconds: float) -> float | None:
    """Seconds that it took; None as soon as it would take more than `seconds`."""
    started, step = time.perf_counter(), math.ceil(len(items) / _STEPS)
    for start in range(0, len(items), step):
        index.add(items[start : start + step])
        spent = time.perf_counter() - started
        if spent * len(items) / min(start + step, len(items)) > seconds:
            return None
    return spent


def _inverted(kind, items: np.ndarray, lists: int, *codes: int):
    """An index of FAISS over lists, trained and without items."""
    index = kind(faiss.IndexFlatIP(items.shape[1]), items.shape[1], lists, *codes, faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid = max(_LEAST_TRAINED, _TRAINED // lists)
    index.train(items)
    return index


def _built(make: Callable, items: np.ndarray):
    """An index of FAISS with the items in it, and the seconds that took, on all cores."""
    started = time.perf_counter()
    with _all_cores():
        index = make()
        index.add(items)
    return index, time.perf_counter() - started


def _probing(index, k: int) -> Search:
    return lambda queries, effort, depth: _found(index, queries, k, faiss.SearchParametersIVF(nprobe=effort))


def _found(index, queries: np.ndarray, k: int, asked=None) -> tuple[np.ndarray, np.ndarray]:
    scores, rows = index.search(queries, k, params=asked)
    return rows, scores


@contextmanager
def _all_cores() -> Iterator[None]:
    faiss.omp_set_num_threads(os.cpu_count() or 1)
    yield
    faiss.omp_set_num_threads(1)


def _lists(size: int) -> list[int]:
    return [max(1, min(round(times * math.sqrt(size)), size // _LEAST_TRAINED)) for times in _LISTS]


def _depths(k: int, size: int) -> tuple[int, ...]:
    return tuple(sorted({min(round(times * k), size) for times in _DEPTHS}))
