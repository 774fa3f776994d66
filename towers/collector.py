"""Python's collector of garbage cycles, kept away from what stays as long as the process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """What exists at the end of the block stays, and is not looked through for garbage, neither in the block nor after.

    Half a million objects come with TensorFlow: without this a quarter of the time of its import is spent on going
    through them, and a tenth of the time of tracing small graphs.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collecting:
            gc.enable()
