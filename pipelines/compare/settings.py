"""Where the configs of several runs differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from configs.schema import Config

UNSET = ""
"""Stands for a key that a config does not have."""


@dataclass(frozen=True)
class Setting:
    """A key, "towers.embedding_dim", and its value in each run, as TOML would write it."""

    key: str
    values: tuple[str, ...]


def differing(configs: Sequence[Config]) -> tuple[Setting, ...]:
    """Keys whose values are not the same in all configs, in the order of the schema; features are known by name."""
    flat = [dict(_flat(config.model_dump(mode="json"))) for config in configs]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = [Setting(key, tuple(one.get(key, UNSET) for one in flat)) for key in keys]
    return tuple(row for row in rows if len(set(row.values)) > 1)


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, list) and value and all(isinstance(one, dict) and "name" in one for one in value):
        value = {one["name"]: one for one in value}
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _flat(part, f"{key}.{name}" if key else name)
    else:
        yield key, json.dumps(value, ensure_ascii=False)
