from itertools import pairwise

import numpy as np
import pytest

from configs.errors import DataError
from configs.schema import Split
from pipelines.split import Cuts, cut_moments
from tests.pipelines.baselines.worlds import events

DAY = 86_400


def _log(times):
    return events([(0, 0, time) for time in times])


def test_quantiles_of_the_events_times():
    cuts = cut_moments(Split(validation=0.5, ranker=0.75, test=0.875), _log(range(100, 901)))
    assert cuts == Cuts(validation=500, ranker=700, test=800, end=901)


def test_quantiles_count_events_and_not_time():
    times = [0, 1, 2, 3, 1000, 1001, 1002, 2000, 3000]
    assert cut_moments(Split(validation=0.5, ranker=0.75, test=0.875), _log(times)).validation == 1000


def test_iso_dates_are_utc_and_may_stand_beside_quantiles():
    split = Split(validation="1970-01-03", ranker="1970-01-04T12:00:00", test=0.9)
    cuts = cut_moments(split, _log(range(0, 10 * DAY, DAY // 4)))
    assert (cuts.validation, cuts.ranker) == (2 * DAY, 3 * DAY + DAY // 2)
    assert cuts.end == 10 * DAY - DAY // 4 + 1


def test_a_date_may_name_its_zone():
    split = Split(validation="1970-01-03T02:00:00+02:00", ranker=0.8, test=0.9)
    assert cut_moments(split, _log(range(0, 10 * DAY, DAY // 4))).validation == 2 * DAY


@pytest.mark.parametrize(
    ("split", "window"),
    [
        ({"validation": "1970-01-01", "ranker": 0.8, "test": 0.9}, "train"),
        ({"validation": 0.5, "ranker": "1970-01-01", "test": 0.9}, "validation"),
        ({"validation": 0.5, "ranker": "1970-01-09", "test": "1970-01-08"}, "ranker"),
        ({"validation": 0.5, "ranker": 0.6, "test": "1999-01-01"}, "test"),
    ],
)
def test_an_empty_window_is_refused_by_name(split, window):
    with pytest.raises(DataError, match=f"the {window} window .* holds none of the 40 events; expected at least one"):
        cut_moments(Split(**split), _log(range(0, 10 * DAY, DAY // 4)))


def test_a_log_of_one_moment_cannot_be_split():
    with pytest.raises(DataError, match="train window"):
        cut_moments(Split(), _log([7] * 5))


def test_no_event_is_in_two_windows_or_in_none():
    log = _log(np.sort(np.random.default_rng(0).integers(0, 50, 300)).tolist())  # many share a moment
    cuts = cut_moments(Split(), log)
    edges = [0, cuts.validation, cuts.ranker, cuts.test, cuts.end]
    assert sum(len(log.between(a, b)) for a, b in pairwise(edges)) == 300
