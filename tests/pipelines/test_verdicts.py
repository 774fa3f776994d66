"""What a measurement means: pass, fail, or cannot tell; and that results and verdicts survive being written."""

import numpy as np
import pytest

from pipelines.evaluation.results import Results, load_results, save_results
from pipelines.tables import Candidates, Ragged
from pipelines.verdicts import (
    Verdict,
    level_verdict,
    lift_verdict,
    load_verdicts,
    passed,
    save_verdicts,
    slice_verdict,
)

ONES = np.ones(100)
MIXED = np.tile([0.0, 1.0], 50)  # mean 0.5, its interval well within 0.3 to 0.7


def _lift(ours, theirs, floor, min_users=10):
    return lift_verdict("candidates", "recall@5 lift", ours, theirs, floor, min_users)


def _slice(ours, theirs, floor, min_users=10):
    return slice_verdict("candidates", "recall@5 lift", "new", ours, theirs, floor, min_users)


def test_a_verdict_says_what_was_measured():
    verdict = _lift(1.5 * ONES, ONES, floor=0.1)
    assert verdict == Verdict("candidates", "recall@5 lift", "all", 0.5, 0.5, 0.5, 0.1, 100, "pass")


@pytest.mark.parametrize(
    ("ours", "floor", "status"),
    [
        (1.5, 0.49, "pass"),
        (1.5, 0.5, "fail"),  # on the floor does not clear it
        (1.5, 0.51, "fail"),
        (0.5, 0.0, "fail"),
        (1.0, 0.0, "fail"),  # level with the baseline
    ],
)
def test_overall_the_lower_bound_must_clear_the_floor(ours, floor, status):
    assert _lift(ours * ONES, ONES, floor).status == status


def test_overall_a_mean_above_the_floor_is_not_enough():
    verdict = _lift(2 * MIXED, ONES * 0.98, floor=0.0)
    assert verdict.value > 0 > verdict.low
    assert verdict.status == "fail"


def test_a_slice_fails_only_when_its_upper_bound_is_below_the_floor():
    assert _slice(2 * MIXED, ONES * 1.1, floor=0.0).value < 0
    assert _slice(2 * MIXED, ONES * 1.1, floor=0.0).status == "pass"
    assert _slice(0.5 * ONES, ONES, floor=-0.1).status == "fail"
    assert _slice(0.9 * ONES, ONES, floor=-0.05).status == "fail"
    assert _slice(0.9 * ONES, ONES, floor=-0.15).status == "pass"


@pytest.mark.parametrize("judge", [_lift, _slice])
@pytest.mark.parametrize("ours", [0.1, 5.0])
def test_too_few_users_cannot_tell_whatever_they_say(judge, ours):
    assert judge(ours * ONES[:9], ONES[:9], 0.0).status == "cannot tell"
    assert judge(ours * ONES[:10], ONES[:10], 0.0).status != "cannot tell"


def test_a_level_passes_on_its_floor():
    assert level_verdict("candidates", "overlap", 0.95 * ONES, 0.95).status == "pass"
    assert level_verdict("candidates", "overlap", 0.94 * ONES, 0.95).status == "fail"
    assert level_verdict("candidates", "overlap", MIXED, 0.45).status == "fail"  # 0.5, but not surely


def _verdict(slice_name, status):
    return Verdict("candidates", "m", slice_name, 0.0, 0.0, 0.0, 0.0, 9, status)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([("all", "pass")], True),
        ([("all", "pass"), ("new", "cannot tell"), ("old", "pass")], True),
        ([("all", "cannot tell"), ("new", "pass")], False),
        ([("all", "fail"), ("new", "pass")], False),
        ([("all", "pass"), ("new", "fail")], False),
    ],
)
def test_a_gate_passes_when_all_passes_and_no_slice_fails(verdicts, expected):
    assert passed([_verdict(*verdict) for verdict in verdicts]) is expected


def test_verdicts_are_read_as_they_were_written(tmp_path):
    verdicts = [_lift(1.5 * ONES, ONES, 0.0), _slice(ONES, 0 * ONES, 0.0), _slice(ONES[:1], ONES[:1], 0.1)]
    assert verdicts[1].value == np.inf
    save_verdicts(verdicts, tmp_path / "verdicts.json")
    assert load_verdicts(tmp_path / "verdicts.json") == verdicts


def _results():
    targets = Ragged(np.array([0, 1, 3]), np.array([4, 4, 5]))
    candidates = Candidates(np.array([[4, 1], [0, 5]], np.int32), np.array([[2, 1], [2, 1]], np.float32), "test")
    return Results.of(candidates, targets, 1, 2, 3)


def test_results_hold_metrics_at_every_depth_that_is_reached():
    results = _results()
    assert results.metrics["recall@1"].tolist() == [1, 0]
    assert results.metrics["recall@2"].tolist() == [1, 0.5]
    assert results.mean("recall@2") == 0.75
    assert not any(name.endswith("@3") for name in results.metrics)


def test_results_are_read_as_they_were_written(tmp_path):
    written = {"popularity 7d": _results(), "als": _results()}
    save_results(written, tmp_path / "results.npz")
    read = load_results(tmp_path / "results.npz")
    assert list(read) == list(written)
    for name, result in written.items():
        np.testing.assert_array_equal(read[name].items, result.items)
        assert read[name].metrics.keys() == result.metrics.keys()
        for metric, values in result.metrics.items():
            np.testing.assert_array_equal(read[name].metrics[metric], values)
