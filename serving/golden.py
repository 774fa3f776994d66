"""Golden requests: what a bundle answered when it was made, and must answer wherever it is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from serving.bundle import Bundle
from serving.manifest import BundleError

GOLDEN = Path("assets.extra") / "golden.json"


class Golden(NamedTuple):
    """One request, raw inputs [1, ...], and the ids of the list that must come."""

    number: int
    inputs: dict[str, np.ndarray]
    items: list[str]

    def hold(self, folder: Path, answer: Mapping[str, np.ndarray]) -> None:
        """Raises: BundleError where `recommend` answered another list."""
        items = [item.decode() for item in answer["items"][0]]
        if items != self.items:
            raise BundleError(
                f"bundle: golden request {self.number} in {folder} was answered {items[:3]}..., "
                f"expected {self.items[:3]}..."
            )


def read_golden(folder: Path) -> list[Golden]:
    """The golden requests of a bundle. Raises: BundleError."""
    path = folder / GOLDEN
    try:
        return [
            Golden(number, {name: _array(said) for name, said in golden["inputs"].items()}, list(golden["items"]))
            for number, golden in enumerate(json.loads(path.read_text()))
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"bundle: {path} cannot be read: {error!r}") from None


def check_golden(bundle: Bundle) -> None:
    """Ask the golden requests once more. Raises: BundleError that names the first answer that differs."""
    for golden in read_golden(bundle.folder):
        golden.hold(bundle.folder, bundle.run("recommend", golden.inputs))


def answer_golden(bundle: Bundle) -> None:
    """Record the golden requests anew with today's answers. Raises: BundleError."""
    path = bundle.folder / GOLDEN
    recorded = json.loads(path.read_text())
    for golden in recorded:
        inputs = {name: _array(described) for name, described in golden["inputs"].items()}
        found = [item.decode() for item in bundle.run("recommend", inputs)["items"][0]]
        if any(golden["items"]) and not any(found):
            raise BundleError(f"bundle: a golden request that had an answer has none in {bundle.folder}")
        golden["items"] = found
    path.write_text(json.dumps(recorded) + "\n")


def golden_value(value: np.ndarray) -> dict[str, Any]:
    """One input of a golden request, as it stands in the file."""
    dtype = "string" if value.dtype == object else value.dtype.name
    return {"dtype": dtype, "shape": value.shape, "data": value.tolist()}


def _array(described: Mapping[str, Any]) -> np.ndarray:
    dtype = object if described["dtype"] == "string" else described["dtype"]
    return np.array(described["data"], dtype).reshape(described["shape"])
