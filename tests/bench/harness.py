"""What every benchmark shares: rows, a printed table, and a JSON file in runs/bench/."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

OUT = Path("runs") / "bench"
_MARKS = {None: "   ", True: "ok ", False: "NO "}


@dataclass(frozen=True)
class Row:
    """One measured figure. goal is in words, ok says whether it was reached; both None where there is none."""

    what: str
    value: float
    unit: str
    reference: str = ""
    goal: str = ""
    ok: bool | None = None


def machine() -> str:
    """Processor model and number of cores."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    return f"{model}, {os.cpu_count()} cores"


def shown(rows: Iterable[Row]) -> list[Row]:
    """All rows, each printed as it comes, for measures that take long."""
    found = []
    for row in rows:
        print(f"{_MARKS[row.ok]}{row.what}: {row.value:.4g} {row.unit} ({row.reference})", flush=True)
        found.append(row)
    return found


def _plain(row: Row) -> dict[str, Any]:
    """As JSON has it, which knows none of numpy's numbers."""
    ok = None if row.ok is None else bool(row.ok)
    return {**asdict(row), "value": float(row.value), "ok": ok}


def bench(name: str, measure: Callable[[], list[Row]]) -> None:
    """Measure, print and write runs/bench/NAME.json. Exceptions pass: what cannot be measured exits 1."""
    rows = measure()
    OUT.mkdir(parents=True, exist_ok=True)
    result = {"name": name, "machine": machine(), "rows": [_plain(row) for row in rows]}
    path = OUT / f"{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    table = Table(title=f"{name} on {result['machine']}", title_justify="left")
    for column in ("what", "value", "unit", "reference", "goal", "ok"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for row in rows:
        reached = "" if row.ok is None else ("yes" if row.ok else "NO")
        table.add_row(row.what, f"{row.value:,.4g}", row.unit, row.reference, row.goal, reached)
    console = Console(width=140)
    console.print(table)
    console.print(f"written: {path}")
