"""What the batches of an epoch read: the log cut into windows, and which windows go together."""

from __future__ import annotations

import numpy as np

_POOL = 32  # batches that share a pool of windows, sorted by length


def cut_windows(rng: np.random.Generator, starts: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut each query's events into windows of at most `width`, at an offset drawn per query.

    starts [queries + 1] as in `Sequences`; to the windows' first events and lengths, in the order of the log.
    """
    events = np.diff(starts)
    first = np.minimum(width - rng.integers(0, width, len(events)), events)  # length of a query's first window
    later = -(-(events - first) // width)
    windows = np.where(events > 0, 1 + later, 0)
    query = np.repeat(np.arange(len(events)), windows)
    place = np.arange(len(query)) - np.repeat(np.cumsum(windows) - windows, windows)
    begin = starts[query] + np.where(place > 0, first[query] + (place - 1) * width, 0)
    return begin, np.diff(np.append(begin, starts[-1]))


def group_alike(rng: np.random.Generator, order: np.ndarray, lengths: np.ndarray, examples: int) -> list[np.ndarray]:
    """Cut a shuffled `order` of windows into batches of about as many `examples` each, in a shuffled order.

    Windows of a batch are alike in length, so that little is padding; batches are alike in examples, so that the
    mean over a batch gives every example the same say.
    """
    pool = np.cumsum(lengths[order]) // (_POOL * examples)
    order = order[np.lexsort((lengths[order], pool))]
    batch = np.cumsum(lengths[order]) // examples
    batches = np.split(order, np.flatnonzero(np.diff(batch)) + 1)
    return [batches[place] for place in rng.permutation(len(batches))]
