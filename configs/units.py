"""What config values are made of: durations, cuts, numbers, switches, and the frozen section that holds them."""

from __future__ import annotations

import math
import re
from datetime import date, datetime, timezone
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict

_LARGEST = 2**31 - 1  # of sizes, which graphs hold in 32 bits, and of seeds, of which numpy takes as many
_LONGEST = 1000 * 365 * 86_400  # seconds
_MOST_STEPS = 2**53  # float64 tells them apart, and added to any time of a log they do not overflow
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def duration(text: str | int) -> int:
    """Length of a window on the time axis: "7d", "12h", "30m" in seconds, or a bare number of order steps.

    >>> duration("7d")
    604800
    """
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"(\d+)([smhdw])", text)
    if not match:
        raise ValueError(f'{text!r} is not a duration; expected e.g. "7d", "12h", "30m"')
    return int(match[1]) * _UNITS[match[2]]


def no_switch(value: object) -> object:
    """Refuse true and false where a number is meant. Raises: ValueError."""
    if isinstance(value, bool):  # which Python takes for 0 or 1
        raise ValueError(f"found {str(value).lower()}, expected a number")
    return value


# Both look at the value themselves: of a union, pydantic would report an error for each type that it might have been.
def _duration(value: object) -> object:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # order steps as 1e6
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        found = str(value).lower() if isinstance(value, bool) else repr(value)
        raise ValueError(f'found {found}, expected a duration, e.g. "7d", "12h", "30m", or whole order steps')
    longest, meant = (_LONGEST, "1000 years") if isinstance(value, str) else (_MOST_STEPS, f"{_MOST_STEPS} order steps")
    if not 0 < duration(value) <= longest:
        raise ValueError(f"{value!r} is not a positive duration of at most {meant}")
    return value


def _cut(value: object) -> object:
    if isinstance(value, date):  # a TOML date without quotes is as good as one with them
        return value.isoformat()
    number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not number and not isinstance(value, str):
        found = str(value).lower() if isinstance(value, bool) else repr(value)
        raise ValueError(f'found {found}, expected a share such as 0.8, or an ISO date such as "2024-05-01"')
    return value


Duration = Annotated[str | int, BeforeValidator(_duration)]
Cut = Annotated[float | str, BeforeValidator(_cut)]
Switch = Annotated[bool, Strict()]  # "yes" and 1 are none
Number = Annotated[float, BeforeValidator(no_switch)]
Positive = Annotated[Number, Field(gt=0)]
Share = Annotated[Number, Field(ge=0, le=1)]
Portion = Annotated[Number, Field(ge=0, lt=1)]  # a share that leaves something over, as of what is dropped
Whole = Annotated[int, BeforeValidator(no_switch), Field(ge=0, le=_LARGEST)]
Count = Annotated[int, BeforeValidator(no_switch), Field(gt=0, le=_LARGEST)]
Columns = Annotated[int, BeforeValidator(no_switch), Field(ge=0, le=2**20)]  # of a matrix with a row an example
Seed = Annotated[int, BeforeValidator(no_switch), Field(ge=0, le=_LARGEST)]  # parts that draw apart take it plus one


def moment(cut: str) -> int:
    """Unix seconds of an ISO date (UTC unless it names a zone)."""
    parsed = datetime.fromisoformat(cut)
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp())


class Section(BaseModel):
    """A part of the config: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
