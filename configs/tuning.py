"""The config of a search for better settings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from configs.units import Count, Number, Positive, Section, Seed, Switch


class Range(Section):
    """Numbers from `low` to `high`, both included; `log` draws evenly over their logarithms."""

    low: Number
    high: Number
    log: Switch = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low = {self.low}, high = {self.high}, expected low below high")
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low}, expected above 0 where log = true")
        return self


def _by_dotted_key(space: Any, above: str = "") -> Any:
    """Sections inside one another, as TOML reads keys without quotes, as one table of dotted keys."""
    if not isinstance(space, dict):
        return space
    found: dict[str, Any] = {}
    for name, value in space.items():
        key = f"{above}{name}"
        if isinstance(value, dict) and not set(value) & set(Range.model_fields):
            found |= _by_dotted_key(value, f"{key}.")
        elif isinstance(value, (dict, list, tuple, Range)):
            found[key] = value
        else:
            raise ValueError(f"{key}: found {value!r}, expected choices [a, b] or a range {{ low = a, high = b }}")
    return found


_Choices = Annotated[tuple[Any, ...], Field(min_length=1)]
_Domain = Annotated[
    Annotated[_Choices, Tag("choices")] | Annotated[Range, Tag("range")],
    Discriminator(lambda value: "choices" if isinstance(value, (list, tuple)) else "range"),
]


class Tune(Section):
    """A bounded search for better settings of the towers, judged on the validation window alone.

    space: choices or a range by dotted key of `towers`, `trend` or `train`; where it is empty, some that matter.
    """

    trials: Count = 20
    minutes: Positive | None = None  # of trials; the one that runs then ends with its epoch
    seed: Seed = 0
    space: Annotated[dict[str, _Domain], BeforeValidator(lambda space: _by_dotted_key(space))] = Field(default={})
