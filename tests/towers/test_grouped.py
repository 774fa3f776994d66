"""Products with each row's own table, and their gradient, against sums written out."""

import numpy as np
import pytest

from towers.backend import tf
from towers.grouped import grouped_products

COLUMNS, WIDTH, TABLES = 7, 3, 9


@pytest.mark.parametrize("rows", [1, 16, 200])
@pytest.mark.parametrize("groups", [1, 5, TABLES])
@pytest.mark.parametrize("xla", [False, True])
def test_products_and_gradients(rows, groups, xla):
    rng = np.random.default_rng(rows + groups)
    values, upstream = rng.normal(size=(rows, WIDTH)), rng.normal(size=(rows, COLUMNS))
    tables, group = rng.normal(size=(TABLES, COLUMNS, WIDTH)), rng.integers(0, groups, rows)

    @tf.function(jit_compile=xla)
    def run(values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            found = grouped_products(values, tf.constant(group, tf.int32), tf.constant(tables))
        return found, tape.gradient(found, values, output_gradients=tf.constant(upstream))

    found, gradient = run(tf.constant(values))
    np.testing.assert_allclose(found, np.einsum("qt,qct->qc", values, tables[group]), atol=1e-6)
    np.testing.assert_allclose(gradient, np.einsum("qc,qct->qt", upstream, tables[group]), atol=1e-6)
