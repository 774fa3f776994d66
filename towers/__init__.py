"""Keras layers and models.

TensorFlow Recommenders speaks Keras 2, which TensorFlow 2.20 gives only when `TF_USE_LEGACY_KERAS` is set before its
first import. It is set here, in the package that everything needing it imports first.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
