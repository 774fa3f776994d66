"""TensorFlow with Keras 2, imported here and nowhere else."""

import ctypes
import functools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from towers.allocator import keep_freed_memory
from towers.collector import lasting

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
keep_freed_memory()

with lasting():
    import tensorflow as tf

    keras = tf.keras  # imported only when it is first looked at

from configs.errors import BackendError
from towers.quiet import quiet

quiet(ctypes.CDLL(str(Path(tf.__file__).with_name("libtensorflow_framework.so.2"))))
tf.get_logger().setLevel(logging.ERROR)
logging.getLogger("absl").setLevel(logging.ERROR)
if not keras.__name__.startswith("tf_keras"):
    raise BackendError(
        f"tensorflow: it was imported with {keras.__name__}, expected Keras 2; "
        "import twinspire before tensorflow, or set TF_USE_LEGACY_KERAS=1 before Python starts"
    )

# A function as a graph. AutoGraph would first rewrite it and all that it calls, in search of loops and branches over
# tensors, which are spelled out here (tf.cond, tf.map_fn): that was most of the time of an export.
traced = functools.partial(tf.function, autograph=False)


_SHARED: ContextVar[dict[tuple[int, Any], Any] | None] = ContextVar("graphs that others call", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Within the block a `shared` method becomes one graph, which all graphs that call it share."""
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


def shared(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method that is traced once for all graphs made within one `sharing` block, and elsewhere is as it is.

    Neither the object nor an export of it keeps that graph.
    """

    @functools.wraps(method)
    def call(self: Any, *arguments: Any) -> Any:
        graphs = _SHARED.get()
        if graphs is None:
            return method(self, *arguments)
        key = id(self), method
        if key not in graphs:
            graphs[key] = traced(functools.partial(method, self))
        return graphs[key](*arguments)

    return call


def take(variable: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """Rows of a variable, as `tf.gather` has them, and nothing copied but these.

    TensorFlow's own gather of a variable (`ResourceGather`) marks it for sparse access, for good: from then on every
    read of the whole, be it for its size, copies it.
    """
    return tf.gather(variable.read_value(), rows)


__all__ = ["keras", "shared", "sharing", "take", "tf", "traced"]
