"""What faults are tried on: two models that list other items, their requests, and the answers that are right."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from serving.bundle import load_bundle
from tests.bench.callers import Calling, Load, Outcome
from tests.bench.serving_requests import K, bodies
from tests.bench.untrained import END, NAME, built
from tests.serving.server.running import Running, serving

ASKED = 20  # users
_USERS = 200


@dataclass(frozen=True)
class Scene:
    """A folder for what is tried, and two bundles; versions with even numbers are the one, those with odd ones the
    other."""

    folder: Path
    even: Path
    odd: Path

    @classmethod
    def of(cls, folder: Path, items: int) -> Scene:
        """Bundles of so many items, built where they are not there yet."""
        paths = [folder / f"bundle-{items}-{seed}" for seed in range(2)]
        for seed, path in enumerate(paths):
            if not path.is_dir():
                built(path, items, _USERS, seed)
        return cls(folder, *paths)

    def bundle(self, number: int) -> Path:
        """What a version of that number is."""
        return self.odd if number % 2 else self.even

    def publish(self, model: Path, number: int) -> Path:
        """A version that comes by rename, as publishers have it; its files are links to the bundle's."""
        model.mkdir(parents=True, exist_ok=True)
        partial = model / f".partial-{number}"
        shutil.copytree(self.bundle(number), partial, copy_function=os.link)
        return partial.rename(model / str(number))

    @cached_property
    def right(self) -> Sequence[Sequence[str]]:
        """The lists of the even and of the odd model, as `Outcome` has them, by the number of the body."""
        found = []
        for folder in (self.even, self.odd):
            bundle = load_bundle(folder)
            lists = [bundle.recommend(f"u{user}", K, time=END) for user in range(ASKED)]
            found.append([" ".join(one.item for one in items) for items in lists])
            bundle.session.close()
        if set(found[0]) & set(found[1]):
            raise RuntimeError("the two models cannot be told apart by their answers")
        return found

    def wrong(self, outcome: Outcome) -> int:
        """Answers of a model that are not those of the version that they name."""
        return sum(
            count
            for (body, version, source, _, items), count in outcome.answers.items()
            if source == "model" and items != self.right[version % 2][body]
        )

    @contextmanager
    def served(self, name: str, *settings: str) -> Iterator[tuple[Running, Path]]:
        """A server of version 1 in a folder of its own, and the model's folder."""
        where = self.folder / name
        shutil.rmtree(where, ignore_errors=True)
        self.publish(where / NAME, 1)
        with serving(where / NAME, where / "state", "limits.deadline=2", *settings) as running:
            yield running, where / NAME
        shutil.rmtree(where)


def load(running: Running, **said: object) -> Load:
    """A load of the scene's requests, whose answers are kept."""
    return Load(running.address, bodies()[:ASKED], keep=True, **said)  # type: ignore[arg-type]


def calling(running: Running, **said: object) -> Calling:
    """The same, under way."""
    return Calling(load(running, **said))


def failed(outcome: Outcome) -> int:
    """Requests without an answer."""
    return sum(count for status, count in outcome.statuses.items() if status != 200)


def by_source(outcome: Outcome) -> dict[str, int]:
    """Answers by who made them, and why it was not the model."""
    found: Counter[str] = Counter()
    for (_, _, source, reason, _), count in outcome.answers.items():
        found[f"{source}: {reason}" if reason else source] += count
    return dict(found)
