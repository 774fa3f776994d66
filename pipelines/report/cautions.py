"""What a reader should keep in mind: how fair the protocol is, and where the run itself looks doubtful."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from configs.schema import Config
from pipelines.index.record import IndexTuning
from pipelines.report.data import DataPart
from pipelines.report.parts import Ranking, Training
from pipelines.report.standings import Standings
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


_PROTOCOLS = {
    "global_time": Caution(
        "note",
        "The split is a global time split: everything judged lies after everything learned, for all queries alike. "
        "That is fair; numbers from leave-last-out or random splits are higher and cannot be compared.",
    ),
    "leave_last_out": Caution(
        "warning",
        "The split leaves each query's last events out, and so leaks across queries: what others did later is known "
        "when an earlier event is to be predicted. It is there to repeat published numbers, which are higher than "
        'what a live system reaches; decide on a run with split.protocol = "global_time".',
    ),
    "random": Caution(
        "warning",
        "The split is random, and so leaks the future of every query and of every item: later events explain earlier "
        "ones. It is there to repeat published numbers and says nothing about a live system; decide on a run with "
        'split.protocol = "global_time".',
    ),
}


def protocol_cautions(config: Config, data: DataPart | None) -> Iterator[Caution]:
    """How the split and the data limit what the numbers mean."""
    yield _PROTOCOLS[config.split.protocol]
    if config.evaluation.sampled_negatives:
        yield Caution(
            "warning",
            f"Metrics marked sampled rank each target among up to {config.evaluation.sampled_negatives} drawn items. "
            "They are higher than those of full ranking and can order contenders differently (Krichene and Rendle, "
            "2020): compare them with the published table that they repeat, and with nothing else.",
        )
    least = {name: getattr(config.data, name) for name in ("min_item_events", "min_query_events")}
    set_to = " and ".join(f"data.{name} = {count}" for name, count in least.items() if count)
    if set_to:
        yield Caution(
            "warning",
            f"{set_to}: events are counted over the whole log, test window included, so this looks ahead: items or "
            "queries that stay rare later are gone already. It is there to repeat published protocols; do not quote "
            "these numbers as what a live system would do.",
        )
    if config.split.protocol == "global_time" and any(
        isinstance(cut, float) for cut in (config.split.validation, config.split.ranker, config.split.test)
    ):
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
    returning = config.split.history == "cut"
    if judged.drawn < judged.queries:
        yield Caution(
            "note",
            f"{judged.drawn:,} of {judged.queries:,} queries of the test window are judged, drawn evenly "
            "(split.max_queries); intervals hold what that leaves open, and counts of queries and pairs are of these.",
        )
    if judged.requests < _FEW:
        yield Caution(
            "warning",
            f"Only {judged.requests} request{'s' * (judged.requests != 1)} could be judged; intervals are wide. "
            "Move split.test earlier.",
        )
    if config.split.protocol == "global_time" and config.data.events.time and test.end - test.start < _WEEK:
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
            f"{judged.new_queries:,} queries of the test window have no past; baselines cannot tell them apart. They "
            'are judged on their own, as the slice "newcomers", and are in no other number.',
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
    board: Standings | None,
    verdicts: Sequence[Verdict],
    training: Training | None,
    searcher: IndexTuning | None,
    ranking: Ranking | None,
) -> Iterator[Caution]:
    """Where the run itself looks doubtful."""
    if board is not None and board.strongest:
        yield Caution(
            "note",
            "The best baseline is picked on the judged requests themselves, so a lucky one counts in full: "
            "differences to it are on the cautious side.",
        )
    slices = sum(verdict.slice != "all" for verdict in verdicts)
    if slices:
        yield Caution(
            "note",
            f"{slices} slices are looked at with 95% intervals each and no correction: of those that are level "
            "about one in forty looks surely worse by chance alone, and one in forty surely better.",
        )
    if training is not None and training.cut_short:
        yield Caution(
            "warning",
            f"The towers were still improving when train.max_epochs = {training.max_epochs} ended; raise it.",
        )
    if searcher is not None and searcher.verdict == "missed":
        yield Caution(
            "warning",
            f"The searcher reached recall {number(searcher.held_out.mean, 4)} against exact search, below the target "
            f'{number(searcher.target, 4)}; exact search (index.searcher = "exact") loses nothing.',
        )
    if searcher is not None and searcher.verdict == "cannot tell":
        yield Caution(
            "note",
            f"{searcher.held_out.n} query vectors are too few to tell whether the searcher reaches recall "
            f"{number(searcher.target, 4)} against exact search.",
        )
    if ranking is not None and ranking.epoch == 0:
        yield Caution(
            "warning",
            "The ranker with the least loss did not beat the towers' own order on the requests that it is chosen on, "
            "so its starting weights were kept, which follow that order.",
        )
