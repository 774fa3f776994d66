"""Results as JSON that any reader takes."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, is_dataclass
from typing import Any


def as_json(value: Any) -> str:
    """A dataclass, or anything that JSON can hold, as indented text; NaN and infinity, which JSON lacks, are null."""
    plain = _plain(asdict(value) if is_dataclass(value) and not isinstance(value, type) else value)
    return json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
