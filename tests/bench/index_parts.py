"""How the parts of `make bench-index` talk: each is a process of its own that prints rows as lines of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from tests.bench.harness import Row

ONE_THREAD = 1.1  # seconds of the processors in a second, at most


class PartFailed(RuntimeError):
    """A part's process ended before it was done."""


def tell(row: Row) -> None:
    """Print a row for the process that waits."""
    print(json.dumps(asdict(row)), flush=True)


def rows_of(module: str, *arguments: object) -> Iterator[Row]:
    """The rows that `python -m module arguments` tells. Raises: PartFailed, after the rows that came before."""
    return (Row(**line) for line in lines_of(module, *arguments))


def lines_of(module: str, *arguments: object) -> Iterator[dict[str, Any]]:
    """Lines of JSON that it prints, as they come; others are left out. Raises: PartFailed."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.returncode:
        ended = f"killed by signal {-process.returncode}" if process.returncode < 0 else f"exit {process.returncode}"
        raise PartFailed(f"{module.rpartition('.')[2]} {' '.join(map(str, arguments))}: {ended}; its error is above")
