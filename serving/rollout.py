"""Which versions of a model answer whom: a file beside the versions says what the newest alone does not.

    <model>/rollout.json    {"withdrawn": [5], "stable": null, "canary": {"version": 6, "share": 0.1}, "shadow": null}

Without the file the newest version answers everyone. Servers read it whenever they look for new versions.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationError

from configs.errors import UserError
from configs.units import Section, no_switch
from serving.manifest import versions

ROLLOUT = "rollout.json"
STABLE, CANARY, SHADOW = "stable", "canary", "shadow"


Number = Annotated[int, BeforeValidator(no_switch), Field(ge=0)]  # of a version; TensorFlow Serving takes 0 for one


class RolloutError(UserError):
    """A rollout that cannot be: its file is damaged, or a version is not there."""


class Canary(Section):
    """A version for a share of users, always the same ones."""

    version: Number | Literal["newest"] = "newest"
    share: float = Field(default=0.05, gt=0, lt=1)


class Rollout(Section):
    """What was decided of a model's versions.

    withdrawn: never served again; stable: answers everyone else, None the newest; canary: answers a share of users;
    shadow: asked beside the others, its answers compared and not shown.
    """

    withdrawn: tuple[Number, ...] = ()
    stable: Number | None = None
    canary: Canary | None = None
    shadow: Number | Literal["newest"] | None = None


@dataclass(frozen=True)
class Plan:
    """The versions to serve: by label, and the share of users that the canary has."""

    labels: Mapping[str, int]
    share: float = 0.0

    @property
    def wanted(self) -> set[int]:
        """Versions to have loaded."""
        return set(self.labels.values())


def plan(found: Collection[int], rollout: Rollout) -> Plan:
    """Who serves, of the versions that can: stable is the newest that is nothing else, or the one that was named.

    Where the one that was named cannot serve, the newest before it does, or else the oldest after it; a canary or
    shadow that cannot serve, or that is the stable one, is left out.
    """
    able = sorted(set(found) - set(rollout.withdrawn))
    if not able:
        return Plan({})
    canary = _number(rollout.canary.version if rollout.canary else None, able[-1])
    shadow = _number(rollout.shadow, able[-1])
    rest = [one for one in able if one not in (canary, shadow)] or able
    stable = rest[-1]
    if rollout.stable is not None:
        before = [one for one in able if one <= rollout.stable]
        stable = before[-1] if before else able[0]
    labels = {STABLE: stable}
    if canary is not None and canary in able and canary != stable:
        labels[CANARY] = canary
    if shadow is not None and shadow in able and shadow not in labels.values():
        labels[SHADOW] = shadow
    return Plan(labels, rollout.canary.share if rollout.canary and CANARY in labels else 0.0)


def _number(said: int | Literal["newest"] | None, newest: int) -> int | None:
    """The version that is meant; None where none is."""
    return newest if said == "newest" else said


def read_rollout(model: Path) -> Rollout:
    """What a model's file says; nothing where there is none. Raises: RolloutError."""
    path = model / ROLLOUT
    try:
        return Rollout.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Rollout()
    except (OSError, UnicodeDecodeError) as error:
        raise RolloutError(f"rollout: {path} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        raise RolloutError(f"rollout: {path}: {where}: {first['msg']}") from None


def write_rollout(model: Path, rollout: Rollout) -> Path:
    """Put the file in place of the one before, whole."""
    descriptor, partial = tempfile.mkstemp(prefix=".rollout-", dir=model)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(rollout.model_dump_json(indent=1) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, model / ROLLOUT)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return model / ROLLOUT


def roll_back(model: Path) -> tuple[int, Plan]:
    """Withdraw the version on trial, or else the stable one; to its number and who serves then.

    Where the newest goes on trial the next one will, too: else a stable version that was named would stay, whatever is
    published.

    Raises: RolloutError where no other version is left.
    """
    rollout, found = read_rollout(model), versions(model)
    now = plan(found, rollout)
    if not now.labels:
        raise RolloutError(f"rollback: {model} has no version that serves")
    gone = now.labels.get(CANARY, now.labels[STABLE])
    stable = rollout.stable if rollout.stable != gone else None
    canary = rollout.canary if rollout.canary and rollout.canary.version != gone else None
    withdrawn = tuple(sorted({*rollout.withdrawn, gone}))
    after = rollout.model_copy(update={"withdrawn": withdrawn, "stable": stable, "canary": canary})
    if canary and canary.version == "newest":  # of those that are left none goes on trial again
        left = plan(found, after.model_copy(update={"canary": None}))
        after = after.model_copy(update={"stable": left.labels.get(STABLE)})
    then = plan(found, after)
    if not then.labels:
        raise RolloutError(f"rollback: {model} has no version but {gone}; publish another one first")
    write_rollout(model, after)
    return gone, then


def change(model: Path, **wanted: object) -> Plan:
    """Write a rollout with these fields changed; to who serves then.

    Raises: RolloutError for a version that is not there, or that was withdrawn.
    """
    try:
        after = Rollout.model_validate(read_rollout(model).model_dump() | wanted)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RolloutError(f"rollout: {where}: found {first['input']!r}: {first['msg']}") from None
    found = versions(model)
    named = {"stable": after.stable, "canary": after.canary and after.canary.version, "shadow": after.shadow}
    able = [one for one in found if one not in after.withdrawn]
    for name, number in named.items():
        if isinstance(number, int) and number not in able:
            raise RolloutError(f"rollout: {name}: found version {number}, expected one of {able or 'none'} in {model}")
    write_rollout(model, after)
    return plan(found, after)
