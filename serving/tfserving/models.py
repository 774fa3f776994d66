"""What is served, as the interfaces see it: a model, its versions, and how to ask one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np


class NotServed(LookupError):
    """No version answers for what was asked; the message says why."""


class Served(Protocol):
    """One loaded version. `manifest["signatures"]` is its `runtime.signature_table`."""

    @property
    def number(self) -> int:
        """Of the version."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the bundle says of itself."""

    async def run(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        seconds: float,
        outputs: Sequence[str] | None = None,
    ) -> dict[str, np.ndarray]:
        """The answer of a signature: all of its outputs, or those named.

        Raises: ValueError where the inputs do not fit; RuntimeFailure with TensorFlow's own code, or UNAVAILABLE where
        the call was not taken on; WorkerGone; DeadlinePassed.
        """


class VersionState(NamedTuple):
    """How far a version is: START, LOADING, AVAILABLE, UNLOADING or END. `code` is "OK", or why it ended there."""

    number: int
    state: str
    code: str
    message: str


class Models(Protocol):
    """The versions of one model, and the labels that some of them bear."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def labels(self) -> Mapping[str, int]:
        """The version that each label names."""

    def find(self, number: int | None = None, label: str | None = None) -> Served:
        """The version of that number or label, or the one that answers when nothing is said. Raises: NotServed."""

    def states(self) -> list[VersionState]:
        """Every version that is known of."""
