"""`make bench-rolling DATA=...`: MovieLens 1M's test window day by day, the towers' weights fixed, at each event.

Before every day the index (items and their trends) and the popularity of the last 7 days are counted anew; at every
event of the day the towers read the history up to it, and its item is looked for among the first 20 of each. Intervals
are paired and resample whole users; a month of few users is too few to tell.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.compared import status_of
from pipelines.progress import Progress
from pipelines.rolling import Replay, load_rolling
from pipelines.rolling.words import month_words
from pipelines.run import open_run, replay_run
from tests.bench.asked import Asked
from tests.bench.harness import Row, bench

SETTINGS = (
    "rolling.step=1d",
    "rolling.each_event=true",
    "rolling.k=20",
    "rolling.by=month",
    "rolling.against=popularity 7d",
)


def measure(asked: Asked) -> list[Row]:
    """Fit up to the test cut if need be, with every seed, and replay what follows."""
    rows: list[Row] = []
    for seed in asked.seeds:
        work = open_run(asked.config("movielens-1m", *SETTINGS, seed=seed))
        prefix = f"seed {seed}, " if len(asked.seeds) > 1 else ""
        rows += _rows(load_rolling(replay_run(work, Progress())), prefix)
    return rows


def _rows(replay: Replay, prefix: str) -> Iterator[Row]:
    """A row for each month in which anything was asked, one for all of them, and what was too little to judge."""
    metric, apart = replay.metrics[0], replay.against
    sides = (apart.contender, apart.refreshed), (apart.base_contender, apart.base_refreshed)
    ours, theirs = (next(one for one in replay.of(name) if one.refreshed == part) for name, part in sides)
    few, by_month = (
        [],
        zip(replay.spans, ours.by_step[metric], theirs.by_step[metric], apart.by_step[metric], strict=True),
    )
    for span, towers, popularity, gain in by_month:
        if towers and popularity and gain:
            told = status_of(gain, replay.min_queries) != "too few to tell"
            goal, ok = ("above 0", gain.mean > 0) if told else ("too few to tell", None)
            few += [] if told else [span.requests]
            reference = _reference(replay, towers, popularity, gain, span.requests)
            yield Row(
                f"{prefix}{month_words(span)}: towers - {replay.chosen}, {metric}", gain.mean, "", reference, goal, ok
            )
    found = ours.overall[metric], theirs.overall[metric], apart.overall[metric]
    reference, low = _reference(replay, *found, replay.requests), apart.overall[metric].low
    whole = f"of {len(replay.spans)}; {sum(few):,} of {replay.requests:,} events"
    yield Row(f"{prefix}months too few to tell", len(few), "months", whole)
    what = f"{prefix}all months: towers - {replay.chosen}, {metric}"
    yield Row(what, apart.overall[metric].mean, "", reference, "lower bound above 0", low > 0)


def _reference(replay: Replay, towers: Interval, popularity: Interval, gain: Interval, events: int) -> str:
    return (
        f"towers {towers.mean:.4f}, {replay.chosen} {popularity.mean:.4f}, 95 % [{gain.low:+.4f}, {gain.high:+.4f}]; "
        f"{events:,} events of {gain.n:,} users"
    )


if __name__ == "__main__":
    bench("rolling", lambda: measure(Asked.of("data/ml-1m")))
