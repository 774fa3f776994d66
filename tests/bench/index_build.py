"""What building an index takes, by size: a part of `make bench-index`.

`python -m tests.bench.index_build KIND ITEMS SHARDS` builds, searches and saves one index in a process of its own, so
that its peak of memory can be read, and prints what it took as JSON, a line for each step that is done.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from configs.errors import UserError
from pipelines.index.overlap import overlap_by_row
from pipelines.index.truth import best_rows
from pipelines.progress import Progress
from tests.bench.harness import Row
from tests.bench.index_parts import PartFailed, lines_of
from tests.bench.tradeoff import exponent
from tests.bench.vectors import DIMENSION, clustered, near

SIZES = (100_000, 1_000_000, 5_000_000, 10_000_000)
KINDS = {"scann": sys.maxsize, "ivf": 1_000_000}  # up to which size
SHARDS = 8  # of the largest index, once more
K, QUERIES = 100, 200
STEEPEST, MOST = 1.15, 16.0  # exponent; GB for the largest of SIZES
_GB = 1e9
_VECTORS = 4 * DIMENSION  # bytes of an item
_COPIES = 2  # of the vectors that a build holds at least: its input, and its own


@dataclass
class Built:
    """What a process told: seconds of a build, bytes, peak of memory in bytes, and so on; or why it did not."""

    figures: dict[str, float] = field(default_factory=dict)
    reason: str = ""


def measure(sizes: Sequence[int], progress: Progress) -> Iterator[Row]:
    """Rows of every kind at every size up to its own."""
    for kind, largest in KINDS.items():
        seconds: dict[int, float] = {}
        for size in sorted(size for size in sizes if size <= largest):
            progress.say(f"build: {kind}, {size:,} items")
            built = _built(kind, size)
            if "seconds" in built.figures:
                seconds[size] = built.figures["seconds"]
            yield from _rows(kind, size, built)
            if size == max(SIZES):
                progress.say(f"build: {kind}, {size:,} items in {SHARDS} shards")
                yield from _rows(f"{kind} in {SHARDS} shards", size, _built(kind, size, SHARDS))
        if len(seconds) > 1:
            steepness = exponent([*seconds], [*seconds.values()])
            reference = f"fitted to {len(seconds)} sizes, {min(seconds):,} to {max(seconds):,}, all cores"
            goal = (f"at most {STEEPEST:g}", steepness <= STEEPEST) if kind == "scann" else ("", None)
            yield Row(f"{kind}: build time grows with size to the power", steepness, "", reference, *goal)


def _built(kind: str, size: int, shards: int = 1) -> Built:
    built = Built()
    try:
        for line in lines_of("tests.bench.index_build", kind, size, shards):
            built.reason = line.pop("refused", "")
            built.figures |= line
    except PartFailed as failed:
        built.reason = str(failed)
    return built


def _rows(kind: str, size: int, built: Built) -> Iterator[Row]:
    what, told = f"{kind}, {size:,} x {DIMENSION}", built.figures
    if "seconds" in told:
        yield Row(f"{what}: build", told["seconds"], "s", f"all cores; {1e6 * told['seconds'] / size:.1f} us an item")
    if "nbytes" in told:
        yield Row(
            f"{what}: bytes", told["nbytes"] / size, "an item", f"{told['nbytes'] / _GB:.3f} GB; vectors {_VECTORS}"
        )
    if "search" in told:
        reference = (
            f"recall {told['recall']:.4f} at the effort it is built with, {QUERIES} queries at a time, all cores"
        )
        yield Row(f"{what}: search, k = {K}", 1e3 * told["search"] / QUERIES, "ms a query", reference)
    if "file" in told:
        reference = f"in {told['saved']:.1f} s"
        yield Row(f"{what}: saved", told["file"] / _GB, "GB", reference)
    if "peak" in told:
        peak, held = told["peak"] / _GB, "the vectors handed over among it"
        largest = size == max(SIZES)
        goal = (f"under {MOST:g}", peak < MOST) if largest else ("", None)
        yield Row(f"{what}: peak of memory", peak, "GB", f"{held}, {size * _VECTORS / _GB:.2f} GB", *goal)
    if built.reason:
        given = f"; it was given {told['room'] / _GB:.1f} GB of memory" if "room" in told else ""
        yield Row(f"{what}: not done", 0, "", built.reason + given, "built, searched and saved", False)


def build(kind: str, size: int, shards: int, tell: Callable[[dict[str, Any]], None]) -> None:
    """Build, search and save, and tell of each."""
    memory, disk = _room()
    if reason := refusal(size, memory, disk):
        tell({"refused": reason})
        return
    _no_more_than(memory)
    tell({"room": memory})
    from serving.searchers import build_searcher, save_searcher, sharded_layout
    from towers.backend import tf

    rng = np.random.default_rng(0)
    vectors, _ = clustered(rng, size)
    queries = near(rng, vectors[rng.integers(0, size, QUERIES)])
    started = time.perf_counter()
    try:
        searcher = build_searcher(kind, vectors, sharded_layout(kind, size, shards))
    except UserError as refused:
        tell({"refused": str(refused)})
        return
    tell({"seconds": time.perf_counter() - started, "nbytes": searcher.nbytes, "peak": _peak()})
    asked = tf.constant(queries)
    searcher.search(asked, tf.constant(K))  # traced, and its tables made
    started = time.perf_counter()
    found = searcher.search(asked, tf.constant(K))[1].numpy()
    spent = time.perf_counter() - started
    peak = _peak()  # before exact search, which is not the index's
    tell({"search": spent, "recall": float(overlap_by_row(found, best_rows(queries, vectors, K)).mean()), "peak": peak})
    del vectors
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "searcher.npz"
        started = time.perf_counter()
        save_searcher(searcher, path)
        spent = time.perf_counter() - started
        tell({"saved": spent, "file": path.stat().st_size, "peak": max(peak, _peak())})


def refusal(size: int, memory: int, disk: int) -> str:
    """Why so many items are not tried with so many bytes free; nothing where they are."""
    for where, needed, free in (("memory", _COPIES * size * _VECTORS, memory), ("disk", 2 * size * _VECTORS, disk)):
        if needed > free:
            return f"{size:,} items: found {free / _GB:.1f} GB of {where} free, expected at least {needed / _GB:.1f} GB"
    return ""


def _room() -> tuple[int, int]:
    """Bytes of memory and of disk that may be used: a tenth of the memory is left to others."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    sizes = {name: 1024 * int(value.split()[0]) for name, value in (line.split(":") for line in lines)}
    free = sizes["MemAvailable"] - sizes["MemTotal"] // 10
    return max(free, 0), shutil.disk_usage(tempfile.gettempdir()).free


def _no_more_than(memory: int) -> None:
    """Let what would take more fail here, before the system ends processes that are not ours."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    Path("/proc/self/oom_score_adj").write_text("1000")


def _peak() -> int:
    """The most memory that this process has held, bytes. Not `getrusage`, whose figure a parent leaves behind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    build(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), lambda told: print(json.dumps(told), flush=True))
