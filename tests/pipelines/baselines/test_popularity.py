import numpy as np
import pytest

from pipelines.baselines.popularity import (
    DecayedPopularity,
    DiscountedPopularity,
    Popularity,
    SegmentPopularity,
    windowed_counts,
)
from pipelines.evaluation.ranking import rank
from tests.pipelines.baselines.worlds import NOW, events, requests

# Item 0 was popular long ago, item 2 is now; items 1 and 3 are level of late, and 3 was taken more before.
HISTORY = [
    *[(query, 0, 10 + query) for query in range(5)],
    *[(0, 3, 20), (1, 3, 21)],
    *[(0, 2, 900), (1, 2, 901), (2, 1, 950), (3, 3, 999)],
]


def order(baseline, query: int = 0) -> list[int]:
    return rank(baseline.scores, requests([(query, [])]), 4, np.ones(4, bool)).items[0].tolist()


def test_all_time():
    popularity = Popularity()
    popularity.fit(events(HISTORY), 5, 4, NOW)
    assert popularity.scores(requests([(0, []), (-1, [])])).tolist() == [[5, 1, 2, 3]] * 2
    assert order(popularity) == [0, 3, 2, 1]


def test_window_with_ties_broken_by_all_time():
    popularity = Popularity(window=100, name="last hundred")
    popularity.fit(events(HISTORY), 5, 4, NOW)
    assert order(popularity) == [2, 3, 1, 0]


def test_the_window_holds_its_first_moment_and_not_now():
    rows = [(0, 0, 899), (0, 1, 900), (0, 2, 999), (0, 3, 1000)]
    assert windowed_counts(events(rows), 4, NOW, 100).round(3).tolist() == [0, 1, 1, 0]


def test_weights_count():
    assert windowed_counts(events([(0, 0, 1, 0.5), (0, 0, 2, 2.0), (0, 1, 3)]), 2, NOW, None).tolist() == [
        2.5,
        1,
    ]


def test_a_great_past_does_not_outweigh_one_recent_event():
    counts = windowed_counts(events([(0, 0, 1, 5e6), (0, 1, 950)]), 2, NOW, 100)
    assert counts.argmax() == 1


def test_segments_blend_with_the_whole():
    # Segment 0 takes item 0 four times, segment 1 item 1 once; query 5 is in neither.
    segment = np.array([0, 0, 0, 0, 1, -1])
    rows = [(query, 0, query) for query in range(4)] + [(4, 1, 9), (5, 2, 10)]
    popularity = SegmentPopularity(segment, prior=6)
    popularity.fit(events(rows), 6, 4, NOW)
    overall = np.array([4, 1, 1, 0]) / 6
    found = popularity.scores(requests([(0, []), (4, []), (5, []), (-1, []), (77, [])]))
    assert found[0] == pytest.approx((np.array([4, 0, 0, 0]) + 6 * overall) / 10)
    assert found[1] == pytest.approx((np.array([0, 1, 0, 0]) + 6 * overall) / 7)
    for row in (2, 3, 4):
        assert found[row] == pytest.approx(overall)


def test_a_small_segment_follows_the_whole_and_a_large_one_itself():
    segment = np.array([0, 1])
    rows = [(0, 0, t) for t in range(500)] + [(0, 2, t) for t in range(200)] + [(1, 1, 500)]
    popularity = SegmentPopularity(segment, prior=100)
    popularity.fit(events(rows), 2, 3, NOW)
    ranked = rank(popularity.scores, requests([(0, []), (1, [])]), 3, np.ones(3, bool))
    assert ranked.items.tolist() == [[0, 2, 1], [0, 2, 1]]
    popularity = SegmentPopularity(segment, prior=1)
    popularity.fit(events(rows), 2, 3, NOW)
    assert rank(popularity.scores, requests([(1, [])]), 1, np.ones(3, bool)).items.tolist() == [[1]]


def test_segments_keep_to_the_window():
    popularity = SegmentPopularity(np.zeros(5, int), window=100, prior=1)
    popularity.fit(events(HISTORY), 5, 4, NOW)
    assert order(popularity) == [2, 3, 1, 0]


def test_unknown_segments_alone():
    popularity = SegmentPopularity(np.full(5, -1))
    popularity.fit(events(HISTORY), 5, 4, NOW)
    assert order(popularity) == [0, 3, 2, 1]


def test_decay_by_hand():
    # Every 100 steps an event counts half as much: item 0 has 1 + 1/2 of weight 1, item 1 one of weight 8 three
    # half-lives ago, item 2 two of just now, less a little.
    rows = [(0, 0, 1000), (1, 0, 900), (0, 1, 700, 8.0), (2, 2, 990), (3, 2, 990)]
    popularity = DecayedPopularity(half_life=100)
    popularity.fit(events(rows), 4, 4, 1001)
    expected = np.array([2.0**-0.01 + 2.0**-1.01, 8 * 2.0**-3.01, 2 * 2.0**-0.11, 0])
    assert popularity.scores(requests([(0, [])]))[0] == pytest.approx(expected, abs=1e-4)


def test_what_has_decayed_to_nothing_follows_all_time():
    popularity = DecayedPopularity(half_life=0.1)
    popularity.fit(events(HISTORY), 5, 4, 10_000)
    assert order(popularity) == [0, 3, 2, 1]
    assert (popularity.table() > 0).all()  # 0 says that an item has no events


def test_a_long_half_life_is_all_time_and_a_short_one_the_newest():
    for half_life, expected in ((1e9, [0, 3, 2, 1]), (5.0, [3, 1, 2, 0])):
        popularity = DecayedPopularity(half_life)
        popularity.fit(events(HISTORY), 5, 4, NOW)
        assert order(popularity) == expected


def test_discount_by_hand():
    # Recent 4 of 16 in all, 3 of 4, and 1 of 1: undiscounted 4, 3, 1; by the root 1, 1.5, 1; as shares 1/4, 3/4, 1.
    rows = [(0, 0, t) for t in range(12)] + [(0, 0, 950)] * 4 + [(0, 1, 1)] + [(0, 1, 960)] * 3 + [(0, 2, 970)]
    for power, expected in ((0, [4, 3, 1, 0]), (0.5, [1, 1.5, 1, 0]), (1, [1 / 4, 3 / 4, 1, 0])):
        popularity = DiscountedPopularity(window=100, power=power)
        popularity.fit(events(rows), 1, 4, NOW)
        assert popularity.scores(requests([(0, [])]))[0] == pytest.approx(expected, abs=1e-4)


def test_what_is_served_is_what_is_scored():
    segment = np.array([0, 0, 1, 1, -1])
    asked = requests([(0, []), (3, []), (-1, [])])
    for popularity in (Popularity(100), DecayedPopularity(50), DiscountedPopularity(100)):
        popularity.fit(events(HISTORY), 5, 4, NOW)
        assert popularity.table().tolist() == popularity.scores(asked)[:1].tolist()
    by_segment = SegmentPopularity(segment)
    by_segment.fit(events(HISTORY), 5, 4, NOW)
    assert by_segment.table().tolist() == by_segment.scores(asked).tolist()


def test_refused():
    with pytest.raises(ValueError, match="half_life: got 0"):
        DecayedPopularity(half_life=0)
    with pytest.raises(ValueError, match="power: got 2"):
        DiscountedPopularity(window=1, power=2)
    with pytest.raises(ValueError, match="window: got 0"):
        Popularity(window=0)
    with pytest.raises(ValueError, match="prior: got 0"):
        SegmentPopularity(np.zeros(1, int), prior=0)
