"""What a replay found: a curve for each variant, what each refresh buys, and what staleness costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from pipelines.evaluation.bootstrap import Interval
from pipelines.files import write_whole
from pipelines.rolling.variants import Refreshed

FILE = "rolling.json"
UNITS = {"week": 7 * 86_400, "day": 86_400, "hour": 3_600}
"""What time is counted in, in seconds."""
_LEAST = {"week": 7 * 86_400, "day": 6 * 3_600, "hour": 0}
"""And the shortest length that each is for."""
ByStep = tuple[Interval | None, ...]
"""One interval for each span, None where nothing was asked."""


def unit_of(seconds: float) -> str:
    """What to count a length in."""
    return next(unit for unit, least in _LEAST.items() if seconds >= least)


@dataclass(frozen=True)
class Span:
    """One step, or the steps of a month: [start, end) on the events' time axis, its `age`, which is how long after the
    test cut it starts (in units of the replay), and how many requests it holds; the other counts are of queries, as in
    `StepRequests`."""

    number: int
    start: int
    end: int
    age: float
    requests: int
    came_since: int
    without_past: int


@dataclass(frozen=True)
class Curve:
    """One variant of a contender: each metric over all requests of the replay, and by span."""

    contender: str
    refreshed: Refreshed
    overall: dict[str, Interval]
    by_step: dict[str, ByStep]


@dataclass(frozen=True)
class Difference:
    """A variant less another, paired: what refreshing more buys, or how two contenders compare.

    overall, by_step: as in `Curve`. per_unit: by how much the difference grows with each unit of `Replay.unit` that
    passes (least squares over the spans after the first); None where fewer than two of them asked anything.
    """

    contender: str
    refreshed: Refreshed
    base_contender: str
    base_refreshed: Refreshed
    overall: dict[str, Interval]
    by_step: dict[str, ByStep]
    per_unit: dict[str, Interval] | None

    @property
    def between(self) -> bool:
        """Whether two contenders are compared."""
        return self.contender != self.base_contender

    @property
    def added(self) -> Refreshed:
        """What is refreshed more."""
        return tuple(part for part in self.refreshed if part not in self.base_refreshed)


@dataclass(frozen=True)
class Replay:
    """All of it. metrics: the candidates' and the list's, as "name@k"; chosen: the popularity that the towers are held
    against, by default the one that was chosen on validation.

    unit: "week", "day", "hour" or, without a clock, "step": what ages and slopes are counted in; step: the length of
    one in it; clock: whether times are unix seconds; retrain_every: steps between two fits, 0 for none.
    queries: distinct queries among all requests; intervals are at 95 %, with queries resampled. by: what a span is, a
    step or a month; each_event: whether each event is asked for; min_queries: a span with fewer is too few to tell.
    """

    metrics: tuple[str, str]
    chosen: str
    unit: str
    step: float
    clock: bool
    retrain_every: int
    queries: int
    spans: tuple[Span, ...]
    curves: tuple[Curve, ...]
    differences: tuple[Difference, ...]
    by: Literal["step", "month"] = "step"
    each_event: bool = False
    min_queries: int = 0

    @property
    def requests(self) -> int:
        """Requests of all steps."""
        return sum(span.requests for span in self.spans)

    def of(self, contender: str) -> tuple[Curve, ...]:
        """The curves of one contender, the least refreshed first."""
        return tuple(curve for curve in self.curves if curve.contender == contender)

    @property
    def contenders(self) -> tuple[str, ...]:
        """Names in order: the towers, the chosen popularity, other popularities."""
        return tuple(dict.fromkeys(curve.contender for curve in self.curves))

    @property
    def against(self) -> Difference:
        """The towers less the chosen popularity, everything but the towers refreshed on both sides."""
        return next(
            one for one in self.differences if one.base_contender == self.chosen and one.between and one.refreshed
        )

    def staleness(self, contender: str) -> Difference:
        """Everything but the towers refreshed, less nothing refreshed."""
        own = (one for one in self.differences if one.contender == contender and not one.between)
        return max((one for one in own if not one.base_refreshed), key=lambda one: len(one.refreshed))


_JSON = TypeAdapter(Replay)


def save_rolling(replay: Replay, folder: Path) -> None:
    """Write `rolling.json`."""
    write_whole(folder / FILE, _JSON.dump_json(replay, indent=2).decode() + "\n")


def load_rolling(folder: Path) -> Replay:
    """Read what the rolling stage wrote into its folder."""
    return _JSON.validate_json((folder / FILE).read_bytes())
