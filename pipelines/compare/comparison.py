"""Several runs side by side: what each is worth, and what it gains and loses against the first.

A difference is paired where both runs were asked the same requests: the same queries at the same moments, wanting
the same items, by the names that both know them by. Where they were not, levels are all that can be said: two means
over different people differ for reasons that have nothing to do with the models.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from configs.schema import Config
from pipelines.compare.settings import Setting, differing
from pipelines.dataset import load_dataset
from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.results import Results, load_results
from pipelines.evaluation.sliced import changes, digest_of
from pipelines.report.decision import Word
from pipelines.report.standings import difference
from pipelines.report.summary import Summary, summarise
from pipelines.report.variety import Change
from pipelines.stage import config_of, current_results

_ASKED = ("data.", "split.", "seed")  # what decides who is asked
_STAGES = ("gate", "rank")  # whose folders hold the model's results


@dataclass(frozen=True)
class Level:
    """A headline metric of one run: which stage stands for its model, its mean, how far it is ahead of the same stage
    of the first run (None where that cannot be said), and the strongest baseline with its mean."""

    stage: str
    value: Interval
    ahead: Interval | None
    strongest: str
    baseline: float


@dataclass(frozen=True)
class Row:
    """One run. levels: by metric, without those that it does not have; unpaired: why it cannot be compared in pairs
    with the first, "" where it can (and for the first itself); changes: how varied its lists are."""

    run: str
    verdict: Word
    requests: int
    levels: dict[str, Level]
    unpaired: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class SliceChange:
    """A slice in which a run is surely worse or better than the first, on n requests."""

    run: str
    slice: str
    stage: str
    metric: str
    before: float
    now: float
    ahead: Interval
    worse: bool


@dataclass(frozen=True)
class Comparison:
    """The first run and the others. slices: those that differ surely, what got worse first; next_step: a command."""

    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    slices: tuple[SliceChange, ...]
    settings: tuple[Setting, ...]
    advice: str
    next_step: str

    @property
    def regressions(self) -> tuple[SliceChange, ...]:
        """Slices that got worse."""
        return tuple(one for one in self.slices if one.worse)


def compare(runs: Sequence[Path]) -> Comparison:
    """Compare runs by their folders with the first of them. Raises: UserError for fewer than two, or folders that are
    no runs or hold nothing to compare."""
    if len(runs) < 2:
        raise UserError(f"compare: found {len(runs)} run, expected at least two: twinspire compare RUN RUN")
    read = [_Run.of(folder) for folder in runs]
    settings = differing([one.config for one in read])
    metrics = read[0].summary.headline
    rows = tuple(_row(one, read[0], metrics, settings) for one in read)
    slices = tuple(change for one, row in zip(read[1:], rows[1:], strict=True) for change in _slices(one, read[0], row))
    slices = tuple(sorted(slices, key=lambda one: (not one.worse, one.ahead.mean)))
    return Comparison(metrics, rows, slices, settings, *_advice(rows, metrics[0], settings))


@dataclass(frozen=True)
class _Run:
    name: str
    config: Config
    folders: Mapping[str, Path]
    summary: Summary
    asked: str
    results: Mapping[str, Results]

    @classmethod
    def of(cls, folder: Path) -> _Run:
        config, folders = config_of(folder), current_results(folder)
        if "prepare" not in folders or "baselines" not in folders:
            raise UserError(f"compare: {folder} has no baselines yet, expected a run that has: twinspire run {folder}")
        dataset = load_dataset(config, folders["prepare"])
        ours = [load_results(folders[stage] / "results.npz") for stage in _STAGES if stage in folders]
        return cls(
            str(folder),
            config,
            folders,
            summarise(config, folders),
            digest_of(dataset, dataset.test_requests),
            {name: result for results in ours for name, result in results.items()},
        )


def _row(run: _Run, first: _Run, metrics: Sequence[str], settings: Sequence[Setting]) -> Row:
    board = run.summary.board
    unpaired = "" if run.asked == first.asked else _other_requests(run, first)
    levels = {}
    for metric in metrics if board is not None else ():
        stage = _stage(run, metric)
        if board is not None and stage is not None and metric in board.strongest:
            paired = run is not first and not unpaired and _stage(first, metric) == stage
            values = [one.results[stage].metrics[metric] for one in (run, first)] if paired else None
            ahead = difference(*values) if values else None
            strongest = board.strongest[metric]
            value, rival = (board.entry(name).measures[metric].value for name in (stage, strongest))
            levels[metric] = Level(stage, value, ahead, strongest, rival.mean)
    requests = board.requests if board is not None else 0
    return Row(run.name, run.summary.decision.verdict, requests, levels, unpaired, run.summary.decision.changes)


def _stage(run: _Run, metric: str) -> str | None:
    board = run.summary.board
    return board.model.get(metric) if board is not None else None


def _other_requests(run: _Run, first: _Run) -> str:
    """Why two runs were not asked the same."""
    keys = [one.key for one in differing([first.config, run.config]) if one.key.startswith(_ASKED)]
    if keys:
        return f"asked other requests than the first run ({', '.join(keys)} differ)"
    return "asked other requests than the first run (the data or the version of twinspire differ)"


def _slices(run: _Run, first: _Run, row: Row) -> list[SliceChange]:
    if row.unpaired or "evaluate" not in run.folders or "evaluate" not in first.folders:
        return []
    return [
        SliceChange(
            run.name,
            one.now.slice,
            one.now.contender,
            one.now.metric,
            one.before.value.mean,
            one.now.value.mean,
            one.against.difference,
            one.against.status == "worse",
        )
        for one in changes(run.folders["evaluate"], first.folders["evaluate"])
        if one.paired and one.now.slice != "all" and one.against.status in ("worse", "better")
    ]


def _advice(rows: Sequence[Row], metric: str, settings: Sequence[Setting]) -> tuple[str, str]:
    """What to make of it, and the command to go on with."""
    first, paired = rows[0], [row for row in rows[1:] if not row.unpaired]
    if not paired:
        keys = [one.key for one in settings if one.key.startswith(_ASKED)]
        what = f"Give all runs the same {', '.join(keys)} to" if keys else "Run all of them again on the same data to"
        return f"{what} compare them in pairs.", _command("run", rows[-1].run)
    ahead = [row for row in paired if (gap := _ahead(row, metric)) is not None and gap.low > 0]
    if not ahead:
        return f"No run is surely better than {first.run}: keep it.", _command("report", first.run)
    best = max(ahead, key=lambda row: row.levels[metric].value.mean)
    if best.verdict == "ready for an A/B test":
        return f"{best.run} is surely better than {first.run} and ready for an A/B test.", _command("publish", best.run)
    return f"{best.run} is surely better than {first.run}, but {best.verdict}; its report says why.", _command(
        "report", best.run
    )


def _ahead(row: Row, metric: str) -> Interval | None:
    return row.levels[metric].ahead if metric in row.levels else None


def _command(name: str, run: str) -> str:
    return shlex.join(["twinspire", name, run])
