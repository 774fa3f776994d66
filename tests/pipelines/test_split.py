from itertools import pairwise

import numpy as np
import pytest
from pydantic import ValidationError

from configs.errors import DataError
from configs.stages import Split
from pipelines.split import Cut, _quantile, cut_log
from tests.pipelines.baselines.worlds import events

DAY = 86_400


def _log(times):
    return events([(0, 0, time) for time in times])


def _cuts(split, times):
    return cut_log(split, _log(times))


def _moments(cuts):
    return [cut.moment for cut in (cuts.validation, cuts.ranker, cuts.test, cuts.end)]


def test_quantiles_of_the_events_times():
    assert _moments(_cuts(Split(validation=0.5, ranker=0.75, test=0.875), range(100, 901))) == [500, 700, 800, 901]


def test_quantiles_count_events_and_not_time():
    times = [0, 1, 2, 3, 1000, 1001, 1002, 2000, 3000]
    assert _cuts(Split(validation=0.5, ranker=0.75, test=0.875), times).validation.moment == 1000


def test_order_numbers_larger_than_floats_tell_apart_are_cut_as_small_ones_are():
    split, small = Split(validation=0.5, ranker=0.75, test=0.9), np.cumsum(np.random.default_rng(0).integers(1, 9, 99))
    expected = _moments(_cuts(split, small.tolist()))
    assert expected[0] == small[49]
    large = small.astype(np.int64) + 2**62
    assert [moment - 2**62 for moment in _moments(_cuts(split, large.tolist()))] == expected


@pytest.mark.parametrize("events", [2, 10, 999])
def test_quantiles_are_those_of_numpy_as_far_as_floats_reach(events):
    time = np.sort(np.random.default_rng(events).integers(0, 10**6, events))
    for share in np.arange(0.01, 1, 0.01):
        assert abs(_quantile(time, float(round(share, 2))) - np.quantile(time, share)) <= 1


def test_iso_dates_are_utc_and_may_stand_beside_quantiles():
    split = Split(validation="1970-01-03", ranker="1970-01-04T12:00:00", test=0.9)
    moments = _moments(_cuts(split, range(0, 10 * DAY, DAY // 4)))
    assert moments[:2] == [2 * DAY, 3 * DAY + DAY // 2]
    assert moments[3] == 10 * DAY - DAY // 4 + 1


def test_a_date_may_name_its_zone():
    split = Split(validation="1970-01-03T02:00:00+02:00", ranker=0.8, test=0.9)
    assert _cuts(split, range(0, 10 * DAY, DAY // 4)).validation.moment == 2 * DAY


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
    with pytest.raises(
        DataError, match=f"the {window} window.* holds none of the 40 events, .*; expected at least one"
    ):
        _cuts(Split(**split), range(0, 10 * DAY, DAY // 4))


def test_an_empty_window_is_told_in_dates_where_there_is_a_clock():
    split, log = Split(validation=0.5, ranker="1999-01-01", test="1999-02-01"), _log(range(0, 10 * DAY, DAY // 4))
    told = "ranker window, from 1999-01-01T00:00:00 .UTC. to 1999-02-01T00:00:00 .UTC., holds none of the 40 events, "
    told += "which are of 1970-01-01T00:00:00 .UTC. to 1970-01-10T18:00:00 .UTC.; expected at least one"
    with pytest.raises(DataError, match=told):
        cut_log(split, log, clock=True)


@pytest.mark.parametrize(("clock", "told"), [(True, "1970-01-01T00:00:07 .UTC..*time_unit"), (False, "7, .*order")])
def test_a_log_of_one_moment_cannot_be_split(clock, told):
    with pytest.raises(DataError, match=f"all 5 events have one time, .*{told}"):
        cut_log(Split(), _log([7] * 5), clock=clock)


def test_no_event_is_in_two_windows_or_in_none():
    log = _log(np.sort(np.random.default_rng(0).integers(0, 50, 300)).tolist())  # many share a moment
    cuts = cut_log(Split(), log)
    edges = [Cut(0, 0), cuts.validation, cuts.ranker, cuts.test, cuts.end]
    parts = [cuts.between(log, a, b) for a, b in pairwise(edges)]
    assert [len(part) for part in parts] == np.bincount(cuts.window).tolist()
    assert sum(map(len, parts)) == 300
    assert len(cuts.past(log, cuts.test)) == sum(map(len, parts[:3]))


def test_leave_last_out_holds_out_the_last_three_of_each_query_and_never_its_first():
    rows = [
        (0, 0, 1),
        (1, 0, 2),
        (0, 1, 3),
        (2, 0, 4),
        (0, 2, 5),
        (1, 1, 6),
        (0, 3, 7),
        (0, 4, 8),
        (3, 0, 9),
        (3, 1, 9),
        (3, 2, 9),
    ]
    log = events(rows)
    cuts = cut_log(Split(protocol="leave_last_out"), log)
    by_query = {query: cuts.window[log.query == query].tolist() for query in range(4)}
    assert by_query == {0: [0, 0, 1, 2, 3], 1: [0, 3], 2: [0], 3: [0, 2, 3]}
    assert {cut.moment for cut in (cuts.validation, cuts.ranker, cuts.test, cuts.end)} == {10}
    assert cuts.past(log, cuts.test).item.tolist() == [0, 0, 1, 0, 2, 3, 0, 1]
    assert cuts.between(log, cuts.test, cuts.end).time.tolist() == [6, 8, 9]
    assert cuts.between(log, cuts.validation, cuts.ranker).time.tolist() == [5]


def test_leave_last_out_as_most_publish_it_holds_out_two_and_the_ranker_learns_where_the_towers_are_chosen():
    log = events([(0, 0, 1), (1, 0, 2), (0, 1, 3), (2, 0, 4), (0, 2, 5), (1, 1, 6), (0, 3, 7), (3, 0, 8), (3, 1, 9)])
    cuts = cut_log(Split(protocol="leave_last_out", held_out=2), log)
    by_query = {query: cuts.window[log.query == query].tolist() for query in range(4)}
    assert by_query == {0: [0, 0, 1, 3], 1: [0, 3], 2: [0], 3: [0, 3]}
    assert cuts.for_ranker == (cuts.validation, cuts.ranker)
    assert cuts.between(log, *cuts.for_ranker).time.tolist() == [5]
    assert cuts.past(log, cuts.test).time.tolist() == [1, 2, 3, 4, 5, 8]
    three = cut_log(Split(protocol="leave_last_out"), log)
    assert three.for_ranker == (three.ranker, three.test)


@pytest.mark.parametrize("protocol", ["global_time", "random"])
def test_only_leave_last_out_counts_what_it_holds_out(protocol):
    with pytest.raises(ValidationError, match="held_out = 2 needs protocol"):
        Split(protocol=protocol, held_out=2)


def test_random_deals_events_by_share_whatever_their_time():
    log = _log(range(20_000))
    cuts = cut_log(Split(protocol="random", validation=0.5, ranker=0.6, test=0.9), log, seed=1)
    np.testing.assert_allclose(np.bincount(cuts.window) / len(log), [0.5, 0.1, 0.3, 0.1], atol=0.01)
    assert abs(np.corrcoef(cuts.window, log.time)[0, 1]) < 0.03
    assert (np.diff(cuts.past(log, cuts.test).time) > 0).all()
    assert (cuts.window == cut_log(Split(protocol="random", validation=0.5, ranker=0.6, test=0.9), log, 1).window).all()
    assert (cuts.window != cut_log(Split(protocol="random", validation=0.5, ranker=0.6, test=0.9), log, 2).window).any()


def test_a_window_that_no_query_reaches_is_refused():
    with pytest.raises(
        DataError, match="the validation window of protocol 'leave_last_out' holds none of the 4 events"
    ):
        cut_log(Split(protocol="leave_last_out"), events([(0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 0, 4)]))


@pytest.mark.parametrize("protocol", ["leave_last_out", "random"])
@pytest.mark.parametrize("change", [{"horizon": "7d"}, {"test": "2024-01-01"}])
def test_dates_and_horizons_need_a_split_by_time(protocol, change):
    with pytest.raises(ValidationError, match=r"protocol"):
        Split(protocol=protocol, **change)
