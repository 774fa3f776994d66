"""What config values are made of: durations, cuts, counts, and the frozen section that holds them."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_LARGEST_SEED = 2**31 - 1  # numpy takes 32 bits, and parts that draw apart from others take seeds a little above
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


def _valid_duration(value: str | int) -> str | int:
    if duration(value) <= 0:
        raise ValueError(f"{value!r} is not a positive duration")
    return value


def no_switch(value: object) -> object:
    """Refuse true and false where a number is meant. Raises: ValueError."""
    if isinstance(value, bool):  # which Python takes for 0 or 1
        raise ValueError(f"found {str(value).lower()}, expected a number")
    return value


def _no_switch_as_duration(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f'found {str(value).lower()}, expected a duration, e.g. "7d", "12h", "30m", or order steps')
    return value


Duration = Annotated[str | int, AfterValidator(_valid_duration), BeforeValidator(_no_switch_as_duration)]
# a TOML date without quotes is as good as one with them
Cut = Annotated[float | str, BeforeValidator(lambda cut: cut.isoformat() if isinstance(cut, date) else cut)]
Count = Annotated[int, BeforeValidator(no_switch), Field(gt=0)]
Columns = Annotated[int, BeforeValidator(no_switch), Field(ge=0, le=2**20)]  # of a matrix with a row an example
Seed = Annotated[int, BeforeValidator(no_switch), Field(ge=0, le=_LARGEST_SEED)]


def moment(cut: str) -> int:
    """Unix seconds of an ISO date (UTC unless it names a zone)."""
    parsed = datetime.fromisoformat(cut)
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp())


class Section(BaseModel):
    """A part of the config: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
