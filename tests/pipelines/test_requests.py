"""Requests from the log: by hand, and against a naive reading of what they promise."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.requests import (
    Rules,
    Window,
    requests_at,
    requests_of_newcomers,
    requests_of_past,
    requests_rolling,
    requests_within,
)
from pipelines.sequences import Sequences
from pipelines.tables import Interactions
from tests.pipelines.baselines.worlds import events

ALL = Rules(np.ones(10, bool))

# (query, item, time)
LOG = [
    (0, 1, 10), (1, 5, 11), (0, 2, 20), (2, 7, 25), (0, 3, 30), (0, 1, 31), (0, 4, 32), (0, 4, 33), (1, 5, 34),
    (3, 6, 35), (0, 9, 50), (1, 8, 51),
]  # fmt: skip


def _log(rows=LOG):
    log = events(rows)
    context = {"device": np.array([f"at {time}" for time in log.time], object)}
    return Interactions(log.query, log.item, log.time, log.weight, context)


def _sequences(rows=LOG, queries=4):
    return Sequences.of(_log(rows), queries)


def _window(cut, end, rows=LOG, queries=4):
    log = _log(rows)
    return Window.of(log.before(cut), log.between(cut, end), queries, cut)


def at(row):
    return row[2]


def _rows(ragged):
    return [ragged[row].tolist() for row in range(len(ragged))]


def test_events_are_grouped_by_query_in_order_of_time():
    sequences = _sequences(queries=5)
    assert sequences.starts.tolist() == [0, 7, 10, 11, 12, 12]
    assert sequences.item[:7].tolist() == [1, 2, 3, 1, 4, 4, 9]
    assert sequences.time[7:10].tolist() == [11, 34, 51]
    assert sequences.context["device"][10] == "at 25"


def test_events_of_one_moment_keep_the_order_of_the_log():
    assert _sequences([(0, 3, 5), (0, 1, 5), (0, 2, 5)], 1).item.tolist() == [3, 1, 2]


def test_one_request_for_every_query_that_comes_back_with_something_new():
    requests = requests_at(_window(30, 50), ALL)
    # query 1 takes again what it had; 2 does not come back; 3 has no past
    assert requests.query.tolist() == [0]
    assert requests.time.tolist() == [30]
    assert requests.context["device"].tolist() == ["at 30"]
    assert _rows(requests.history) == [[1, 2]]
    assert _rows(requests.history_time) == [[10, 20]]
    assert _rows(requests.targets) == [[3, 4]]  # 1 is known, 4 is asked for once, 9 lies beyond the end


def test_targets_must_be_eligible():
    eligible = np.ones(10, bool)
    eligible[3] = False
    assert _rows(requests_at(_window(30, 50), Rules(eligible)).targets) == [[4]]
    eligible[4] = False
    assert len(requests_at(_window(30, 50), Rules(eligible))) == 0


def test_the_request_is_made_when_the_query_first_comes_back():
    requests = requests_at(_window(40, 60), ALL)
    assert requests.query.tolist() == [0, 1]
    assert requests.time.tolist() == [50, 51]
    assert _rows(requests.history) == [[1, 2, 3, 1, 4, 4], [5, 5]]
    assert _rows(requests.targets) == [[9], [8]]


def test_an_empty_window_asks_nothing():
    assert len(requests_at(_window(60, 70), ALL)) == 0
    assert len(requests_rolling(_window(60, 70), ALL, 10, 0)) == 0


def test_rolling_requests_roll_the_history_up_to_each_event():
    requests = requests_rolling(_window(30, 50), ALL, limit=99, seed=0)
    # query 0 asks at 30, 31 and 32; at 33 it takes what it has; query 1 too; query 3 has no past
    assert requests.query.tolist() == [0, 0, 0]
    assert requests.time.tolist() == [30, 31, 32]
    assert _rows(requests.history) == [[1, 2], [1, 2, 3], [1, 2, 3, 1]]
    assert _rows(requests.targets) == [[3, 4], [4], [4]]
    assert requests.context["device"].tolist() == ["at 30", "at 31", "at 32"]


def test_rolling_requests_are_limited_by_a_seeded_draw():
    rows = [(0, item, item) for item in range(200)]
    window, rules = _window(100, 200, rows, 1), Rules(np.ones(200, bool))
    drawn = [requests_rolling(window, rules, 10, seed).time for seed in (0, 0, 1)]
    assert len(drawn[0]) == 10
    assert (np.diff(drawn[0]) > 0).all()
    assert drawn[0].tolist() == drawn[1].tolist() != drawn[2].tolist()


def _naive(rows, end, eligible, asked_at):
    """What one query asks at its event `asked_at` (index into rows), or None."""
    history = [(item, time) for item, time in rows[:asked_at]]
    targets = []
    for item, time in rows[asked_at:]:
        if time < end and eligible[item] and item not in targets and item not in [i for i, _ in history]:
            targets.append(item)
    return (rows[asked_at][1], history, targets) if history and targets else None


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 30)), max_size=40),
    st.integers(0, 31),
    st.integers(0, 31),
    st.lists(st.booleans(), min_size=6, max_size=6),
    st.booleans(),
)
def test_requests_are_what_a_naive_reading_of_the_log_gives(log, cut, end, eligible, rolling):
    cut, end = min(cut, end), max(cut, end)
    log = sorted(log, key=lambda row: row[2])
    expected = []
    for query in range(4):
        rows = [(item, time) for q, item, time in log if q == query]
        inside = [at for at, (_, time) in enumerate(rows) if cut <= time < end]
        asked = [_naive(rows, end, eligible, at) for at in (inside if rolling else inside[:1])]
        expected += [(query, *request) for request in asked if request is not None]
    window, rules = _window(cut, end, log), Rules(np.array(eligible))
    found = requests_rolling(window, rules, 1000, 0) if rolling else requests_at(window, rules)
    assert [
        (
            found.query[r],
            found.time[r],
            list(zip(found.history[r].tolist(), found.history_time[r].tolist(), strict=True)),
            found.targets[r].tolist(),
        )
        for r in range(len(found))
    ] == expected


def test_one_event_of_every_query_is_drawn_from_those_of_the_window_that_have_a_past():
    # query 0 has events at 20 to 23: the first has no past, and the last lies beyond the end
    window = _window(20, 23, sorted([(0, item, 20 + item) for item in range(4)] + [(1, 9, 22), (2, 9, 5)], key=at), 3)
    asked = [requests_within(window, ALL, seed) for seed in range(50)]
    assert all(requests.query.tolist() == [0] for requests in asked)  # 1 has no past, 2 does not come back
    assert {int(requests.time[0]) for requests in asked} == {21, 22}
    for requests in asked:
        taken = requests.time[0] - 20
        assert requests.history[0].tolist() == list(range(taken))
        assert requests.targets[0].tolist() == list(range(taken, 3))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 30)), max_size=40), st.integers(0, 9))
def test_drawn_requests_are_among_the_rolling_ones_and_one_for_each_query(log, seed):
    window, rules = _window(10, 20, sorted(log, key=at)), Rules(np.ones(6, bool))
    every = requests_rolling(window, rules, 1000, 0)
    drawn = requests_within(window, rules, seed)
    assert len(set(drawn.query)) == len(drawn)
    rolling = [(q, every.history[r].tolist(), every.targets[r].tolist()) for r, q in enumerate(every.query)]
    assert all((q, drawn.history[r].tolist(), drawn.targets[r].tolist()) in rolling for r, q in enumerate(drawn.query))


def test_the_next_and_the_last_of_what_is_taken():
    eligible = np.ones(10, bool)
    eligible[3] = False
    assert _rows(requests_at(_window(30, 60), Rules(eligible, targets="next")).targets) == [[4], [8]]
    assert _rows(requests_at(_window(30, 60), Rules(eligible, targets="last")).targets) == [[9], [8]]
    asked = requests_at(_window(30, 60), Rules(eligible, targets="last"))
    assert _rows(asked.history) == [[1, 2], [5]]  # as of the cut all the same


def test_where_histories_roll_the_last_item_is_asked_for_at_the_last_event():
    rules = Rules(np.ones(10, bool), targets="last")
    for asked in (requests_within(_window(30, 60), rules, 0), requests_rolling(_window(30, 60), rules, 99, 0)):
        assert asked.query.tolist() == [0, 1]
        assert asked.time.tolist() == [50, 51]
        assert _rows(asked.targets) == [[9], [8]]
        assert _rows(asked.history) == [[1, 2, 3, 1, 4, 4], [5, 5]]


def test_what_was_taken_may_be_a_target_where_it_may_be_recommended_again():
    asked = requests_at(_window(30, 50), Rules(np.ones(10, bool), filter_seen=False))
    assert asked.query.tolist() == [0, 1]
    assert _rows(asked.targets) == [[3, 1, 4], [5]]


def test_the_horizon_counts_from_the_cut_or_from_the_rolled_request():
    rules = Rules(np.ones(10, bool), horizon=3)
    assert _rows(requests_at(_window(30, 60), rules).targets) == [[3, 4]]  # taken at 30 and 32; 1 is known
    assert len(requests_at(_window(29, 60), rules)) == 1
    assert _rows(requests_at(_window(29, 60), rules).targets) == [[3]]  # 32 is three later
    rolling = requests_rolling(_window(30, 60), rules, 99, 0)
    asked = dict(zip(rolling.time.tolist(), _rows(rolling.targets), strict=True))
    assert asked == {30: [3, 4], 31: [4], 32: [4], 50: [9], 51: [8]}


def test_newcomers_ask_at_their_first_event_with_no_history():
    asked = requests_of_newcomers(_window(30, 60), ALL)
    assert asked.query.tolist() == [3]
    assert asked.time.tolist() == [35]
    assert _rows(asked.history) == [[]]
    assert _rows(asked.targets) == [[6]]


def test_a_past_that_is_not_earlier_stands_in_front_of_the_window():
    log = _log([(0, item, item) for item in range(6)])
    window = Window.of(log.take(np.array([1, 4])), log.take(np.array([0, 3])), 1, 6)
    asked = requests_at(window, ALL)
    assert _rows(asked.history) == [[1, 4]]
    assert _rows(asked.targets) == [[0, 3]]
    assert asked.time.tolist() == [0]


def test_requests_of_the_past_hold_all_of_it_and_the_last_context():
    past = _log([row for row in LOG if row[2] < 34])
    requests = requests_of_past(Sequences.of(past, 5), 34)
    assert requests.query.tolist() == [0, 1, 2]
    assert (requests.time == 34).all()
    assert [requests.history[row].tolist() for row in range(3)] == [[1, 2, 3, 1, 4, 4], [5], [7]]
    assert requests.history_time[0].tolist() == [10, 20, 30, 31, 32, 33]
    assert requests.context["device"].tolist() == ["at 33", "at 11", "at 25"]
    assert requests.targets.lengths.tolist() == [0, 0, 0]
