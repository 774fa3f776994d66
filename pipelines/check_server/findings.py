"""What a preflight finds: a line for each thing looked at, and what follows from all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from configs.errors import UserError

Status = Literal["ok", "missing", "cannot tell"]
_SHOWN = 6  # names in a line


class PreflightError(UserError):
    """A target cannot be asked: it is not there, does not answer, or is something else."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, how it stands, and what was seen."""

    what: str
    status: Status
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What looking at a target gave.

    loads: whether it can load the export; None where that cannot be told. why: the reason, to follow "the target".
    lacks: operations that it is known to lack, of the export and of its core-ops export. retry: what to do where the
    reason lies in neither of them.
    """

    findings: list[Finding]
    loads: bool | None
    why: str
    lacks: frozenset[str] = frozenset()
    retry: str = ""


@dataclass(frozen=True)
class Preflight:
    """All findings, whether the target loads the export (None: cannot tell), the verdict, and what to do next."""

    findings: list[Finding]
    loads: bool | None
    verdict: str
    following: str


def named(names: Iterable[str]) -> str:
    """Names in alphabetical order, the first few of many."""
    ordered = sorted(names)
    more = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    return ", ".join(ordered[:_SHOWN]) + more


def unregistered(message: str) -> frozenset[str]:
    """The operation that TensorFlow's loader says nobody registered; it stops at the first."""
    return frozenset(re.findall(r"Op type not registered '([^']+)'", message))


def outdated(message: str) -> bool:
    """Whether the loader met an attribute of a known operation that its own TensorFlow has not got yet."""
    return "GraphDef-interpreting binary" in message
