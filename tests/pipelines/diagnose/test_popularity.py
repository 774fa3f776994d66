from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.diagnose.popularity import _half, _lags, popularity
from tests.pipelines.diagnose.worlds import DAY, START, observed, plain, popular


def shifting(step: int, seed: int = 0, events: int = 20_000, items: int = 300, days: int = 84):
    """Every week popularity moves on by `step` items."""
    rng = np.random.default_rng(seed)
    day = rng.uniform(0, days, events)
    item = (popular(rng, events, items) + step * (day // 7).astype(int)) % items
    return observed(rng.integers(0, 2_000, events), item, START + (day * DAY).astype(int), n_items=items)


def test_concentration_by_hand() -> None:
    """Ten items: 6 + 2 + 1 + 1 events, six of them without any."""
    found = popularity(observed([0] * 10, [0] * 6 + [1, 1, 2, 3], range(10), clock=False, n_items=10)).concentration
    assert (found.top_10, found.half) == (0.6, 1)
    assert found.gini == pytest.approx((9 * 6 + 7 * 2 + 5 + 3) / (10 * 10))
    assert (found.curve[0], found.curve[5], found.curve[-1]) == (0.0, pytest.approx(0.6), 1.0)


def test_equal_items_have_no_concentration() -> None:
    found = popularity(observed([0] * 6, [0, 1, 2] * 2, range(6), clock=False)).concentration
    assert found.gini == pytest.approx(0)
    assert found.half == 2


def test_popularity_that_stands_still_stays_alike_however_few_the_events() -> None:
    for events in (2_500, 20_000):
        drift = popularity(plain(events=events, items=300)).drift
        assert drift is not None
        assert drift.period == 7 * DAY
        assert min(drift.alike) > 0.9
        assert math.isnan(drift.half)


def test_popularity_that_moves_on_falls() -> None:
    drift = popularity(shifting(3)).drift
    assert drift is not None
    assert drift.lags[:4] == (1, 2, 3, 4)
    assert list(drift.alike) == sorted(drift.alike, reverse=True)
    assert drift.alike[0] < 0.6
    assert 3 * DAY < drift.half < 14 * DAY


def test_too_few_events_tell_nothing() -> None:
    found = popularity(plain(events=300))
    assert found.drift is None
    assert found.fading is None


def test_the_half_lies_between_the_lags_around_it() -> None:
    assert _half([1, 2], [0.75, 0.25]) == 1.5
    assert _half([2], [0.0]) == 1.0
    assert math.isnan(_half([1, 2], [0.9, 0.6]))
    assert _lags(12) == [1, 2, 3, 4, 6]


@pytest.mark.parametrize(("life", "low", "high"), [(4.0, 0.85, 1.0), (1e9, 0.48, 0.56)])
def test_new_items_that_fade_are_told_from_those_that_last(life: float, low: float, high: float) -> None:
    """Beside 400 items that last, 60 enter over 100 days and are taken less by a factor e every `life` days."""
    rng = np.random.default_rng(3)
    entry = np.concatenate([np.zeros(400), np.linspace(1, 99, 60)])
    at, item = rng.uniform(0, 100, 160_000), rng.integers(0, 460, 160_000)
    age = at - entry[item]
    lasts = np.where(item < 400, 1.0, np.exp(-np.maximum(age, 0) / life))
    kept = (age >= 0) & (rng.random(len(age)) < lasts)
    time = START + (at[kept] * DAY).astype(int)
    found = popularity(observed(rng.integers(0, 500, kept.sum()), item[kept], time)).fading
    assert found is not None
    assert found.items > 30
    assert low < found.early.mean < high


def test_rare_items_that_last_do_not_seem_to_fade() -> None:
    """Entering with an event of their own does not count: with three events each it would look like fading."""
    rng = np.random.default_rng(4)
    entry = np.concatenate([np.zeros(400), np.linspace(1, 99, 600)])
    at, item = rng.uniform(0, 100, 9_000), rng.integers(0, 1_000, 9_000)
    kept = at >= entry[item]
    found = popularity(
        observed(rng.integers(0, 500, kept.sum()), item[kept], START + (at[kept] * DAY).astype(int))
    ).fading
    assert found is not None
    assert found.early.mean < 0.58
