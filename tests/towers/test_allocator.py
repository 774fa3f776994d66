"""Freed memory is used again: what a step allocates is not mapped anew at every step."""

import subprocess
import sys

FAULTS = """
import resource
from towers.backend import tf

@tf.function
def step(x):
    return tf.reduce_sum(tf.matmul(x, x, transpose_b=True))  # a block of 64 MB, and 16,384 pages

x = tf.random.normal([4096, 8])
for _ in range(30):
    step(x)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step(x)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_large_blocks_are_not_mapped_anew():
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 5 * 16_384
