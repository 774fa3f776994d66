"""TensorFlow with Keras 2, imported here and nowhere else."""

import ctypes
import functools
import logging
import os
from pathlib import Path

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

__all__ = ["keras", "tf", "traced"]
