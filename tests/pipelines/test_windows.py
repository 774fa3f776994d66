"""Windows of the log: every event stands in one, none reaches over two queries, and they are cut anywhere."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.windows import cut_windows, group_alike


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 9), st.integers(0, 99))
def test_windows_cover_every_query_event_by_event(events, width, seed):
    starts = np.cumsum([0, *events])
    begin, lengths = cut_windows(np.random.default_rng(seed), starts, width)
    assert (lengths >= 1).all()
    assert (lengths <= width).all()
    covered = np.concatenate([np.arange(b, b + n) for b, n in zip(begin, lengths, strict=True)] or [np.zeros(0)])
    np.testing.assert_array_equal(covered, np.arange(starts[-1]))
    query = np.repeat(np.arange(len(events)), events)
    assert all(query[b] == query[b + n - 1] for b, n in zip(begin, lengths, strict=True))
    # between its first and its last, a query's windows are full
    inner = [n for b, n in zip(begin, lengths, strict=True) if b not in starts and b + n not in starts]
    assert all(n == width for n in inner)


def test_every_place_is_as_likely_a_cut():
    starts, cut = np.array([0, 40]), np.zeros(40)
    for seed in range(3000):
        cut[cut_windows(np.random.default_rng(seed), starts, 5)[0]] += 1
    np.testing.assert_allclose(cut[1:] / 3000, 1 / 5, atol=0.03)
    assert cut[0] == 3000


def test_batches_hold_all_windows_once_and_are_alike_in_length_and_examples():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 21, 5000)
    batches = group_alike(np.random.default_rng(1), rng.permutation(5000), lengths, 400)
    np.testing.assert_array_equal(np.sort(np.concatenate(batches)), np.arange(5000))
    examples = [lengths[batch].sum() for batch in batches]
    assert max(examples) <= 420
    assert np.mean(examples) > 380
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert lengths.sum() / padded > 0.9
