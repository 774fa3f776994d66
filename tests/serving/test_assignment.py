"""Who is in which arm: evenly dealt, independent between experiments, and as stable as it can be."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy.stats import chi2

from configs.experiments import Arm, Experiment, Experiments
from serving.assignment import assign, assign_all, intervals, place

UNITS = [f"u{number:06d}" for number in range(100_000)]
_shares = st.lists(st.floats(0.001, 1), min_size=2, max_size=5)


def experiment(salt: str, **shares: float) -> Experiment:
    return Experiment(name="test", salt=salt, arms={name: Arm(share=share) for name, share in shares.items()})


def test_golden_values():
    """They must never change: whoever is in an arm would move. Recomputed by
    `printf 'towers-1\\0u1' | sha256sum`, the first 16 digits >> 11, over 2**53."""
    assert place("towers-1", "u1") == (0xB0D60A961F0DEB4D >> 11) / 2**53
    halves = experiment("towers-1", control=0.5, treatment=0.5)
    found = [assign(halves, f"u{number}") for number in range(8)]
    assert found == ["treatment", "treatment", "control", "treatment", "treatment", "control", "treatment", "control"]


def test_places_are_uniform():
    counts = np.histogram([place("towers-1", unit) for unit in UNITS], bins=100, range=(0, 1))[0]
    statistic = ((counts - 1000) ** 2 / 1000).sum()
    assert chi2.sf(statistic, 99) > 0.01
    assert chi2.cdf(statistic, 99) > 0.01  # nor more even than chance


def test_arms_are_of_their_shares():
    thirds = experiment("s", a=0.2, b=0.5, c=0.1)
    arms = [assign(thirds, unit) for unit in UNITS]
    expected = {"a": 20_000, "b": 50_000, "c": 10_000, None: 20_000}
    statistic = sum((arms.count(arm) - n) ** 2 / n for arm, n in expected.items())
    assert chi2.sf(statistic, 3) > 0.01


def test_experiments_are_independent():
    table = np.zeros((2, 2))
    one, other = (experiment(salt, a=0.5, b=0.5) for salt in ("ranker-1", "ranker-2"))
    for unit in UNITS:
        table["ab".index(assign(one, unit) or ""), "ab".index(assign(other, unit) or "")] += 1
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    assert chi2.sf(((table - expected) ** 2 / expected).sum(), 1) > 0.01


@given(_shares)
def test_intervals_are_apart_and_of_their_lengths(weights):
    total = max(1.0, sum(weights))
    shares = {f"a{number}": weight / total for number, weight in enumerate(weights)}
    found = list(intervals(shares).values())
    assert all(high - low == pytest.approx(share) for (low, high), share in zip(found, shares.values(), strict=True))
    assert all(one[1] <= other[0] + 1e-12 for one, other in itertools.pairwise(found))
    assert found[0][0] == 0
    assert found[-1][1] == pytest.approx(1)


@given(_shares, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_ramp_of_all_moves_nobody_between_arms(weights, one, other):
    small, large = sorted((one, other))
    before, after = (
        intervals({f"a{number}": size * weight / sum(weights) for number, weight in enumerate(weights)})
        for size in (small, large)
    )
    assert all(_inside(before[name], after[name]) for name in before)


@given(_shares, st.integers(0, 4), st.floats(0, 1))
def test_an_arm_that_takes_from_what_is_free_keeps_its_own(weights, which, part):
    shares = {f"a{number}": weight / (sum(weights) + 1) for number, weight in enumerate(weights)}
    name = f"a{which % len(shares)}"
    grown = {**shares, name: shares[name] + part * (1 - sum(shares.values()))}
    assert _inside(intervals(shares)[name], intervals(grown)[name])


@given(*[st.floats(0, 0.5)] * 4)
@example(0.0, 0.5, 0.5, 0.5)  # an arm that was paused
def test_of_two_arms_only_one_that_shrinks_loses_units(a, b, later_a, later_b):
    before, after = intervals({"a": a, "b": b}), intervals({"a": later_a, "b": later_b})
    for name, old, new in (("a", a, later_a), ("b", b, later_b)):
        inner, outer = (before, after) if new >= old else (after, before)
        assert _inside(inner[name], outer[name])


def _inside(inner: tuple[float, float], outer: tuple[float, float]) -> bool:
    return outer[0] <= inner[0] + 1e-12 and inner[1] <= outer[1] + 1e-12


def test_the_order_in_the_file_does_not_matter():
    there, back = experiment("s", a=0.3, b=0.4), experiment("s", b=0.4, a=0.3)
    assert [assign(there, unit) for unit in UNITS[:200]] == [assign(back, unit) for unit in UNITS[:200]]


def test_salt_and_unit_do_not_run_together():
    assert place("a", "bc") != place("ab", "c")
    assert 0 <= place("a", "\ud800") < 1


def test_every_experiment_of_a_unit():
    everyone, nobody = experiment("s", only=1.0), Experiment(name="none", arms={"a": Arm(share=0)})
    assert assign_all([everyone, nobody], "u1") == {"test": "only"}


def test_settings_as_a_file_has_them():
    found = Experiment.model_validate({"name": "x", "arms": {"control": 0.5, "new": {"share": 0.5, "label": "canary"}}})
    assert found.salt == "x"
    assert found.arms == {"control": Arm(share=0.5), "new": Arm(share=0.5, label="canary")}
    assert (
        sum(arm.share for arm in Experiment(name="x", arms=dict.fromkeys("abcdefghij", 0.1)).arms.values()) <= 1 + 1e-9
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"name": "x", "arms": {"a": 0.6, "b": 0.5}}, "the shares add up to 1.1, expected at most 1"),
        ({"name": "x", "arms": {}}, "arms"),
        ({"name": "x", "arms": {"a": {"share": 0.5, "policy": "popularity", "label": "canary"}}}, "label does nothing"),
        ({"name": "x", "arms": {"a": {"share": 0.5, "relevance": 1.5}}}, "less than or equal to 1"),
        ({"name": "x", "arms": {"a": {"share": 0.5, "rate": 1}}}, "rate"),
        ({"name": "x", "salt": "a\0b", "arms": {"a": 1}}, "salt"),
    ],
)
def test_bad_settings_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        Experiment.model_validate(settings)


def test_experiments_share_neither_name_nor_salt():
    one = {"name": "x", "arms": {"a": 1}}
    with pytest.raises(ValidationError, match="the name 'x' is used 2 times"):
        TypeAdapter(Experiments).validate_python([one, one])
    with pytest.raises(ValidationError, match="the salt 'x' is used 2 times: who is in an arm of one"):
        TypeAdapter(Experiments).validate_python([one, {**one, "name": "y", "salt": "x"}])


def test_assignment_needs_neither_tensorflow_nor_numpy():
    code = "import sys, serving.assignment; print({'numpy', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
