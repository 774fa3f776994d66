"""When each item's vector was computed: a moment for every row of a bundle's catalogue, beside its graph.

assets.extra/computed_at.npy    [N] int64, seconds since 1970 (UTC) by the wall clock, UNKNOWN where nobody knows
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from serving.manifest import BundleError

COMPUTED = Path("assets.extra") / "computed_at.npy"
UNKNOWN = -1


def write_moments(bundle: Path, moments: np.ndarray) -> None:
    """Write [N] moments into a bundle that is not sealed yet."""
    (bundle / COMPUTED).parent.mkdir(parents=True, exist_ok=True)
    np.save(bundle / COMPUTED, moments.astype(np.int64))


def read_moments(bundle: Path, items: int) -> np.ndarray:
    """The moments of a bundle of so many items, [items] int64; bundles of older versions know none.

    Raises: BundleError.
    """
    moments = _stored(bundle)
    if moments is None:
        return np.full(items, UNKNOWN, np.int64)
    if len(moments) != items:
        raise BundleError(f"bundle: {bundle / COMPUTED} holds {len(moments)} moments, expected {items}, one an item")
    return moments


def renew(bundle: Path, rows: np.ndarray, items: int, now: int) -> None:
    """Say of these rows of a bundle that is not sealed yet, and that has so many items by now, that they are of now.

    Raises: BundleError.
    """
    moments, stored = np.full(items, UNKNOWN, np.int64), _stored(bundle)
    if stored is not None:
        if len(stored) > items:
            raise BundleError(f"bundle: {bundle / COMPUTED} holds {len(stored)} moments, expected at most {items}")
        moments[: len(stored)] = stored
    moments[rows] = now
    write_moments(bundle, moments)


def _stored(bundle: Path) -> np.ndarray | None:
    path = bundle / COMPUTED
    if not path.exists():
        return None
    try:
        moments = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BundleError(f"bundle: {path} cannot be read: {error}") from None
    if moments.dtype != np.int64 or moments.ndim != 1:
        raise BundleError(f"bundle: {path} holds {moments.dtype} {list(moments.shape)}, expected int64 [items]")
    return moments
