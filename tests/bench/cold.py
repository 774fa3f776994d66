"""`make bench-cold`: can what nobody has taken yet be found? Simulated data, a tenth of the items held out.

Held-out items are drawn from all that are listed at the test cut. Their events before it are removed from the log, and
they enter the catalogue at the cut as newly listed items do; what is taken of them later stays a target. Everything
else is the train stage as it is, and lists are ranked exactly over the whole catalogue.

Warm recall (targets that are not held out) is compared with towers that were fitted on the same log without measures
for cold items: no id is ever hidden, no item ever seen as new. Choices are made with `--choose`, which moves all
windows before the validation cut's and holds out other items: the test window is never looked at. `--undated` takes
the dates of all items away. With several seeds, each with its own held-out items, a query counts in the rows of all of
them with its mean.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from configs.load import builtin, load
from configs.schema import Config
from pipelines.baselines.base import Baseline
from pipelines.baselines.content import Content
from pipelines.baselines.popularity import Popularity
from pipelines.baselines.terms import WORDS, documents
from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.bootstrap import interval, paired_interval, paired_lift
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import Scorer, rank
from pipelines.evaluation.slices import only
from pipelines.progress import Progress
from pipelines.run import open_run, run_until
from pipelines.tables import Candidates, Requests
from pipelines.train import REFITTED, load_towers, train
from tests.bench.harness import Row, bench

SHARE = 0.1
K = 100
TEST = (0.8, 0.85, 0.9, 1.0)  # validation, ranker and test cut, and the end, as shares of the events
CHOOSING = (0.7, 0.75, 0.8, 0.85)
TIMES_CHANCE = 5.0
MOST_LOST = -0.05  # of warm recall
_DAY = 86_400


@dataclass(frozen=True)
class Recall:
    """Recall of each request, NaN where it has no such target, [R], and how many of its list are held out, [R]; query
    [R]: who asks."""

    query: np.ndarray
    cold: np.ndarray
    warm: np.ndarray
    places: np.ndarray


def measure(seeds: int, choose: bool, undated: bool, overrides: list[str]) -> list[Row]:
    """A world of held-out items for each seed, which is the towers' too."""
    rows: list[Row] = []
    found: list[pd.DataFrame] = []
    prepared = run_until(open_run(load(builtin("demo"), overrides)), "prepare", Progress())  # one world for all
    for seed in range(seeds):
        config = load(builtin("demo"), [*overrides, f"seed={seed}"])
        with tempfile.TemporaryDirectory() as folder:
            world = _World.of(config, prepared, Path(folder), CHOOSING if choose else TEST, undated)
        found.append(world.against())
        rows += [*_named(f"seed {seed}: " if seeds > 1 else "", [*world.rows(), *_gains(found[-1])])]
    everyone = pd.concat(found).groupby("query").mean()  # NaN where one has no such target is passed over
    return rows + ([*_named("all seeds: ", _gains(everyone))] if seeds > 1 else [])


def _named(prefix: str, rows: Iterable[Row]) -> Iterator[Row]:
    return (Row(prefix + row.what, row.value, row.unit, row.reference, row.goal, row.ok) for row in rows)


@dataclass(frozen=True)
class _World:
    """What everyone finds where some items are held out; chance: recall of a list drawn at random; items: held out."""

    towers: Recall
    plain: Recall
    content: Recall
    popularity: Recall
    chance: float
    items: int

    @classmethod
    def of(cls, config: Config, prepared: Path, folder: Path, shares: tuple[float, ...], undated: bool) -> _World:
        """Hold items out, fit towers with and without the measures, and ask."""
        config, cut, end = _moved(config, prepared, shares)
        held_out = hold_out(prepared, folder / "prepare", cut, end, np.random.default_rng([config.seed, cut]), undated)
        towers = _fitted(config, folder, "with", held_out)
        plain = _fitted(without_measures(config), folder, "without", held_out)
        dataset = load_dataset(config, folder / "prepare")
        texts = documents(dataset.tables.items, config.on("items"), WORDS)
        content, popularity = (_baseline(dataset, one, held_out) for one in (Content(texts), Popularity(7 * _DAY)))
        chance = _chance(dataset, ~np.isnan(towers.cold))
        return cls(towers, plain, content, popularity, chance, int(held_out.sum()))

    def rows(self) -> Iterator[Row]:
        """How much each finds of what is held out, and the baselines of the rest."""
        yield _level("towers", self.towers.cold, f"{self.towers.places.mean():.1f} places of {K}", self.chance)
        for name, rival in (("TF-IDF content", self.content), ("popularity 7d", self.popularity)):
            yield _level(name, rival.cold, f"{rival.places.mean():.1f} places of {K}")
        text = f"{self.items} items, {(~np.isnan(self.towers.cold)).sum()} requests"
        yield Row("held-out items: chance", self.chance, f"recall@{K}", text)
        yield _level("towers without measures", self.plain.cold, f"{self.plain.places.mean():.1f} places of {K}")
        for name, rival in (("TF-IDF content", self.content), ("popularity 7d", self.popularity)):
            yield Row(f"other items: {name}", float(np.nanmean(rival.warm)), f"recall@{K}")

    def against(self) -> pd.DataFrame:
        """Recall of each query, by the towers and what they are compared with."""
        cold = {"towers": self.towers.cold, "content": self.content.cold}
        warm = {"warm": self.towers.warm, "without": self.plain.warm}
        return pd.DataFrame({"query": self.towers.query, **cold, **warm})


def _gains(recall: pd.DataFrame) -> Iterator[Row]:
    """What the measures are for, and what they cost."""
    asked, warm = recall.dropna(subset="towers"), recall.dropna(subset="warm")
    gain = paired_interval(asked["towers"].to_numpy(), asked["content"].to_numpy())
    text = (
        f"{asked['towers'].mean():.4f} against {asked['content'].mean():.4f}, 95 % [{gain.low:+.4f}, {gain.high:+.4f}],"
        f" n = {gain.n}"
    )
    yield Row("held-out items: towers - TF-IDF", gain.mean, f"recall@{K}", text, "lower bound above 0", gain.low > 0)
    change = paired_lift(warm["warm"].to_numpy(), warm["without"].to_numpy())
    text = (
        f"{warm['without'].mean():.4f} to {warm['warm'].mean():.4f}, 95 % [{change.low:+.1%}, {change.high:+.1%}], "
        f"n = {change.n}"
    )
    goal = f"lower bound above {MOST_LOST:.0%}"
    yield Row("other items: change by the measures", change.mean, "relative", text, goal, change.low > MOST_LOST)


def _level(name: str, recall: np.ndarray, text: str, chance: float | None = None) -> Row:
    found = interval(recall[~np.isnan(recall)])
    text = f"95 % [{found.low:.4f}, {found.high:.4f}], {text}"
    if chance is None:
        return Row(f"held-out items: {name}", found.mean, f"recall@{K}", text)
    goal, ok = f"above {TIMES_CHANCE:g} times chance", found.low > TIMES_CHANCE * chance
    return Row(f"held-out items: {name}", found.mean, f"recall@{K}", text, goal, ok)


# --- the log with items held out ----------------------------------------------------------------------------


def _moved(config: Config, prepared: Path, shares: tuple[float, ...]) -> tuple[Config, int, int]:
    """The config with cuts at these shares of all events, as dates: taking events away must not move them; the test
    cut and the end, unix seconds."""
    time = pq.read_table(prepared / "events.parquet", columns=["time"])["time"].to_numpy()
    moments = [int(np.quantile(time, share)) for share in shares]
    dates = [datetime.fromtimestamp(moment, timezone.utc).isoformat() for moment in moments[:3]]
    split = config.split.model_copy(update=dict(zip(("validation", "ranker", "test"), dates, strict=True)))
    return config.model_copy(update={"split": split}), moments[2], moments[3] + (shares[3] == 1)


def hold_out(
    prepared: Path, folder: Path, cut: int, end: int, rng: np.random.Generator, undated: bool = False
) -> np.ndarray:
    """Write prepared tables in which a tenth of the items are new at `cut`, and which end before `end`; [N] bool."""
    folder.mkdir()
    items, events = pq.read_table(prepared / "items.parquet").to_pandas(), pq.read_table(prepared / "events.parquet")
    listed = np.flatnonzero(items["available_from"].fillna(0).to_numpy(np.int64) < cut)
    held_out = np.zeros(len(items), bool)
    held_out[rng.choice(listed, round(SHARE * len(listed)), replace=False)] = True
    time, item = (events[name].to_numpy() for name in ("time", "item_row"))
    kept = (time < end) & ~(held_out[item] & (time < cut))
    pq.write_table(events.filter(kept), folder / "events.parquet")
    items.loc[held_out, "available_from"] = cut
    if undated:
        items["available_from"] = pd.array([pd.NA] * len(items), "Int64")
    items.to_parquet(folder / "items.parquet")
    (folder / "queries.parquet").write_bytes((prepared / "queries.parquet").read_bytes())
    return held_out


# --- who answers --------------------------------------------------------------------------------------------


def without_measures(config: Config) -> Config:
    """No id of an item is ever hidden in training, and no item seen as new."""
    features = tuple(
        feature.model_copy(update={"dropout": 0.0}) if feature.kind == "id" and feature.table == "items" else feature
        for feature in config.features
    )
    return config.model_copy(
        update={"features": features, "train": config.train.model_copy(update={"cold_items": 0.0})}
    )


def _fitted(config: Config, folder: Path, name: str, held_out: np.ndarray) -> Recall:
    dataset, out = load_dataset(config, folder / "prepare"), folder / name
    out.mkdir()
    train(config, {"prepare": folder / "prepare"}, out, Progress())
    return _recall(dataset, load_towers(dataset, out, REFITTED, dataset.cuts.test).score, held_out)


def _baseline(dataset: Dataset, baseline: Baseline, held_out: np.ndarray) -> Recall:
    cut = dataset.cuts.test
    baseline.fit(dataset.past(cut), dataset.n_queries, dataset.n_items, cut.moment)
    return _recall(dataset, baseline.scores, held_out)


def _recall(dataset: Dataset, scorer: Scorer, held_out: np.ndarray) -> Recall:
    requests = dataset.test_requests
    found = rank(scorer, requests, K, dataset.eligible(dataset.cuts.test), dataset.filter_seen)
    cold, warm = (_of_some(found, requests, kept) for kept in (held_out, ~held_out))
    return Recall(requests.query, cold, warm, (held_out[found.items] & (found.items >= 0)).sum(axis=1))


def _of_some(found: Candidates, requests: Requests, kept: np.ndarray) -> np.ndarray:
    targets = only(requests.targets, kept)
    recall = per_request(found, targets, K)["recall"].astype(np.float64)
    return np.where(targets.lengths > 0, recall, np.nan)


def _chance(dataset: Dataset, asked: np.ndarray) -> float:
    """Expected recall of a list drawn at random from what those who ask may be shown."""
    eligible, history = dataset.eligible(dataset.cuts.test), dataset.test_requests.history
    seen = np.bincount(history.rows, eligible[history.values], len(history))  # a query takes an item once
    return float((K / (eligible.sum() - seen[asked])).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("overrides", nargs="*", help="key=value, as with --set")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--choose", action="store_true", help="on earlier windows and with other items held out")
    parser.add_argument("--undated", action="store_true", help="no item has a date")
    arguments = parser.parse_args()
    bench("cold", lambda: measure(arguments.seeds, arguments.choose, arguments.undated, arguments.overrides))
