"""How long the recent past is in which popularity is counted."""

from __future__ import annotations

from configs.units import duration
from pipelines.dataset import Dataset

_WEEK_AND_MONTH = ("7d", "30d")
_PARTS = (20, 4)  # without a clock, these parts of the log stand in for them
_LEAST = 100  # order numbers that such a log is taken to span


def windows_of(dataset: Dataset) -> tuple[str | int, ...]:
    """Lengths of the windows of recent popularity, as the config writes them; without a clock, parts of the log up to
    the validation cut unless the config names some."""
    if dataset.config.baselines.windows:
        return dataset.config.baselines.windows
    if dataset.config.data.events.time is not None:
        return _WEEK_AND_MONTH
    span = max(int(dataset.cuts.validation.moment - dataset.log.time[0]), _LEAST)
    return tuple(span // part for part in _PARTS)


def window_lengths(dataset: Dataset) -> tuple[int, ...]:
    """The same on the events' time axis."""
    return tuple(map(duration, windows_of(dataset)))
