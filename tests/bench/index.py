"""`make bench-index`: the index beside the libraries that do the same (DESIGN section 11; half an hour on two cores).

frontier: recall against queries a second of ScaNN as twinspire builds it, FAISS and brute force (`index_frontier`).
graph: what the same search takes inside an exported graph, by the C loader (`index_graph`). build: time, bytes and
memory by size (`index_build`). real: the frontier of vectors from a file, or from the towers of a finished run.

Each part runs in processes of its own, one after another. One that fails is named at the end, with exit 1; what the
others measured is written all the same.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from configs.errors import DataError, UserError
from pipelines.progress import Progress
from tests.bench.harness import Row, bench
from tests.bench.index_build import SIZES
from tests.bench.index_build import measure as builds
from tests.bench.index_frontier import K
from tests.bench.index_parts import PartFailed, rows_of

PARTS = ("frontier", "graph", "build", "real")
LEAST_QUERIES = 300  # in a file: a third of them tunes


@dataclass(frozen=True)
class Asked:
    """items: those of the frontier, and of the graph up to GRAPH; parts: in this order; sizes: to be built; vectors: a
    file; run: the folder of a run; catalogue: simulated items instead of its own; seconds: what a graph of FAISS may
    take to build."""

    items: int
    parts: tuple[str, ...]
    sizes: tuple[int, ...]
    vectors: Path | None
    run: Path | None
    catalogue: int | None
    seconds: float


GRAPH = 200_000  # items


def measure(asked: Asked, progress: Progress, failed: list[str]) -> Iterator[Row]:
    """Rows of every part, also said as they come; what failed is added to `failed`."""
    for part in asked.parts:
        for row in _whole(part, asked, progress, failed):
            progress.say(f"{row.what}: {row.value:,.4g} {row.unit}  {row.reference}")
            yield row


def _whole(part: str, asked: Asked, progress: Progress, failed: list[str]) -> Iterator[Row]:
    try:
        yield from _PARTS[part](asked, progress)
    except PartFailed as failure:
        failed.append(f"{part}: {failure}")


def _frontier(asked: Asked, progress: Progress) -> Iterator[Row]:
    return rows_of("tests.bench.index_frontier", asked.items, asked.seconds)


def _graph(asked: Asked, progress: Progress) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        yield from rows_of("tests.bench.index_graph", "export", folder, min(asked.items, GRAPH))
        yield from rows_of("tests.bench.index_graph", "ask", folder)


def _build(asked: Asked, progress: Progress) -> Iterator[Row]:
    return builds(asked.sizes, progress)


def _real(asked: Asked, progress: Progress) -> Iterator[Row]:
    file = asked.vectors
    if asked.run:
        from tests.bench.run_vectors import vectors_of_run  # TensorFlow, which no other part needs here

        file = vectors_of_run(asked.run, asked.catalogue, progress.say)
    return rows_of("tests.bench.index_frontier", 0, asked.seconds, file)


_PARTS: dict[str, Callable[[Asked, Progress], Iterator[Row]]] = {
    "frontier": _frontier,
    "graph": _graph,
    "build": _build,
    "real": _real,
}


def check_vectors(path: Path) -> None:
    """Raises: DataError for a file without arrays `items` [N, D] and `queries` [Q, D] of finite numbers."""
    try:
        with np.load(path, allow_pickle=False) as saved:
            found = {name: saved[name] for name in ("items", "queries")}
    except (OSError, ValueError, KeyError) as error:
        expected = "an .npz file of the arrays items [N, D] and queries [Q, D]"
        raise DataError(f"vectors: {path} cannot be read ({error}); expected {expected}") from None
    shapes = {name: list(array.shape) for name, array in found.items()}
    if any(array.ndim != 2 for array in found.values()) or found["items"].shape[1] != found["queries"].shape[1]:
        raise DataError(f"vectors: found {shapes} in {path}, expected items [N, D] and queries [Q, D]")
    if len(found["items"]) <= K or len(found["queries"]) < LEAST_QUERIES:
        least = f"more than {K} items and at least {LEAST_QUERIES} queries"
        raise DataError(f"vectors: found {shapes} in {path}, expected {least}")
    for name, array in found.items():
        if array.dtype.kind != "f" or not np.isfinite(array).all():
            raise DataError(f"vectors: {name} in {path} holds {array.dtype}, expected finite floating-point numbers")


def asked_for(arguments: list[str]) -> Asked:
    """What the command line says. Raises: SystemExit with what is wrong with it."""
    parser = argparse.ArgumentParser(prog="bench-index")
    parser.add_argument("--items", type=int, default=1_000_000, help="of the frontier, and of the graph up to 200,000")
    parser.add_argument("--parts", help=f"some of {','.join(PARTS)}; by default all, real where it has vectors")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="items to build")
    parser.add_argument("--vectors", type=Path, help="an .npz file of real vectors: items [N, D], queries [Q, D]")
    parser.add_argument("--run", type=Path, help="or the folder of a finished run to take them from")
    parser.add_argument("--catalogue", type=int, help="so many simulated items, as that run's towers embed them")
    parser.add_argument("--hnsw-seconds", type=float, default=240, help="what building an HNSW graph may take")
    found = parser.parse_args(arguments)
    if found.vectors and found.run:
        parser.error("--vectors and --run: found both, expected one")
    if found.catalogue is not None and (not found.run or found.catalogue <= K):
        parser.error(f"--catalogue: found {found.catalogue}, expected more than {K}, with --run")
    real = found.vectors or found.run
    parts = tuple(found.parts.split(",")) if found.parts else PARTS if real else PARTS[:-1]
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"--parts: found {','.join(unknown)}, expected some of {','.join(PARTS)}")
    if "real" in parts and not real:
        parser.error("--parts: real needs --vectors FILE or --run FOLDER")
    try:
        sizes = tuple(int(size) for size in found.sizes.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes, default=0) <= K:
        parser.error(f"--sizes: found {found.sizes}, expected whole numbers above {K}, as 100000,1000000")
    if found.items <= K:
        parser.error(f"--items: found {found.items}, expected more than {K}")
    return Asked(found.items, parts, sizes, found.vectors, found.run, found.catalogue, found.hnsw_seconds)


def main(arguments: list[str]) -> None:
    """Measure, print, write; exit 1 where a part could not measure."""
    asked, failed = asked_for(arguments), list[str]()
    try:
        if asked.vectors:
            check_vectors(asked.vectors)
        bench("index", lambda: list(measure(asked, Progress(), failed)))
    except UserError as error:
        sys.exit(f"bench-index: {error}")
    if failed:
        sys.exit("\n".join(f"bench-index: not measured: {reason}" for reason in failed))


if __name__ == "__main__":
    main(sys.argv[1:])
