"""TensorFlow with Keras 2, imported here and nowhere else."""

import ctypes
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

__all__ = ["keras", "tf"]
