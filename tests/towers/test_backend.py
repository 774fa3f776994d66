import gc
import os
import subprocess
import sys
import weakref

import pytest

from towers.backend import shared, sharing, tf, traced


def _python(code: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)


def test_keras_3_in_use_already_is_refused_with_the_remedy():
    done = _python("import tensorflow as tf; tf.keras.layers; import towers.backend")
    assert done.returncode != 0
    assert "import twinspire before tensorflow, or set TF_USE_LEGACY_KERAS=1" in done.stderr


def test_tensorflow_may_follow_twinspire_in_a_program():
    done = _python("import twinspire; import tensorflow as tf; tf.keras.layers; import towers.backend")
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("module", ["towers.losses", "towers.ranker", "serving.searchers.scann"])
def test_any_module_may_be_the_first_import(module):
    done = _python(f"import {module}")
    assert done.returncode == 0, done.stderr[-500:]


class Scaled(tf.Module):
    """Counts how often it is traced."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor, self.calls = factor, 0

    @shared
    def scale(self, value):
        self.calls += 1
        return self.factor * value

    def graph(self, plus: float):
        spec = tf.TensorSpec([None], tf.float32)
        return traced(lambda value: self.scale(value) + plus, input_signature=[spec]).get_concrete_function()


def test_within_a_block_graphs_share_one_of_each_object():
    first, second = Scaled(2.0), Scaled(3.0)
    with sharing():
        graphs = [one.graph(plus) for plus in (0.0, 1.0) for one in (first, second)]
    assert (first.calls, second.calls) == (1, 1)
    assert [float(graph(tf.constant([10.0]))[0]) for graph in graphs] == [20, 30, 21, 31]


def test_what_changed_since_is_in_the_next_blocks_graphs():
    one = Scaled(2.0)
    for factor in (2.0, 5.0):
        one.factor = factor
        with sharing():
            assert float(one.graph(0.0)(tf.constant([1.0]))[0]) == factor
    assert float(one.graph(0.0)(tf.constant([1.0]))[0]) == float(one.scale(1.0)) == 5
    assert one.calls == 4


def test_what_was_shared_holds_no_object():
    one = Scaled(2.0)
    with sharing():
        one.graph(0.0)
    gone = weakref.ref(one)
    gc.disable()
    try:
        del one
        assert gone() is None
    finally:
        gc.enable()
