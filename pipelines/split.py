"""The global time split: three cut moments that no one looks past."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from configs.errors import DataError
from configs.schema import Split, moment
from pipelines.tables import Interactions


@dataclass(frozen=True)
class Cuts:
    """Moments on the events' time axis. Windows: train up to validation, validation up to ranker, ranker up to
    test, test up to end (exclusive)."""

    validation: int
    ranker: int
    test: int
    end: int


def cut_moments(split: Split, interactions: Interactions) -> Cuts:
    """Resolve quantiles and dates. Raises: DataError when a window holds no event."""
    time = interactions.time
    resolved = {
        name: moment(cut) if isinstance(cut, str) else int(np.quantile(time, cut))
        for name, cut in (("validation", split.validation), ("ranker", split.ranker), ("test", split.test))
    }
    edges = {"train": int(time[0]), **resolved, "end": int(time[-1]) + 1}
    names = list(edges)
    for name, following in pairwise(names):
        if not len(interactions.between(edges[name], edges[following])):
            raise DataError(
                f"split: the {name} window [{edges[name]}, {edges[following]}) holds none of the "
                f"{len(time)} events; expected at least one: move split.validation, split.ranker or split.test"
            )
    return Cuts(resolved["validation"], resolved["ranker"], resolved["test"], edges["end"])
