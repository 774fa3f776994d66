"""`make test-faults`: everything that may go wrong does, for half an hour; exits 1 where a goal was not reached."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.harness import Row, bench, shown
from tests.faults import damage, fuzz, kills, outages, overload, swaps
from tests.faults.scene import Scene

FAULTS: dict[str, Callable[[Scene], Iterator[Row]]] = {
    "swaps": lambda scene: swaps.measure(scene, swaps.Plan()),
    "kills": kills.measure,
    "damage": damage.measure,
    "fuzz": fuzz.measure,
    "overload": overload.measure,
    "outages": outages.measure,
}


def main() -> int:
    """Try what was asked for; the exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--items", type=int, default=100_000, help="of the bundles that are served")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=[*FAULTS])
    parser.add_argument("--folder", type=Path, help="where bundles are kept from one run to the next")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scene = Scene.of(given.folder or Path(temporary), given.items)
        rows = [row for name in given.only for row in shown(FAULTS[name](scene))]
        bench("faults", lambda: rows)
    return any(row.ok is False for row in rows)


if __name__ == "__main__":
    sys.exit(main())
