"""Mixed precision for the layers made in a block: they compute in 16 bits, and their weights stay float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from towers.backend import keras


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Layers made within compute in `precision`, the name of a Keras policy; others are not touched."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision)
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)
