"""Plots as pictures of pixels, for readers that show no SVG."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure

from pipelines.look.svg import ACCENT, BAD, FAINT, GOOD, INK, UNSURE

_LIGHT = {
    INK: "#1c2430",
    FAINT: "#d5dae2",
    ACCENT: "#1d5fc4",
    GOOD: "#17703a",
    BAD: "#b3261e",
    UNSURE: "#8a5a00",
}  # the page's colours on white: pixels cannot follow the reader's


def png(figure: Figure) -> bytes:
    """PNG of a figure; those that were drawn for a page get the page's colours, in the figure itself."""
    for artist in figure.findobj():
        for part in ("color", "facecolor", "edgecolor"):
            _paint(artist, part)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120, bbox_inches="tight")
    return data.getvalue()


def _paint(artist: Any, part: str) -> None:
    if not hasattr(artist, f"get_{part}") or not hasattr(artist, f"set_{part}"):
        return
    try:
        colour = to_rgba(getattr(artist, f"get_{part}")())
    except ValueError:  # a collection's list of colours; none of ours is one
        return
    light = _LIGHT.get(to_hex(colour))
    if light is not None:
        getattr(artist, f"set_{part}")(to_rgba(light, colour[3]))
