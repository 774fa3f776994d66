"""ScaNN's own searcher is made once a graph, while it is loaded, and given back when asked for; each in a process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

MAKE = """
import gc, json, sys
from pathlib import Path
import numpy as np
from serving.runtime import signature_table
from serving.searchers import Scann
from towers.backend import tf, traced
resident = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
vectors = np.random.default_rng(0).standard_normal((100_000, 64)).astype(np.float32)
after = []
for _ in range(5):
    searcher = Scann.build(vectors)
    searcher.search(vectors[:1], tf.constant(5))
    searcher.release()
    gc.collect()
    after.append(resident())
module = tf.Module()
module.searcher = searcher
spec = tf.TensorSpec([None, 64], tf.float32, "queries")
def signature(times):
    return traced(lambda queries: {"rows": searcher.search(times * queries, tf.constant(5))[1]}, input_signature=[spec])
functions = [signature(times) for times in (1.0, 2.0, 3.0)]
tf.saved_model.save(module, sys.argv[1], {f"f{row}": one for row, one in enumerate(functions)})
(Path(sys.argv[1]) / "table.json").write_text(json.dumps(signature_table(Path(sys.argv[1]))))
np.save(Path(sys.argv[1]) / "query.npy", vectors[:1])
rows = searcher.search(vectors[:1], tf.constant(5))[1].numpy().tolist()
print(json.dumps({"grown": after[-1] - after[1], "rows": rows}))
"""

ASK = """
import json, sys
from pathlib import Path
import numpy as np
from serving.runtime import Session, scann_library
resident = lambda: int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6
folder = Path(sys.argv[1])
query = np.load(folder / "query.npy")
table = json.loads((folder / "table.json").read_text())
session = Session(folder, table, op_libraries=[scann_library()])
loaded = resident()
rows = [session.run(name, {"queries": query})["rows"].tolist() for name in sorted(table)]
print(json.dumps({"grown": resident() - loaded, "rows": rows}))
"""


def said(code: str, *arguments: str) -> dict:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_one_searcher_serves_every_signature_and_none_stays_that_was_given_back(tmp_path):
    """Of 100,000 vectors of 64 numbers, 26 MB, ScaNN makes 29 MB of its own."""
    made = said(MAKE, str(tmp_path))
    assert made["grown"] < 45  # after three more
    asked = said(ASK, str(tmp_path))
    assert asked["rows"] == [made["rows"]] * 3
    assert asked["grown"] < 10
