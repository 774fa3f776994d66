"""What a reader should keep in mind: how fair the protocol is, and where the run itself looks doubtful."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from configs.schema import Config
from pipelines.report.contenders import Contenders
from pipelines.report.data import DataPart
from pipelines.report.parts import Ranking, Training, Tuning
from pipelines.report.wording import number, percent
from pipelines.verdicts import Verdict

_WEEK = 7 * 86400
_FEW = 200  # requests below which intervals are too wide to decide much
_MUCH = 0.05  # share of targets or rows that is worth a warning


@dataclass(frozen=True)
class Caution:
    """A warning asks for action; a note is for the reader to know."""

    level: Literal["warning", "note"]
    text: str


def protocol_cautions(config: Config, data: DataPart | None) -> Iterator[Caution]:
    """How the split and the data limit what the numbers mean."""
    yield Caution(
        "note",
        "The split is a global time split: everything judged lies after everything learned, for all queries alike. "
        "That is fair; numbers from leave-last-out or random splits are higher and cannot be compared.",
    )
    least = config.data.min_item_events
    if least:
        yield Caution(
            "warning",
            f"data.min_item_events = {least} counts events over the whole log, test window included, so it looks "
            "ahead: items that stay rare later are gone already. It is there to repeat published protocols; do not "
            "quote these numbers as what a live system would do.",
        )
    if any(isinstance(cut, float) for cut in (config.split.validation, config.split.ranker, config.split.test)):
        yield Caution(
            "note",
            "Cuts are quantiles of the events' times: windows hold a fixed share of the events, not a fixed span of "
            "time, and move when data is added. Name dates in [split] to compare runs over growing data.",
        )
    if data is not None and data.judged is not None:
        yield from _judged_cautions(config, data)
    yield Caution(
        "note",
        "Only what was taken in the log counts as a hit. What the system of that time never showed could hardly be "
        "taken, which favours whatever resembles that system.",
    )


def _judged_cautions(config: Config, data: DataPart) -> Iterator[Caution]:
    judged, test = data.judged, data.windows[-1]
    if judged is None:
        return
    returning = config.split.requests == "returning"
    if judged.requests < _FEW:
        yield Caution(
            "warning", f"Only {judged.requests} requests could be judged; intervals are wide. Move split.test earlier."
        )
    if config.data.events.time is not None and test.end - test.start < _WEEK:
        days = (test.end - test.start) / 86400
        yield Caution("warning", f"The test window spans {days:.1f} days, less than a week: it misses weekly rhythms.")
    if judged.unavailable and returning:
        share = judged.unavailable / judged.wanted
        yield Caution(
            "warning" if share > _MUCH else "note",
            f"{judged.unavailable:,} of {judged.wanted:,} wanted pairs ({percent(share)}) ask for items that entered "
            "the catalogue after the test cut. They are no targets, so no contender can win or lose by them.",
        )
    if judged.new_queries and returning:
        yield Caution(
            "note",
            f"{judged.new_queries:,} queries of the test window have no past and are not judged: "
            "how well newcomers are served is not measured here.",
        )
    for account in data.accounts:
        left = account.rows - account.kept
        if account.rows and left / account.rows > _MUCH:
            yield Caution(
                "warning",
                f"{left:,} of {account.rows:,} rows of {account.table} ({percent(left / account.rows)}) were set "
                "aside; see the reasons under Data, and the rows in quarantine.parquet.",
            )


def model_cautions(
    table: Contenders | None,
    verdicts: Sequence[Verdict],
    training: Training | None,
    tuning: Tuning | None,
    ranking: Ranking | None,
) -> Iterator[Caution]:
    """Where the run itself looks doubtful."""
    if table is not None and table.best_baseline:
        yield Caution(
            "note",
            "The best baseline is picked on the judged requests themselves, so a lucky one counts in full: "
            "differences to it are on the cautious side.",
        )
    slices = sum(verdict.slice != "all" for verdict in verdicts)
    if slices:
        yield Caution(
            "note",
            f"{slices} slices are looked at with 95% intervals each and no correction: about one in twenty would "
            "look better or worse than it is by chance alone.",
        )
    if training is not None and training.best_epoch == training.max_epochs:
        yield Caution(
            "warning",
            f"The towers were still improving when train.max_epochs = {training.max_epochs} ended; raise it.",
        )
    if tuning is not None and tuning.reached < tuning.target:
        yield Caution(
            "warning",
            f"The searcher reached recall {number(tuning.reached, 4)} against exact search, below the target "
            f'{number(tuning.target, 4)}; exact search (index.searcher = "exact") loses nothing.',
        )
    if ranking is not None and ranking.epoch == 0:
        yield Caution(
            "warning",
            "No epoch of the ranker beat the towers' own order on its held-out queries, so its starting weights "
            "were kept, which follow that order.",
        )
