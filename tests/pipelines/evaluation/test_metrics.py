import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from pipelines.evaluation import metrics as module
from pipelines.evaluation.metrics import at_depths, coverage, effective_items, exposure, gini, hits, per_request
from pipelines.tables import Candidates, Ragged


def candidates(rows: list[list[int]]) -> Candidates:
    items = np.array(rows, np.int32)
    return Candidates(items, np.where(items >= 0, 0, -np.inf).astype(np.float32), "test")


def ragged(rows: list[list[int]]) -> Ragged:
    row = np.repeat(np.arange(len(rows)), [len(values) for values in rows])
    return Ragged.from_rows(row, np.array([i for r in rows for i in r], np.int32), len(rows))


def single(items: list[int], targets: list[int], k: int) -> dict[str, float]:
    return {name: v[0] for name, v in per_request(candidates([items]), ragged([targets]), k).items()}


LOG3, LOG5 = math.log2(3), math.log2(5)

# Worked out by hand: items, targets, k, then each metric.
ORACLES = {
    "one target at the top": ([7, 1, 2], [7], 3, 1, 1, 1, 1 / 3, 1, 1, 1),
    "one target in third place": ([1, 2, 7], [7], 3, 1 / 2, 1, 1, 1 / 3, 1 / 3, 1 / 3, 1),
    "no hit": ([1, 2, 3], [7], 3, 0, 0, 0, 0, 0, 0, 0),
    # Hits at ranks 1 and 3 of 3 targets: DCG 1 + 1/2, ideal 1 + 1/log2(3) + 1/2; AP (1 + 2/3) / 3.
    "two of three targets": ([5, 9, 6], [6, 5, 8], 3, 1.5 / (1.5 + 1 / LOG3), 2 / 3, 2 / 3, 2 / 3, 5 / 9, 1, 1),
    # Five targets, two places: both are hits, which is the best list there is.
    "more targets than places": ([5, 6], [1, 2, 5, 6, 9], 2, 1, 2 / 5, 1, 1, 1, 1, 1),
    # Hits at ranks 2 and 4 of 2: DCG 1/log2(3) + 1/log2(5), ideal 1 + 1/log2(3); AP (1/2 + 2/4) / 2.
    "hits at two and four": (
        [9, 1, 8, 2],
        [1, 2],
        4,
        (1 / LOG3 + 1 / LOG5) / (1 + 1 / LOG3),
        1,
        1,
        1 / 2,
        1 / 2,
        1 / 2,
        1,
    ),
    "a short list": ([7, -1, -1, -1], [7, 8], 4, 1 / (1 + 1 / LOG3), 1 / 2, 1 / 2, 1 / 4, 1 / 2, 1, 1),
    "an empty list": ([-1, -1], [0], 2, 0, 0, 0, 0, 0, 0, 0),
    "places beyond k do not count": ([1, 2, 7], [7], 2, 0, 0, 0, 0, 0, 0, 0),
}


@pytest.mark.parametrize("case", ORACLES)
def test_oracle(case):
    items, targets, k, ndcg, recall, capped_recall, precision, average_precision, mrr, hit_rate = ORACLES[case]
    assert single(items, targets, k) == pytest.approx(
        {
            "ndcg": ndcg,
            "recall": recall,
            "capped_recall": capped_recall,
            "precision": precision,
            "map": average_precision,
            "mrr": mrr,
            "hit_rate": hit_rate,
        }
    )


def test_a_request_without_targets_has_no_metric():
    metrics = per_request(candidates([[1], [1]]), ragged([[], [1]]), 1)
    for values in metrics.values():
        assert np.isnan(values[0])
        assert values[1] == 1


def test_targets_of_other_requests_are_no_hits():
    assert per_request(candidates([[0], [5]]), ragged([[5], [0]]), 1)["hit_rate"].tolist() == [0, 0]


def test_no_requests():
    metrics = per_request(Candidates(np.zeros((0, 3), np.int32), np.zeros((0, 3)), "test"), ragged([]), 3)
    assert all(values.shape == (0,) for values in metrics.values())


@pytest.mark.parametrize("k", [0, 3])
def test_k_beyond_the_lists_is_refused(k):
    with pytest.raises(ValueError, match=f"k: got {k}, expected 1 to 2"):
        per_request(candidates([[1, 2]]), ragged([[1]]), k)


def test_other_numbers_of_rows_are_refused():
    with pytest.raises(ValueError, match="targets: got 2 rows, expected 1"):
        per_request(candidates([[1, 2]]), ragged([[1], [2]]), 2)


def naive(items: list[int], targets: list[int], k: int) -> dict[str, float]:
    ranks = [rank for rank, item in enumerate(items[:k], start=1) if item >= 0 and item in targets]
    best = min(k, len(targets))
    ideal = sum(1 / math.log2(1 + rank) for rank in range(1, best + 1))
    return {
        "ndcg": sum(1 / math.log2(1 + rank) for rank in ranks) / ideal,
        "recall": len(ranks) / len(targets),
        "capped_recall": len(ranks) / best,
        "precision": len(ranks) / k,
        "map": sum(number / rank for number, rank in enumerate(ranks, start=1)) / best,
        "mrr": 1 / ranks[0] if ranks else 0.0,
        "hit_rate": float(bool(ranks)),
    }


def ranked_list(length: int) -> st.SearchStrategy[list[int]]:
    items = st.lists(st.integers(0, 12), max_size=length, unique=True)
    return items.map(lambda found: found + [-1] * (length - len(found)))


target_list = st.lists(st.integers(0, 14), min_size=1, max_size=8, unique=True)


@settings(deadline=None)
@given(st.lists(st.tuples(ranked_list(6), target_list), min_size=1, max_size=5), st.integers(1, 6))
def test_equals_a_loop_over_rows(rows, k):
    metrics = per_request(candidates([items for items, _ in rows]), ragged([wanted for _, wanted in rows]), k)
    for row, (items, targets) in enumerate(rows):
        assert {name: v[row] for name, v in metrics.items()} == pytest.approx(naive(items, targets, k))
    for values in metrics.values():
        assert ((values >= 0) & (values <= 1 + 1e-12)).all()


@settings(deadline=None)
@given(
    st.lists(st.tuples(ranked_list(6), st.lists(st.integers(0, 14), max_size=8, unique=True)), min_size=1, max_size=5)
)
def test_several_depths_at_once_are_each_depth_alone(rows):
    lists, targets = candidates([items for items, _ in rows]), ragged([wanted for _, wanted in rows])
    together = at_depths(lists, targets, (5, 1, 3))
    alone = {f"{name}@{k}": v for k in (5, 1, 3) for name, v in per_request(lists, targets, k).items()}
    assert list(together) == list(alone)
    for name, values in together.items():
        np.testing.assert_array_equal(values, alone[name])


def test_no_depths_and_wrong_depths():
    assert at_depths(candidates([[1, 2]]), ragged([[1]]), ()) == {}
    with pytest.raises(ValueError, match="k: got 0, expected 1 to 2"):
        at_depths(candidates([[1, 2]]), ragged([[1]]), (2, 0))


def test_blocks_do_not_change_the_hits(monkeypatch):
    generator = np.random.default_rng(0)
    lists = candidates([[*generator.permutation(40)[:7].tolist(), -1] for _ in range(50)])
    targets = ragged([generator.permutation(60)[: generator.integers(5)].tolist() for _ in range(50)])
    whole = hits(lists, targets, 8)
    assert whole.tolist() == [[i in targets[row] for i in items] for row, items in enumerate(lists.items.tolist())]
    assert whole.any()
    for size in (1, 60 * 7):
        monkeypatch.setattr(module, "_TABLE", size)
        np.testing.assert_array_equal(hits(lists, targets, 8), whole)


def test_exposure_counts_the_first_k_places():
    shown = exposure(candidates([[0, 1], [0, -1], [2, 0]]), 4, 2)
    assert shown.tolist() == [3, 1, 1, 0]
    assert exposure(candidates([[0, 1], [0, -1], [2, 0]]), 4, 1).tolist() == [2, 0, 1, 0]


def test_coverage():
    lists = candidates([[0, 1], [0, -1]])
    assert coverage(lists, np.ones(4, bool), 2) == 0.5
    assert coverage(lists, np.ones(4, bool), 1) == 0.25
    assert coverage(lists, np.array([True, True, False, False]), 2) == 1
    assert math.isnan(coverage(lists, np.zeros(4, bool), 2))


def test_gini():
    assert gini(candidates([[0, 1], [2, 3]]), np.ones(4, bool), 2) == 0
    assert gini(candidates([[0], [0]]), np.ones(4, bool), 1) == pytest.approx(1 - 1 / 4)
    # Exposures 1 and 3: the mean absolute difference of the four pairs is 1, over twice the mean of 2.
    assert gini(candidates([[0], [1], [1], [1]]), np.array([True, True]), 1) == pytest.approx(1 / 4)
    assert math.isnan(gini(candidates([[-1]]), np.ones(4, bool), 1))


def test_effective_items():
    assert effective_items(candidates([[0, 1], [2, 3]]), np.ones(9, bool), 2) == pytest.approx(4)
    assert effective_items(candidates([[0], [0]]), np.ones(4, bool), 1) == 1
    # Shares 1/4 and 3/4: exp(1/4 log 4 + 3/4 log 4/3) = 4 / 3 ** (3/4).
    assert effective_items(candidates([[0], [1], [1], [1]]), np.ones(2, bool), 1) == pytest.approx(4 / 3**0.75)
    assert effective_items(candidates([[0], [1]]), np.array([True, False]), 1) == 1
    assert math.isnan(effective_items(candidates([[-1]]), np.ones(4, bool), 1))
