"""TensorFlow with Keras 2, imported here and nowhere else."""

import ctypes
import functools
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from towers.allocator import keep_freed_memory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keep_freed_memory()

import tensorflow as tf

from configs.errors import BackendError
from towers.quiet import quiet

quiet(ctypes.CDLL(str(Path(tf.__file__).with_name("libtensorflow_framework.so.2"))))
tf.get_logger().setLevel(logging.ERROR)
logging.getLogger("absl").setLevel(logging.ERROR)
keras = tf.keras
if not keras.__name__.startswith("tf_keras"):
    raise BackendError(
        f"tensorflow: it was imported with {keras.__name__}, expected Keras 2; "
        "import twinspire before tensorflow, or set TF_USE_LEGACY_KERAS=1 before Python starts"
    )

# A function as a graph. AutoGraph would first rewrite it and all that it calls, in search of loops and branches over
# tensors, which are spelled out here (tf.cond, tf.map_fn): that was most of the time of an export.
traced = functools.partial(tf.function, autograph=False)


def shared(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as one graph that all graphs which call it with tensors of the same kind share.

    Called eagerly it is the function itself. Plain again, as an export writes whatever graphs it finds on a `tf.Module`
    once more.
    """
    graph = traced(function)
    return lambda *arguments: (function if tf.executing_eagerly() else graph)(*arguments)


__all__ = ["keras", "shared", "tf", "traced"]
