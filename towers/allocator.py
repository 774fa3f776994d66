"""Memory that a training step frees is kept for the next one, not given back to the system and asked for again.

A step's logits are tens of megabytes. glibc maps blocks of that size anew each time, and the system fills them with
zeros page by page: a third of a training's CPU seconds where page faults are dear, as in virtual machines.
"""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8  # of mallopt(3)
_KEPT = 2**31 - 1  # bytes free at the end of the heap before any are given back


def keep_freed_memory() -> None:
    """Tell glibc's malloc; where there is another C library, nothing happens.

    One arena: those of threads cannot hold blocks above 64 MB, and would map them after all. To be called before
    TensorFlow starts its threads, which choose their arenas when they first allocate.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _KEPT), (_ARENA_MAX, 1)):
            mallopt(parameter, value)
