"""Times and counts as people write them."""

from __future__ import annotations

import math
from datetime import datetime, timezone

from pipelines.look.numbers import NONE

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


def length(amount: float, clock: bool) -> str:
    """A length on the events' time axis: 17 days, 3.2 hours, 1,200 order steps."""
    if math.isnan(amount):
        return NONE
    if not clock:
        return f"{amount:,.0f} order steps"
    size, unit = next((one for one in _UNITS if amount >= one[0]), _UNITS[-1])
    value = amount / size
    text = f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"
    return f"{text} {unit}" + ("" if text == "1" else "s")


def moment(time: int, clock: bool) -> str:
    """A moment on the events' time axis: a date and time of day (UTC), or the order number."""
    if not clock:
        return str(time)
    return datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M")


def plural(count: int, noun: str) -> str:
    """1 event, 2,000 events, 3 queries."""
    many = noun[:-1] + "ies" if noun.endswith("y") and noun[-2] not in "aeiou" else noun + "s"
    return f"{count:,} {noun if count == 1 else many}"
