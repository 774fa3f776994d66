"""Reading a run's config: a TOML file, `--set` overrides, and the hash that names the result."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from configs.errors import ConfigError
from configs.schema import Config
from configs.serving import Serving
from configs.units import Section

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

S = TypeVar("S", bound=Section)


def builtin(name: str) -> Path:
    """Path of a config that ships with the package, e.g. "demo"."""
    return Path(__file__).with_name(f"{name}.toml")


def load(path: Path | str, overrides: Sequence[str] = ()) -> Config:
    """Read `path` and apply overrides such as `towers.embedding_dim=32`.

    Raises: ConfigError.
    """
    return parse(_values(Path(path)), str(path), overrides)


def load_serving(path: Path | None, overrides: Sequence[str] = ()) -> Serving:
    """Read a server's settings, those that are usual without a file, and apply overrides such as `limits.queue=16`.

    Raises: ConfigError.
    """
    values = {} if path is None else _values(path)
    return _validated(Serving, values, "serve" if path is None else str(path), overrides)


def parse(values: dict[str, Any], origin: str = "config", overrides: Sequence[str] = ()) -> Config:
    """Validate already parsed values with overrides applied. Raises: ConfigError."""
    return _validated(Config, values, origin, overrides)


def fingerprint(config: Config) -> str:
    """Hash of everything the config says, 8 hex digits."""
    return digest(config.model_dump(mode="json"))[:8]


def digest(value: Any) -> str:
    """sha256 of a JSON-able value, keys in order, 64 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def _values(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"config: {path} is not there; expected a TOML file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"config: {path} cannot be read as TOML: {error}") from None


def _validated(section: type[S], values: dict[str, Any], origin: str, overrides: Sequence[str]) -> S:
    values = deepcopy(values)
    for override in overrides:
        _apply(values, override)
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise ConfigError("; ".join(_explain(e, origin, overrides) for e in error.errors()[:3])) from None


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set: found {override!r}, expected key=value, e.g. towers.embedding_dim=32")
    try:
        value = tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is meant as text: paths and names need no quotes
    *parents, last = key.split(".")
    section = values
    for parent in parents:
        section = section.setdefault(parent, {})
        if isinstance(section, list):
            raise ConfigError(
                f"--set: {key}: {parent} is a list of tables, which --set cannot reach into; edit the file"
            )
        if not isinstance(section, dict):
            raise ConfigError(f"--set: {key}: {parent} is not a section")
    section[last] = value


def _explain(error: Any, origin: str, overrides: Sequence[str]) -> str:
    tags = {"id", "category", "multi_category", "number", "text", "time", "vector"}
    parts = [str(part) for i, part in enumerate(error["loc"]) if not (i == 2 and part in tags)]
    key, message = ".".join(parts), error["msg"].removeprefix("Value error, ")
    where = _blamed(key, message, origin, overrides)
    if error["type"] == "extra_forbidden":
        return f"{where}: {key}: unknown key (found {error['input']!r}); expected none of that name"
    if error["type"] == "missing":
        return f"{where}: {key}: missing; expected a value"
    if error["type"] != "value_error":
        message = f"found {error['input']!r}; {message[0].lower()}{message[1:]}"
    return f"{where}: {key}: {message}" if key else f"{where}: {message}"


def _blamed(key: str, message: str, origin: str, overrides: Sequence[str]) -> str:
    """The override that holds the value; or the file, with those overrides that the message tells of: what does not go
    together may stand in either."""
    keys = {override: override.partition("=")[0] for override in overrides}
    for override in reversed(overrides):
        if f"{key}.".startswith(f"{keys[override]}."):
            return f"--set {override}"
    told = [one for one in overrides if re.search(rf"\b{re.escape(keys[one].rpartition('.')[2])}\b", message)]
    return " with --set ".join([origin, *(one for one in told if not key or keys[one].startswith(f"{key}."))])
