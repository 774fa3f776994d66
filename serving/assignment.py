"""Which arm of an experiment a unit (a query id) is in: a pure function of salt, unit and shares.

A unit's place is the first 53 bits of sha256(salt, a zero byte, unit) as a fraction of 1, which any language can
recompute; salts make the places of different experiments independent (Kohavi, Tang and Xu, 2020, ch. 14). Arms are
intervals of places. They stand in the order of their names, with the share that is free between them: what arms before
and after an arm hold decides how much of it stands before the arm. Hence

    two arms          the first grows up from 0 and the last down from 1: a unit leaves its arm only when that shrinks
    any number        where all shares grow in proportion, or one alone takes from what is free, nobody who is in
                      an arm that grows leaves it

Between three arms or more no fixed rule can spare every unit every change of shares; who was in two arms is dropped by
`twinspire experiment analyze`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from configs.experiments import Experiment

_BITS = 53  # as many as a float holds exactly


def place(salt: str, unit: str) -> float:
    """Where a unit stands, in [0, 1)."""
    # a lone surrogate, which JSON can carry, is a unit like any other
    text = salt.encode("utf-8", "surrogatepass") + b"\0" + unit.encode("utf-8", "surrogatepass")
    return (int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> (64 - _BITS)) / 2**_BITS


def assign(experiment: Experiment, unit: str) -> str | None:
    """The arm of a unit; None for one that is not in the experiment."""
    where = place(experiment.salt, unit)
    shares = {name: arm.share for name, arm in experiment.arms.items()}
    return next((name for name, (low, high) in intervals(shares).items() if low <= where < high), None)


def assign_all(experiments: Iterable[Experiment], unit: str) -> dict[str, str]:
    """Arm by the name of each experiment that the unit is in."""
    found = ((one.name, assign(one, unit)) for one in experiments)
    return {name: arm for name, arm in found if arm is not None}


def intervals(shares: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """The places [low, high) of each arm, from shares that add up to at most 1."""
    names = sorted(shares)
    free, before, found = max(0.0, 1 - sum(shares.values())), 0.0, {}
    for rank, name in enumerate(names):
        after = sum(shares[other] for other in names[rank + 1 :])
        # where all others are paused, their number says where they will grow
        part = before / (before + after) if before + after > 0 else rank / max(1, len(names) - 1)
        low = before + free * part
        found[name] = low, low + shares[name]
        before += shares[name]
    return found
