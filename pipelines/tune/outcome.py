"""What a search found, on one screen and as a config."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna
from rich import box
from rich.console import Console
from rich.table import Table

from configs.schema import Config
from pipelines.files import write_whole
from pipelines.tune import BEST
from pipelines.tune.search import Tried, shown, used
from pipelines.tune.space import with_values
from pipelines.tune.toml import as_toml, literal

_ENOUGH = 10  # finished trials below which importances say more of chance than of keys


@dataclass(frozen=True)
class Outcome:
    """What was tried, in the order it ran; importance: each key's share of the differences in recall, empty while too
    few trials have finished; folder: where best.toml, trials.json and the logs are; requests: how many of the
    validation window recall is a mean over."""

    config: Config
    tried: tuple[Tried, ...]
    importance: dict[str, float]
    folder: Path
    requests: int

    @property
    def start(self) -> Tried:
        """The config as it stands."""
        return self.tried[0]

    @property
    def best(self) -> Tried:
        """The best of those that were not given up; never worse than the start."""
        return _best(self.tried)

    @property
    def toml(self) -> Path:
        """The best config."""
        return self.folder / BEST


def importance(study: optuna.Study) -> dict[str, float]:
    """Share of each key in the variance of finished trials, largest first (functional ANOVA, Hutter et al., 2014)."""
    finished = study.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    if len(finished) < _ENOUGH or len({trial.value for trial in finished}) == 1:
        return {}
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return dict(optuna.importance.get_param_importances(study, evaluator=evaluator))


def write_best(config: Config, tried: Sequence[Tried], folder: Path) -> None:
    """Write the best config so far."""
    best, start = _best(tried), tried[0]
    found = (
        f"# Trial {best.place} of {len(tried)} of twinspire tune: validation recall@{config.gate.k} "
        f"{best.scalars['recall']:.4f}, {start.scalars['recall']:.4f} at the start.\n"
        "# It was chosen for that value, which therefore flatters it; the test window is the judge.\n"
    )
    write_whole(folder / BEST, found + as_toml(with_values(config, best.values)))


def _best(tried: Sequence[Tried]) -> Tried:
    return max((one for one in tried if one.counts), key=lambda one: one.scalars["recall"])


def print_outcome(outcome: Outcome, console: Console) -> None:
    """The trials, best first and the given up last; which keys mattered; the best config's overrides; the budget."""
    console.print(_table(outcome))
    best, start, config = outcome.best, outcome.start, outcome.config
    finished = sum(one.counts for one in outcome.tried)
    if outcome.importance:
        shares = "  ".join(f"{key} {share:.0%}" for key, share in outcome.importance.items())
        console.print(f"importance of keys: {shares}")
    else:
        console.print(f"importance of keys: cannot tell from {finished} finished trials, {_ENOUGH} are needed")
    minutes = f" of {config.tune.minutes:g}" if config.tune.minutes else ""
    console.print(
        f"budget used: {len(outcome.tried)} of {config.tune.trials} trials, "
        f"{used(outcome.tried) / 60:.1f}{minutes} minutes"
    )
    if best is start:
        console.print("nothing that was tried beats the config as it stands")
        return
    gain = best.scalars["recall"] - start.scalars["recall"]
    console.print(
        f"best: trial {best.place}, validation recall@{config.gate.k} {gain:+.4f} on the config as it stands, over "
        f"{outcome.requests:,} requests"
    )
    console.print(
        f"  the best of {finished} is in part the luckiest of them, and more so on few requests; run both configs and "
        "`twinspire compare` them on the test window"
    )
    for key, value in best.values.items():
        if value != start.values[key]:
            console.print(f"  {key} = {literal(value)}", markup=False)


def _table(outcome: Outcome) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    gate, keys = outcome.config.gate, list(outcome.start.values)
    for name in ("trial", f"recall@{gate.k}", f"ndcg@{gate.list_k}", "epochs", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("ended")
    for key in keys:
        words = key.split(".", 1)[1].replace(".", " ").replace("_", " ")  # a header that may be broken in lines
        table.add_column(words, justify="right", overflow="fold")
    for one in sorted(outcome.tried, key=lambda one: (not one.counts, -one.scalars.get("recall", -1))):
        place = f"{one.place}{' start' if one is outcome.start else ''}"
        scores = (f"{one.scalars[name]:.4f}" if one.scalars else "" for name in ("recall", "ndcg"))
        values = (shown(one.values[key]) for key in keys)
        table.add_row(place, *scores, str(len(one.curve)), f"{one.seconds:.0f}", one.ended, *values)
    return table
