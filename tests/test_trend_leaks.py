"""Nothing after a cut reaches what is counted, trained on or searched there: item vectors, trends, query vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from configs.schema import Config
from pipelines.dataset import Dataset
from pipelines.split import Cut
from pipelines.tables import Interactions
from pipelines.train import _examples, _log, new_towers
from pipelines.vectors import Vectors
from tests import world
from tests.pipelines.rolling.worlds import iso
from towers.backend import tf

TEST = 48  # day of the test cut, of 60
FEATURES = [f for f in world.config().model_dump()["features"] if f["name"] in ("item_id", "region", "device")]
EVERY_SOURCE = {"whole_catalogue_below": 0, "popular": 4, "hard": 4}
DATES = {
    "features": FEATURES,
    "split": {"validation": iso(36), "ranker": iso(42), "test": iso(TEST)},
    "train.negatives": EVERY_SOURCE,
}
NO_CLOCK = {  # the same numbers, read as order numbers: cuts are quantiles, which a future of as many events leaves
    "data.events": {"path": "e.csv", "query": "user", "item": "item", "order": "n", "meaning": "taken"},
    "features": FEATURES,
    "split": {"validation": 0.6, "ranker": 0.7, "test": 0.8},
    "trend": {"windows": [world.DAY, 7 * world.DAY], "bucket": world.DAY},
    "train.negatives": EVERY_SOURCE,
}
Future = Callable[[Interactions, np.random.Generator], Interactions]


def _permuted(later: Interactions, rng: np.random.Generator) -> Interactions:
    return replace(later, item=rng.permutation(later.item))


def _one_item(later: Interactions, rng: np.random.Generator) -> Interactions:
    return replace(later, item=np.full_like(later.item, 7))


def _others(later: Interactions, rng: np.random.Generator) -> Interactions:
    context = {name: rng.permutation(column) for name, column in later.context.items()}
    return replace(later, query=rng.permutation(later.query), weight=np.float32(9) * later.weight, context=context)


def _last_moment(later: Interactions, rng: np.random.Generator) -> Interactions:
    return replace(later, time=np.full_like(later.time, later.time[-1]))


def _nearly_nothing(later: Interactions, rng: np.random.Generator) -> Interactions:
    return later.take(np.arange(len(later) - 5, len(later)))


FUTURES = (_permuted, _one_item, _others, _last_moment, _nearly_nothing)


def _dataset(config: Config, future: Future | None = None) -> Dataset:
    log, items = world.log(), world.items()
    items.loc[::5, "available_from"] = world.START + 20 * world.DAY  # or when they are first taken
    plain = world.dataset(config, log, items)
    if future is None:
        return plain
    cut = plain.cuts.test.moment
    later = future(log.between(cut, plain.cuts.end.moment), np.random.default_rng(1))
    return world.dataset(config, log.before(cut).followed_by(later), items)


def _vectors(data: Dataset, cut: Cut) -> Vectors:
    """Towers of the config's own weights: what fitting makes of the past is the business of test_leakage."""
    encoded = world.encoded(data)
    return Vectors(data.config, new_towers(data, encoded), encoded, data.trend_at(cut))


def _arrays(value: object, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every array and tensor in a dataclass, by name."""
    if isinstance(value, np.ndarray | tf.Tensor):
        yield name, np.asarray(value)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _arrays(getattr(value, field.name), f"{name}.{field.name}")


@pytest.mark.parametrize(
    ("future", "changes"), [*((future, DATES) for future in FUTURES), *((future, NO_CLOCK) for future in FUTURES[:3])]
)
def test_what_is_counted_and_trained_on_before_a_cut_does_not_depend_on_what_follows(future, changes, tmp_path):
    config = world.config(changes)
    plain, other = _dataset(config), _dataset(config, future)
    assert len(plain.log) != len(other.log) or not all(
        np.array_equal(a, b) for (_, a), (_, b) in zip(_arrays(plain.log), _arrays(other.log), strict=True)
    )
    for cut, same in zip(_cuts(plain), _cuts(other), strict=True):
        assert cut == same
        assert np.array_equal(plain.trend_at(cut), other.trend_at(cut))
        ours, theirs = (_fitted_on(data, cut, tmp_path / name) for data, name in ((plain, "plain"), (other, "other")))
        assert ours.keys() == theirs.keys()
        assert ours.keys() >= COUNTED | {f"{name} of batch 0" for name in BATCH}
        for name, array in ours.items():
            assert np.array_equal(array, theirs[name]), f"{name} at {cut} depends on what follows"


COUNTED = {
    ".trends.taken",
    ".trends.listing.listed",
    ".trends.moments.now",
    ".listed",
    ".sources.frequency",
    ".sources.popular.own",
    ".sources.popular.other",
    "asking",
}
BATCH = {"item", "mask", "item_time", "moment", "target", "weight", "bucket", "query", "seen", "context/device"}


def _fitted_on(data: Dataset, cut: Cut, folder: Path) -> dict[str, np.ndarray]:
    """All that the loss reads in an epoch of a fit on the events before `cut`, by name."""
    examples = _examples(data, world.encoded(data), cut, folder)
    log = _log(data, examples, cut)
    found = dict(_arrays(log)) | {"asking": log.sources.mined.asking}
    for number, batch in enumerate(examples.epoch(0)):
        found |= {f"{name} of batch {number}": array for name, array in batch.items()}
    return found


def test_a_count_that_looks_past_its_cut_would_be_seen():
    plain, other = (_dataset(world.config(DATES), future) for future in (None, _permuted))
    later = Cut.at(plain.cuts.test.moment + 2 * world.DAY)
    assert not np.array_equal(plain.trend_at(later), other.trend_at(later))
    assert np.array_equal(plain.trend_at(later)[:, -1], other.trend_at(later)[:, -1])  # ages come from the catalogue


@pytest.mark.parametrize("future", [_permuted, _one_item])
def test_vectors_at_a_cut_do_not_depend_on_what_follows(future):
    config = world.config(DATES)
    plain, other = _dataset(config), _dataset(config, future)
    ours, theirs = (_vectors(data, data.cuts.test) for data in (plain, other))
    assert np.array_equal(ours.static, theirs.static)
    assert np.array_equal(ours.items, theirs.items)
    asked, same = plain.test_requests, other.test_requests  # whoever finds nothing new does not ask
    common = np.intersect1d(asked.query, same.query)
    assert len(common) > 20
    queries = [
        vectors.of(requests.take(np.flatnonzero(np.isin(requests.query, common))))
        for vectors, requests in ((ours, asked), (theirs, same))
    ]
    assert np.array_equal(*queries)
    assert not np.array_equal(asked.targets.values, same.targets.values)


def _cuts(data: Dataset) -> tuple[Cut, ...]:
    return data.cuts.validation, data.cuts.ranker, data.cuts.test
