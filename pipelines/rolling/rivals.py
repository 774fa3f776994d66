"""Which popularities the towers are held against in a replay."""

from __future__ import annotations

from pathlib import Path

from configs.errors import ConfigError
from pipelines.baselines.base import Baseline
from pipelines.baselines.stage import chosen_popularity, popularities
from pipelines.dataset import Dataset
from pipelines.evaluation.results import load_results

_MOST = 3  # besides the towers


def named(dataset: Dataset) -> Baseline | None:
    """The popularity that the config names, not fitted; None where it names none.

    Raises: ConfigError when there is none of that name.
    """
    against, every = dataset.config.rolling.against, popularities(dataset)
    found = next((one for one in every if one.name == against), None)
    if against is not None and found is None:
        names = ", ".join(repr(one.name) for one in every)
        raise ConfigError(f"rolling.against: found {against!r}, expected one of {names}")
    return found


def rivals(dataset: Dataset, folder: Path) -> list[Baseline]:
    """The popularity that the config names, else the one chosen on validation; then the strongest on the test requests.

    `folder` is that of the baselines. Raises: ConfigError as `named` does.
    """
    metric, results = f"recall@{dataset.config.gate.k}", load_results(folder / "results.npz")
    chosen = named(dataset) or chosen_popularity(dataset, folder)
    others = [one for one in popularities(dataset) if one.name != chosen.name]
    others.sort(key=lambda one: -results[one.name].mean(metric))
    return [chosen, *others[: _MOST - 1]]
