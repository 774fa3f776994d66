"""Configs written as TOML: what `configs.load` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from configs.schema import Config


def as_toml(config: Config) -> str:
    """The whole config but what it says of searches; keys that are unset are left out, as TOML has no null."""
    plain = config.model_dump(mode="json", exclude={"tune"}, exclude_none=True)
    return "\n".join(_table(plain, "")).lstrip("\n") + "\n"


def literal(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(name)} = {literal(one)}' for name, one in value.items())} }}"
    # JSON's text escapes are TOML's too; but for one character, which JSON leaves as it is
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _table(values: Mapping[str, Any], above: str) -> Iterator[str]:
    """Lines of a table: plain keys first, since what follows a header belongs to it."""
    tables = {name: value for name, value in values.items() if isinstance(value, Mapping)}
    lists = {name: value for name, value in values.items() if _is_list_of_tables(value)}
    for name, value in values.items():
        if name not in tables and name not in lists:
            yield f"{_key(name)} = {literal(value)}"
    for name, value in tables.items():
        yield f"\n[{above}{_key(name)}]"
        yield from _table(value, f"{above}{_key(name)}.")
    for name, value in lists.items():
        for one in value:
            yield f"\n[[{above}{_key(name)}]]"
            yield from _table(one, f"{above}{_key(name)}.")


def _is_list_of_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else literal(name)
