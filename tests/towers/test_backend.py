import os
import subprocess
import sys

import pytest


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
