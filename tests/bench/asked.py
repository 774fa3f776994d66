"""What a benchmark on real data is asked for on the command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from configs.load import builtin, load
from configs.schema import Config


@dataclass(frozen=True)
class Asked:
    """data: the folder of the data set; seeds: those to fit with; cuts: those to judge at, where several may be; peers:
    those to compare with; overrides: as with --set, key=value."""

    data: str
    seeds: range
    cuts: tuple[float, ...]
    peers: tuple[str, ...]
    overrides: tuple[str, ...]

    @classmethod
    def of(cls, data: str, cuts: tuple[float, ...] = (), peers: tuple[str, ...] = ()) -> Asked:
        """From the arguments of this process; `data`, `cuts` and `peers` are the defaults."""
        parser = argparse.ArgumentParser()
        parser.add_argument("data", nargs="?", default=data)
        parser.add_argument("overrides", nargs="*", help="key=value, as with --set")
        parser.add_argument("--seeds", type=int, default=1, help="how many")
        parser.add_argument("--first", type=int, default=0, help="the first of them: hours can be split")
        if cuts:
            parser.add_argument("--cuts", type=float, nargs="+", default=cuts)
        if peers:
            parser.add_argument("--peers", nargs="+", choices=peers, default=peers)
        found = parser.parse_args()
        seeds = range(found.first, found.first + found.seeds)
        judged = tuple(found.cuts) if cuts else (), tuple(found.peers) if peers else ()
        return cls(found.data, seeds, *judged, tuple(found.overrides))

    def config(self, name: str, *overrides: str, seed: int = 0) -> Config:
        """A shipped config on the data, with these overrides and those that were asked for."""
        changes = [f"data.path={self.data}", f"seed={seed}", *overrides, *self.overrides]
        return load(builtin(name), changes)


def spread(values: list[float]) -> str:
    """How far seeds lie apart, in words; nothing for one."""
    if len(values) == 1:
        return ""
    return f"{len(values)} seeds: {min(values):.4f} to {max(values):.4f}, sd {np.std(values, ddof=1):.4f}"
