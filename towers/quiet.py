"""Quiet logs: what TensorFlow's native code writes to standard error, past its own variable and Python's logging."""

from __future__ import annotations

import ctypes
import os

# A C++ name, of absl as TensorFlow 2.20 bundles it. Where it has changed, there are a few lines more.
_SET_MIN_LOG_LEVEL = "_ZN4absl12lts_2025012714SetMinLogLevelENS0_18LogSeverityAtLeastE"


def quiet(library: ctypes.CDLL) -> None:
    """Set absl's least severity in `library` to that of TF_CPP_MIN_LOG_LEVEL, which absl ignores; 3 is fatal alone."""
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    getattr(library, _SET_MIN_LOG_LEVEL, lambda level: None)(int(level))
