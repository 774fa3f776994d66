"""Golden requests: what a bundle answered when it was made, and must answer wherever it is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from serving.bundle import Bundle
from serving.manifest import BundleError

GOLDEN = Path("assets.extra") / "golden.json"
_LEVEL = 1e-3  # by how much scores may differ that are level


class Golden(NamedTuple):
    """One request, raw inputs [1, ...], and the list that must come: ids, and scores where they were recorded."""

    number: int
    inputs: dict[str, np.ndarray]
    items: list[str]
    scores: list[float]

    def hold(self, folder: Path, answer: Mapping[str, np.ndarray]) -> None:
        """Raises: BundleError where `recommend` answered another list.

        Items that are level may change places, and at the end of the list make room for one that was not on it:
        processors differ in the last digits of a score.
        """
        items, scores = [item.decode() for item in answer["items"][0]], answer["scores"][0].tolist()
        if items != self.items and not self._level(items, scores):
            raise BundleError(
                f"bundle: golden request {self.number} in {folder} was answered {items[:3]}..., "
                f"expected {self.items[:3]}..."
            )

    def _level(self, items: Sequence[str], scores: Sequence[float]) -> bool:
        if not len(items) == len(scores) == len(self.items) == len(self.scores):
            return False
        ours, theirs = dict(zip(items, scores, strict=True)), dict(zip(self.items, self.scores, strict=True))
        places = zip(items, scores, self.items, self.scores, strict=True)
        return all(
            item == expected
            or _same(score, recorded, theirs.get(item, self.scores[-1]), ours.get(expected, scores[-1]))
            for item, score, expected, recorded in places
        )


def _same(first: float, *others: float) -> bool:
    return all(isclose(first, other, rel_tol=_LEVEL, abs_tol=_LEVEL) for other in others)


def read_golden(folder: Path) -> list[Golden]:
    """The golden requests of a bundle, at least one. Raises: BundleError."""
    path = folder / GOLDEN
    try:
        found = [_read(number, said) for number, said in enumerate(json.loads(path.read_text()))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"bundle: {path} cannot be read: {error!r}") from None
    if not found:
        raise BundleError(f"bundle: {path} holds no request, expected at least one")
    return found


def _read(number: int, said: Mapping[str, Any]) -> Golden:
    inputs = {name: _array(described) for name, described in said["inputs"].items()}
    return Golden(number, inputs, list(said["items"]), list(said.get("scores", ())))


def write_golden(folder: Path, asked: Iterable[tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]]]) -> None:
    """Record requests, raw inputs [1, ...], and what `recommend` answered."""
    golden = [
        {
            "inputs": {name: _described(value) for name, value in inputs.items()},
            "items": [item.decode() for item in answer["items"][0]],
            "scores": answer["scores"][0].tolist(),
        }
        for inputs, answer in asked
    ]
    (folder / GOLDEN).write_text(json.dumps(golden) + "\n")


def check_golden(bundle: Bundle) -> None:
    """Ask the golden requests once more. Raises: BundleError that names the first answer that differs."""
    for golden in read_golden(bundle.folder):
        golden.hold(bundle.folder, bundle.run("recommend", golden.inputs))


def answer_golden(bundle: Bundle) -> None:
    """Record the golden requests anew with today's answers. Raises: BundleError."""
    recorded = read_golden(bundle.folder)
    answers = [bundle.run("recommend", golden.inputs) for golden in recorded]
    for golden, answer in zip(recorded, answers, strict=True):
        if any(golden.items) and not any(answer["items"][0]):
            raise BundleError(f"bundle: a golden request that had an answer has none in {bundle.folder}")
    write_golden(bundle.folder, zip((golden.inputs for golden in recorded), answers, strict=True))


def _described(value: np.ndarray) -> dict[str, Any]:
    """One input of a golden request, as it stands in the file."""
    dtype = "string" if value.dtype == object else value.dtype.name
    return {"dtype": dtype, "shape": value.shape, "data": value.tolist()}


def _array(described: Mapping[str, Any]) -> np.ndarray:
    dtype = object if described["dtype"] == "string" else described["dtype"]
    return np.array(described["data"], dtype).reshape(described["shape"])
