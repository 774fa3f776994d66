"""TensorFlow with Keras 2, imported here and nowhere else.

TensorFlow Recommenders speaks Keras 2, which TensorFlow 2.20 gives only when `TF_USE_LEGACY_KERAS` is set
before its first import; hence this one door.
"""

import ctypes
import logging
import os
import sys
from pathlib import Path

if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") != "1":
    raise ImportError(
        "tensorflow was imported before twinspire and without TF_USE_LEGACY_KERAS=1; "
        "import twinspire first, or set the variable before Python starts"
    )
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from towers.quiet import quiet

quiet(ctypes.CDLL(str(Path(tf.__file__).with_name("libtensorflow_framework.so.2"))))
tf.get_logger().setLevel(logging.ERROR)
logging.getLogger("absl").setLevel(logging.ERROR)
keras = tf.keras

__all__ = ["keras", "tf"]
