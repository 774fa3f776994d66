"""Results kept as JSON: frozen dataclasses of plain values, written and read back as they were."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def save(value: Any, path: Path) -> None:
    """Write a dataclass; NaN and infinite numbers, which JSON lacks, become text."""
    path.write_text(json.dumps(_plain(asdict(value)), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def load(kind: type[T], path: Path) -> T:
    """Read what `save` wrote. Raises pydantic's ValidationError when the file holds something else."""
    return TypeAdapter(kind).validate_python(json.loads(path.read_text(encoding="utf-8")))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(float(value))
    return value
