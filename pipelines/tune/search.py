"""The search itself: trials one after the other, chosen by what the earlier ones reached on the validation window.

Tree-structured Parzen estimator (Bergstra et al., 2011) and median pruning by epoch, as optuna has them. Nothing but
the trials that are over and the seed say what is next; so a search that is killed and started again loses the trial
that ran, and ends where an undisturbed one ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from configs.errors import DivergedError, UserError
from configs.schema import Config
from pipelines.progress import Progress
from pipelines.shortages import DiskFull, OutOfMemory, shortage
from pipelines.tune.log import TrialLog
from pipelines.tune.space import Knob, with_values

Record = Callable[[int, Mapping[str, float]], None]
Attempt = Callable[[Config, Record], None]
"""Fits towers of a config, giving the scalars of each epoch ("recall", "ndcg", "loss", ...) to a record."""
_AT_RANDOM = 6  # trials before the estimator has anything to say
_LONGEST = 300  # characters of an error that nobody foresaw
_UNFORESEEN = "unexpected"  # how the reason of such a trial begins
_UNPRUNED, _WARM_UP = 4, 2  # trials, and epochs of each further one, that are never pruned
FINISHED, CUT_SHORT, PRUNED = "finished", "cut short", "pruned"
REFUSED, FAILED, REPEATED = "refused", "failed", "repeated"


@dataclass(frozen=True)
class Tried:
    """One trial that is over.

    place: from 1, which is the config as it stands; values: by key; scalars: "recall", "ndcg" and "loss" of its best
    epoch, none where it was refused; curve: the best recall up to each epoch; ended: finished, cut short (the minutes
    were up), pruned (half of the others were better by then), refused (the values do not go together, see `why`),
    failed (it diverged, memory ran out, or worse, see `why`), or repeated (an earlier one's outcome).
    """

    place: int
    values: dict[str, Any]
    ended: str
    counts: bool  # whether it was seen through, and may be the best
    scalars: dict[str, float] = field(default_factory=dict)
    curve: tuple[float, ...] = ()
    seconds: float = 0.0
    why: str = ""

    @property
    def unforeseen(self) -> bool:
        """Whether an error ended it that is neither what values can bring about nor what a person can read."""
        return self.ended == FAILED and self.why.startswith(_UNFORESEEN)


def study_of(config: Config, knobs: Sequence[Knob], done: Sequence[Tried]) -> optuna.Study:
    """What optuna knows after the trials that are over."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=config.tune.seed + len(done), n_startup_trials=_AT_RANDOM),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNPRUNED, n_warmup_steps=_WARM_UP),
    )
    for one in done:
        study.add_trial(_frozen(knobs, one))
    return study


def _frozen(knobs: Sequence[Knob], one: Tried) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=TrialState.COMPLETE if one.counts else TrialState.PRUNED,
        value=one.scalars["recall"] if one.counts else None,
        params={knob.key: knob.word(one.values[knob.key]) for knob in knobs},
        distributions={knob.key: knob.domain for knob in knobs},
        intermediate_values=dict(enumerate(one.curve, 1)),
    )


def search(
    config: Config, knobs: Sequence[Knob], done: Sequence[Tried], attempt: Attempt, logs: Path, progress: Progress
) -> Iterator[Tried]:
    """Run trials after those that are `done` until `config.tune` has had enough, yielding each when it is over.

    Raises: what `attempt` raises for the config as it stands, and later what is no fault of the values tried: a full
    disk, any other trouble with files, and what nobody foresaw where it ended the trial before too; else the search
    goes on without the values that brought an error about.
    """
    done = list(done)
    while len(done) < config.tune.trials and _left(config, done) > 0:
        trial = _next(config, knobs, done)
        values = {knob.key: knob.value(trial.params[knob.key]) for knob in knobs}
        place = len(done) + 1
        with progress.stage(f"trial {place}"):
            progress.say(f"trial {place} of {config.tune.trials}: {_described(values)}")
            earlier = next((one for one in done if one.values == values), None)
            if earlier is not None:
                one = replace(earlier, place=place, ended=REPEATED, curve=(), seconds=0.0, why=f"of {earlier.place}")
            else:
                with TrialLog(logs, place, trial.params) as log:
                    watch = _Watch(trial, log, progress, _left(config, done))
                    one = _run(config, place, values, attempt, watch, _last_failed(done))
                    worked = one.ended not in (REFUSED, FAILED)
                    log.end(one.scalars | {"epochs": len(one.curve), "seconds": one.seconds}, worked)
            progress.say(f"trial {place} {one.ended}{f': {one.why}' if one.why else ''}")
        done.append(one)
        yield one


def used(done: Sequence[Tried]) -> float:
    """Seconds that trials took."""
    return sum(one.seconds for one in done)


def shown(value: Any) -> str:
    """A value as people read it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


class _OutOfTime(Exception):
    """The minutes are up."""


class _Watch:
    """Follows a trial by epoch, and raises where it should go no further."""

    def __init__(self, trial: optuna.Trial, log: TrialLog, progress: Progress, seconds: float) -> None:
        self.best: dict[str, float] = {}
        self.curve: tuple[float, ...] = ()
        self._trial, self._log, self._progress = trial, log, progress
        self._started, self._limit = time.monotonic(), seconds

    @property
    def seconds(self) -> float:
        """Since the trial began."""
        return time.monotonic() - self._started

    def __call__(self, epoch: int, scalars: Mapping[str, float]) -> None:
        """Raises: TrialPruned, _OutOfTime."""
        if not self.best or scalars["recall"] > self.best["recall"]:
            self.best = {name: float(scalars[name]) for name in ("recall", "ndcg", "loss")}
        self._log.epoch(epoch, scalars)
        self._progress.say(f"epoch {epoch:>2}  loss {scalars['loss']:.4f}  recall {scalars['recall']:.4f}")
        self.curve += (self.best["recall"],)  # an epoch that was no better is undone by the trainer
        self._trial.report(self.curve[-1], epoch)
        if self._trial.should_prune():
            raise optuna.TrialPruned
        if self.seconds >= self._limit:
            raise _OutOfTime


def _described(values: Mapping[str, Any]) -> str:
    return "  ".join(f"{key.split('.', 1)[1]} {shown(value)}" for key, value in values.items())


def _left(config: Config, done: Sequence[Tried]) -> float:
    """Seconds of the budget that are left; those of earlier calls count."""
    if config.tune.minutes is None:
        return float("inf")
    return config.tune.minutes * 60 - used(done)


def _next(config: Config, knobs: Sequence[Knob], done: Sequence[Tried]) -> optuna.Trial:
    study = study_of(config, knobs, done)
    if not done:
        study.enqueue_trial({knob.key: knob.word(knob.own) for knob in knobs})
    return study.ask({knob.key: knob.domain for knob in knobs})


def _last_failed(done: Sequence[Tried]) -> bool:
    """Whether nobody foresaw how the last trial ended that was fitted."""
    fitted = (one for one in reversed(done) if one.ended not in (REPEATED, REFUSED))
    return next((one.unforeseen for one in fitted), False)


def _run(
    config: Config, place: int, values: dict[str, Any], attempt: Attempt, watch: _Watch, last_failed: bool
) -> Tried:
    ended, why = FINISHED, ""
    try:
        attempt(with_values(config, values), watch)
    except optuna.TrialPruned:
        ended, why = PRUNED, "half of the others were better by then"
    except _OutOfTime:
        ended, why = CUT_SHORT, f"{config.tune.minutes:g} minutes are up"
    except Exception as error:
        told = shortage(error) or error
        if place == 1 or isinstance(told, (DiskFull, OSError)):
            raise
        if last_failed and not isinstance(told, UserError):
            raise  # two in a row: the machine or the code fails, and would fail all that are left
        ended, why = _given_up(told)
    return Tried(place, values, ended, ended in (FINISHED, CUT_SHORT), watch.best, watch.curve, watch.seconds, why)


def _given_up(error: Exception) -> tuple[str, str]:
    """How an error ended a trial, and why: a search that stopped would draw the same values each time it goes on."""
    if not isinstance(error, UserError):
        return FAILED, " ".join(f"{_UNFORESEEN} {type(error).__name__}: {error}".split())[:_LONGEST]
    return FAILED if isinstance(error, (DivergedError, OutOfMemory)) else REFUSED, str(error)
