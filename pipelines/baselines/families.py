"""The table of baselines: how each family is made, which settings are tried, and why one is left out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any

import numpy as np

from configs.schema import Config
from pipelines.baselines.base import Baseline
from pipelines.baselines.blend import Blended
from pipelines.baselines.content import Content
from pipelines.baselines.ease import EASE
from pipelines.baselines.explicit import RatingBiases, RatingNeighbours, Ratings, RatingSVD
from pipelines.baselines.factors import ALS, BPR
from pipelines.baselines.hybrid import LightFM
from pipelines.baselines.neighbours import ItemNeighbours, UserNeighbours
from pipelines.baselines.popularity import DecayedPopularity, DiscountedPopularity, Popularity, SegmentPopularity
from pipelines.baselines.terms import CATEGORIES, WORDS, documents, indicators
from pipelines.baselines.windows import window_lengths, windows_of
from pipelines.dataset import Dataset

EXTRA = "pip install 'twinspire[baselines]'"
# The extra leaves it to Pythons for which there is a wheel.
LIGHTFM = EXTRA if sys.version_info >= (3, 12) else "pip install lightfm-next, which takes a C compiler on this Python"

Settings = dict[str, Any]
Make = Callable[..., Baseline]  # an unfitted baseline from settings and a name


@dataclass(frozen=True)
class Family:
    """Baselines that differ in their settings, of which the first are the reference.

    left_out: why it cannot or shall not run, "" where it runs; base: the family whose settings it takes besides its
    own.
    """

    name: str
    make: Make
    settings: tuple[Settings, ...] = ({},)
    left_out: str = ""
    base: str = ""


def families(dataset: Dataset) -> tuple[Family, ...]:
    """All of them in the order of the results, also those that are left out."""
    config, seed = dataset.config, dataset.config.seed
    off, blended, rated = partial(_off, config), partial(_blended, dataset), partial(_rated, dataset)
    dense, knn, blends = _too_many(dataset), off("neighbours"), off("blends")
    ease = off("ease") or dense
    lightfm = off("lightfm") or _not_installed("lightfm", LIGHTFM)
    ratings = off("ratings") or _unrated(dataset) or _not_installed("surprise", EXTRA)
    return (
        *popularity_families(dataset),
        #      name                     made by                      tried         left out if, with the reason
        Family("TF-IDF content",        _content(dataset),           _CONTENT,     off("content") or _wordless(config)),
        Family("user-kNN",              UserNeighbours,              _USER_KNN,    off("user_neighbours")),
        Family("item-kNN",              ItemNeighbours,              _ITEM_KNN,    knn),
        Family("item-kNN + popularity", blended(ItemNeighbours),     _WEIGHTS,     knn or blends, base="item-kNN"),
        Family("EASE",                  EASE,                        _EASE,        ease),
        Family("EASE + popularity",     blended(EASE),               _WEIGHTS,     ease or blends, base="EASE"),
        Family("ALS",                   partial(ALS, seed=seed),     _als(config), off("als")),
        Family("BPR",                   partial(BPR, seed=seed),     _bpr(config), off("bpr")),
        Family("LightFM",               _lightfm(dataset),           _LIGHTFM,     lightfm),
        Family("biases on ratings",     rated(RatingBiases),         ({},),        ratings),
        Family("k-NN on ratings",       rated(RatingNeighbours),     _RATING_KNN,  ratings or dense),
        Family("SVD on ratings",        rated(RatingSVD, seed=seed), _RATING_SVD,  ratings),
    )  # fmt: skip


# --- the settings that are tried, the reference first -------------------------------------------------------


def _grid(names: str, *values: Any) -> tuple[Settings, ...]:
    """Settings from names between spaces and the values of each."""
    keys = names.split()
    return tuple(dict(zip(keys, value if len(keys) > 1 else (value,), strict=True)) for value in values)


_CONTENT = _grid("ngrams sublinear", (1, False), (2, False), (1, True))
_USER_KNN = _grid("neighbours shrinkage", (100, 20), (200, 20), (400, 20), (50, 20), (100, 0), (100, 100))
_ITEM_KNN = _grid("neighbours shrinkage", (100, 20), (100, 100), (200, 100), (50, 20), (50, 500), (400, 100))
_EASE = _grid("l2", 1000.0, 2000.0, 500.0, 4000.0, 250.0, 125.0)
_WEIGHTS = _grid("weight", 1.0, 2.0, 0.5, 4.0, 0.25, 8.0)
_LIGHTFM = _grid("epochs", 10, 15, 20, 30)  # ascending: each goes on where the last one stopped
_RATING_KNN = _grid("neighbours shrinkage", (40, 100), (20, 100), (80, 100), (40, 20), (40, 500))
_RATING_SVD = _grid(
    "factors epochs regularization", (100, 20, 0.02), (20, 20, 0.02), (50, 50, 0.1), (100, 50, 0.1), (20, 50, 0.05)
)


def _als(config: Config) -> tuple[Settings, ...]:
    f = config.baselines.factors
    half, quarter = max(f // 2, 1), max(f // 4, 1)
    return _grid(
        "factors regularization", (f, 0.05), (half, 0.05), (quarter, 0.05), (half, 10.0), (quarter, 10.0), (f, 10.0)
    )


def _bpr(config: Config) -> tuple[Settings, ...]:
    f = config.baselines.factors
    return _grid(
        "factors learning_rate regularization iterations",
        (f, 0.01, 0.01, 100),
        (f, 0.01, 0.001, 50),
        (f, 0.01, 0.01, 25),
        (f, 0.002, 0.01, 50),
    )


# --- how they are made --------------------------------------------------------------------------------------


def popularity_families(dataset: Dataset) -> list[Family]:
    """Those that a bundle may serve on their own, and that the towers are held against."""
    windows = windows_of(dataset)
    lengths = window_lengths(dataset)
    short, long = lengths[0], lengths[-1]
    found = [Family("popularity", Popularity)]
    found += [
        Family(f"popularity {window}", partial(Popularity, length))
        for window, length in zip(windows, lengths, strict=True)
    ]
    if dataset.segment is not None:
        name = f"popularity {windows[-1]} by {dataset.config.data.segment}"
        found.append(Family(name, partial(SegmentPopularity, dataset.segment, long)))
    half_lives = _grid("half_life", *(short * times for times in (1, 2, 0.5, 4, 0.25, 8)))
    discounts = [*((long, power) for power in (0.2, 0.3, 0.1, 0.5)), (short, 0.2), (short, 0.1)]
    found.append(Family("popularity decaying", DecayedPopularity, half_lives))
    found.append(Family("popularity novelty-discounted", DiscountedPopularity, _grid("window power", *discounts)))
    return found


def _blended(dataset: Dataset, model: Make) -> Make:
    window = window_lengths(dataset)[-1]

    def make(weight: float, name: str = "", **settings: Any) -> Baseline:
        return Blended(model(**settings), settings, window, weight, name)

    return make


def _content(dataset: Dataset) -> Make:
    texts = cache(lambda: documents(dataset.tables.items, dataset.config.on("items"), WORDS))
    return lambda **settings: Content(texts(), **settings)


def _lightfm(dataset: Dataset) -> Make:
    def features(table: str) -> Any:
        return indicators(documents(getattr(dataset.tables, table), dataset.config.on(table), CATEGORIES))

    both = cache(lambda: (features("queries"), features("items")))
    return lambda **settings: LightFM(*both(), seed=dataset.config.seed, **settings)


def _rated(dataset: Dataset, model: Make, **fixed: Any) -> Make:
    ratings = cache(lambda: Ratings.of(dataset.log, dataset.tables.ratings))  # type: ignore[arg-type]
    return lambda **settings: model(ratings(), **fixed, **settings)


# --- why one is left out ------------------------------------------------------------------------------------


def _off(config: Config, switch: str) -> str:
    return "" if getattr(config.baselines, switch) else f"switched off: baselines.{switch} = false"


def _not_installed(module: str, how: str) -> str:
    try:
        import_module(module)
    except ImportError as error:
        return f"not installed: {how}" if error.name == module else f"{module} cannot be imported: {error}"
    return ""


def _too_many(dataset: Dataset) -> str:
    most = dataset.config.baselines.max_items
    return f"{dataset.n_items:,} items, at most {most:,}: baselines.max_items" if dataset.n_items > most else ""


def _unrated(dataset: Dataset) -> str:
    """Every fit sees the first window, so what can be learned from that can be learned from all."""
    ratings = dataset.tables.ratings
    if ratings is None:
        return "no ratings: data.events.rating names no column"
    known = ratings[(dataset.cuts.window == 0) & np.isfinite(ratings)]
    if not len(known):
        return f"no ratings: {dataset.config.data.events.rating} is empty in the training window"
    return f"all ratings of the training window are {known[0]:g}" if (known == known[0]).all() else ""


def _wordless(config: Config) -> str:
    known = any(feature.kind in WORDS for feature in config.on("items"))
    return "" if known else "no text, category or multi_category feature of items"
