"""Rolling replay: the test window lived through step by step, with some things refreshed before each step.

For readers of its results: `load_rolling(folder)` gives a `Replay`, `sentences(replay)` says it in words,
`print_rolling(replay, console)` prints it, and `rolling_plot(replay, metric)` draws it as inline SVG. None of these
imports TensorFlow.
"""

from __future__ import annotations

from pipelines.rolling.plot import rolling_plot
from pipelines.rolling.results import Curve, Difference, Replay, Span, load_rolling
from pipelines.rolling.text import print_rolling
from pipelines.rolling.words import headline, sentences

__all__ = [
    "Curve",
    "Difference",
    "Replay",
    "Span",
    "headline",
    "load_rolling",
    "print_rolling",
    "rolling_plot",
    "sentences",
]
