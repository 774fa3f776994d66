import numpy as np
import pytest

from pipelines.baselines.popularity import Popularity, SegmentPopularity, windowed_counts
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


def test_refused():
    with pytest.raises(ValueError, match="window: got 0"):
        Popularity(window=0)
    with pytest.raises(ValueError, match="prior: got 0"):
        SegmentPopularity(np.zeros(1, int), prior=0)
