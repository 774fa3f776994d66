"""How stale a published bundle is: the age of its vectors, the items it lacks, and how far vectors have drifted.

What is measured is the static part of item vectors, which the towers make of an item's features; their trends are of
the day of the export. `pipelines.freshness` holds it against limits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import ConfigError
from configs.load import parse
from configs.stages import Freshness
from pipelines.compaction import room
from pipelines.embedding import available, embedded, refuse_without_towers
from pipelines.prepare import read_items
from pipelines.progress import Progress
from serving.bundle import Bundle
from serving.computed import UNKNOWN, read_moments
from serving.delta import Variables, apart, dead_in, rows_of
from serving.manifest import MANIFEST, newest, verify
from serving.variables import read_variables

_MOST = 100_000  # items whose vectors are computed anew; of more, so many are drawn
_SEED = 0
_OF_INDEX = ("retrieval/listed", "retrieval/indexed", "retrieval/replaced", "retrieval/delta")
_OF_ITEMS = ("ids/ids", "ids/fingerprints", "ids/by_fingerprint", "retrieval/static")


@dataclass(frozen=True)
class Ages:
    """Seconds since the vectors of `items` items, those that may be shown, were computed.

    oldest and median are of those for which that is known, None where it is known of none; unknown: of how many not.
    """

    items: int
    unknown: int
    oldest: int | None
    median: int | None


@dataclass(frozen=True)
class Beside:
    """Items searched exactly beside an index of `indexed`, of all `shown` that may be shown.

    dead: how many of the index are out of date: not shown any more, or with another vector; room: how many of either
    may be; compacts: whether an upsert that needs more can build the index again.
    """

    items: int
    indexed: int
    shown: int
    room: int
    compacts: bool
    dead: int = 0


@dataclass(frozen=True)
class Missing:
    """A bundle held against today's item table.

    Of the `available` items of the table it does not know `unknown`, and knows `hidden` that it does not show; gone:
    ids that it shows and that are not in the table. entering: of the available ones that it does not show, how many an
    upsert would put beside the index.
    """

    available: int
    unknown: int
    hidden: int
    gone: tuple[str, ...]
    entering: int


@dataclass(frozen=True)
class Drift:
    """1 - cosine between stored vectors and those of today's table, over `compared` of the `known` items of both.

    mean, p95 (95th percentile); moved, share whose vector differs by more than rounding; entering: how many items of
    the index an upsert would put beside it for that, estimated where not all were compared. With nothing to compare all
    are 0.
    """

    known: int
    compared: int
    mean: float
    p95: float
    moved: float
    entering: int


@dataclass(frozen=True)
class Staleness:
    """What was found of one version at `now`, unix seconds, and how stale it may be; missing and drift are None where
    there was no item table."""

    version: Path
    now: int
    limits: Freshness
    ages: Ages
    beside: Beside
    missing: Missing | None
    drift: Drift | None


def staleness(
    path: Path,
    items: Path | None = None,
    overrides: Sequence[str] = (),
    now: int | None = None,
    progress: Progress | None = None,
) -> Staleness:
    """Measure the bundle at `path`, a version or a model's folder.

    items: today's whole item table, with the columns that the bundle's config names; overrides: of the limits in the
    bundle's config, such as "freshness.max_age=7d"; now: when it is, unix seconds. Raises: UserError.
    """
    version, now = newest(path.resolve()), int(time.time()) if now is None else now
    progress = progress or Progress(quiet=True)
    manifest = verify(version)
    refuse_without_towers("staleness", manifest, str(version))
    bundle = Bundle(version, manifest)
    limits = _limits(bundle, overrides)
    with progress.stage("staleness"):
        variables = read_variables(version, _OF_INDEX if items is None else (*_OF_INDEX, *_OF_ITEMS))
        listed = variables["retrieval/listed"]
        ages = _ages(read_moments(version, len(listed))[listed], now)
        missing = drift = None
        if items is not None:
            table = read_items(bundle.config, items)
            rows = rows_of(variables, table["item"].astype(str).tolist())
            here = available(bundle.config, table, now)
            missing = _missing(variables, rows, here)
            drift = _drift(bundle, variables, table, rows, here, progress)
    return Staleness(version, now, limits, ages, _beside(variables, bundle), missing, drift)


def _limits(bundle: Bundle, overrides: Sequence[str]) -> Freshness:
    """Raises: ConfigError, also for overrides of what is no limit: they would do nothing to a finished bundle."""
    keys = [f"freshness.{name}" for name in Freshness.model_fields]
    for override in overrides:
        if override.partition("=")[0] not in keys:
            raise ConfigError(f"--set: found {override!r}, expected one of {', '.join(keys)}")
    return parse(bundle.manifest["config"], str(bundle.folder / MANIFEST), overrides).freshness


def _ages(moments: np.ndarray, now: int) -> Ages:
    known = np.maximum(now - moments[moments != UNKNOWN], 0)  # two machines' clocks may differ
    if not len(known):
        return Ages(len(moments), len(moments), None, None)
    return Ages(len(moments), len(moments) - len(known), int(known.max()), int(np.median(known)))


def _beside(variables: Variables, bundle: Bundle) -> Beside:
    indexed, shown = len(variables["retrieval/indexed"]), int(variables["retrieval/listed"].sum())
    most = room(indexed, bundle.config.index.delta)
    return Beside(
        len(variables["retrieval/delta"]), indexed, shown, most, "index" in bundle.manifest, dead_in(variables)
    )


def _inside(variables: Variables) -> np.ndarray:
    """Which items the index holds with the vectors they have, [N] bool."""
    inside = np.zeros(len(variables["retrieval/listed"]), bool)
    inside[variables["retrieval/indexed"]] = True
    return inside & ~variables["retrieval/replaced"]


def _missing(variables: Variables, rows: np.ndarray, here: np.ndarray) -> Missing:
    """rows: those of the bundle that the table's items have, -1 for unknown ones; here: which of them are available."""
    listed = variables["retrieval/listed"]
    unknown = int((here & (rows < 0)).sum())
    hidden = rows[here & (rows >= 0)]
    hidden = hidden[~listed[hidden]]
    gone = listed.copy()
    gone[rows[rows >= 0]] = False
    return Missing(
        available=int(here.sum()),
        unknown=unknown,
        hidden=len(hidden),
        gone=tuple(item.decode() for item in variables["ids/ids"][:-1][gone]),
        entering=unknown + int((~_inside(variables)[hidden]).sum()),
    )


def _drift(
    bundle: Bundle, variables: Variables, table: pd.DataFrame, rows: np.ndarray, here: np.ndarray, progress: Progress
) -> Drift:
    """rows and here as for `_missing`, of the same table."""
    known = np.flatnonzero(rows >= 0)
    chosen = known
    if len(known) > _MOST:
        chosen = np.sort(np.random.default_rng(_SEED).choice(known, _MOST, replace=False))
    if not len(chosen):
        return Drift(0, 0, 0.0, 0.0, 0.0, 0)
    progress.expect(len(chosen), "items embedded")
    now = embedded("staleness", bundle, table.iloc[chosen], progress.advance)["vector"]
    moved, distance = apart(variables["retrieval/static"][rows[chosen]], now)
    leaving = moved & _inside(variables)[rows[chosen]] & here[chosen]
    return Drift(
        known=len(known),
        compared=len(chosen),
        mean=float(distance.mean(dtype=np.float64)),
        p95=float(np.percentile(distance, 95)),
        moved=float(moved.mean()),
        entering=round(float(leaving.mean()) * len(known)),
    )
