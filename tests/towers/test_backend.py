import subprocess
import sys

import pytest

STAND_IN = "import sys, types; sys.modules['tensorflow'] = types.ModuleType('tensorflow'); import towers.backend"


def test_tensorflow_imported_first_and_with_keras_3_is_refused_with_the_remedy():
    done = subprocess.run([sys.executable, "-c", STAND_IN], capture_output=True, text=True, env={"PYTHONPATH": "."})
    assert done.returncode != 0
    assert "import twinspire first, or set the variable before Python starts" in done.stderr


@pytest.mark.parametrize("module", ["towers.losses", "towers.ranker"])
def test_any_module_may_be_the_first_import(module):
    done = subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
