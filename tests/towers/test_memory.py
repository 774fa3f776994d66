"""The memory against a plain list of what was pushed."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from towers.backend import tf
from towers.memory import Memory

_STEP = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=7)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.lists(_STEP, min_size=1, max_size=5))
def test_it_holds_the_last_that_were_kept(size, steps):
    memory, pushed, number = Memory(size, 1), [], 0
    for step in steps:
        items, kept = zip(*step, strict=True)
        vectors = np.arange(number, number + len(items), dtype=np.float32)[:, None]
        number += len(items)
        memory.push(tf.constant(items), tf.constant(vectors), tf.constant(kept))
        pushed += [(item, vector) for item, keep, vector in zip(items, kept, vectors[:, 0], strict=True) if keep]
    last = pushed[-size:]
    held = zip(memory.items.numpy(), memory.vectors.numpy()[:, 0], strict=True)
    assert [(item, vector) for item, vector in held if item >= 0] == last


def test_it_is_saved_with_the_weights_but_never_trained(tmp_path):
    memory, other = Memory(3, 2), Memory(3, 2)
    memory.push(tf.constant([7]), tf.constant([[1.0, 2.0]]), tf.constant([True]))
    tf.train.Checkpoint(model=memory).write(str(tmp_path / "weights"))
    tf.train.Checkpoint(model=other).read(str(tmp_path / "weights"))
    np.testing.assert_array_equal(other.items, [-1, -1, 7])
    np.testing.assert_array_equal(other.vectors[2], [1, 2])
    assert not memory.trainable_variables
