"""What holds for every baseline, on the world with one right answer."""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pytest

from pipelines.baselines.base import Baseline
from pipelines.baselines.blend import Blended
from pipelines.baselines.content import Content
from pipelines.baselines.ease import EASE
from pipelines.baselines.explicit import RatingBiases, RatingNeighbours, Ratings, RatingSVD
from pipelines.baselines.factors import ALS, BPR
from pipelines.baselines.hybrid import LightFM
from pipelines.baselines.neighbours import ItemNeighbours, UserNeighbours
from pipelines.baselines.popularity import DecayedPopularity, DiscountedPopularity, Popularity, SegmentPopularity
from pipelines.baselines.terms import indicators
from pipelines.evaluation.ranking import rank
from pipelines.tables import Interactions
from tests.pipelines.baselines.worlds import NOW, checkerboard, checkerboard_answers, events, requests

SIZE = 16
COLOURS = ["white" if item % 2 else "black" for item in range(SIZE)]


def with_later_events() -> Interactions:
    """The checkerboard, and after NOW everyone takes item 0."""
    past, _ = checkerboard(SIZE)
    rows = zip(past.query, past.item, past.time, past.weight, strict=True)
    return events([*rows, *((query, 0, NOW + query, 5.0) for query in range(SIZE))])


def ratings() -> Ratings:
    """Of the board's own events 1 to 4, and 5 for all later ones."""
    log = with_later_events()
    return Ratings.of(log, np.where(log.time < NOW, 1.0 + log.item % 4, 5.0).astype(np.float32))


def lightfm() -> LightFM:
    return LightFM(indicators([""] * SIZE), indicators(COLOURS), factors=4, epochs=30)


PERSONAL: dict[str, Callable[[], Baseline]] = {
    "content": lambda: Content(COLOURS),
    "user neighbours": UserNeighbours,
    "user neighbours in blocks": lambda: UserNeighbours(cells=5 * SIZE),
    "neighbours": ItemNeighbours,
    "neighbours in blocks": lambda: ItemNeighbours(block=5),
    "neighbours + popularity": lambda: Blended(ItemNeighbours(), {}, None),
    "ease": lambda: EASE(l2=10),
    "ease + popularity": lambda: Blended(EASE(l2=10), {"l2": 10}, 500),
    "als": lambda: ALS(factors=4),
    "bpr": lambda: BPR(factors=4, learning_rate=0.05),
    **({"lightfm": lightfm} if find_spec("lightfm") else {}),
    "segment popularity": lambda: SegmentPopularity(np.arange(SIZE) % 2, prior=1),
}
ALL: dict[str, Callable[[], Baseline]] = {
    **PERSONAL,
    "popularity": Popularity,
    "recent popularity": lambda: Popularity(window=500),
    "decaying popularity": lambda: DecayedPopularity(half_life=50),
    "discounted popularity": lambda: DiscountedPopularity(window=500),
    "biases on ratings": lambda: RatingBiases(ratings()),
    "k-NN on ratings": lambda: RatingNeighbours(ratings()),
    "SVD on ratings": lambda: RatingSVD(ratings(), factors=4),
}


def fitted(make: Callable[[], Baseline]) -> Baseline:
    baseline = make()
    baseline.fit(checkerboard(SIZE)[0], SIZE, SIZE, NOW)
    return baseline


@pytest.mark.parametrize("name", PERSONAL)
def test_finds_the_missing_square(name):
    _, asked = checkerboard(SIZE)
    # A segment is known by the query alone, so that one cannot answer for unknown queries.
    known = SIZE if name == "segment popularity" else SIZE + 2
    ranked = rank(fitted(PERSONAL[name]).scores, asked, 1, np.ones(SIZE, bool))
    assert ranked.items[:known, 0].tolist() == checkerboard_answers(SIZE)[:known]


@pytest.mark.parametrize("name", ALL)
def test_never_returns_seen_or_ineligible_items(name):
    _, asked = checkerboard(SIZE)
    eligible = np.arange(SIZE) % 4 != 1
    ranked = rank(fitted(ALL[name]).scores, asked, SIZE, eligible, block=3)
    for row in range(len(asked)):
        admissible = set(np.flatnonzero(eligible)) - set(asked.history[row])
        listed = ranked.items[row]
        assert set(listed[: len(admissible)]) == admissible
        assert (listed[len(admissible) :] == -1).all()


@pytest.mark.parametrize("name", ALL)
def test_scores_are_float32_and_repeat_with_the_seed(name):
    _, asked = checkerboard(SIZE)
    once, again = (fitted(ALL[name]).scores(asked) for _ in range(2))
    assert once.dtype == np.float32
    assert once.shape == (SIZE + 2, SIZE)
    np.testing.assert_array_equal(once, again)


@pytest.mark.parametrize("name", ALL)
def test_events_from_now_on_are_not_looked_at(name):
    _, asked = checkerboard(SIZE)
    baseline = ALL[name]()
    baseline.fit(with_later_events(), SIZE, SIZE, NOW)
    np.testing.assert_array_equal(baseline.scores(asked), fitted(ALL[name]).scores(asked))


@pytest.mark.parametrize("name", ALL)
def test_no_requests_are_no_scores(name):
    assert fitted(ALL[name]).scores(requests([])).shape == (0, SIZE)


@pytest.mark.parametrize("name", ALL)
def test_without_events_scores_are_finite(name):
    baseline = ALL[name]()
    baseline.fit(events([]), SIZE, SIZE, NOW)
    scores = baseline.scores(requests([(0, [1, 2]), (-1, [])]))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Content(COLOURS[:6]),
        UserNeighbours,
        ItemNeighbours,
        EASE,
        lambda: Blended(EASE(), {}, None),
        lambda: ALS(factors=4),
        lambda: BPR(factors=4, learning_rate=0.05),
        *[lambda: LightFM(indicators([""] * 13), indicators(COLOURS[:6]), factors=4, epochs=100)]
        * (find_spec("lightfm") is not None),
    ],
)
def test_a_request_without_a_past_gets_what_is_popular(make):
    rows = [(query, item, query) for query in range(12) for item in range(6) if query >= 2 * item]
    baseline = make()
    baseline.fit(events(rows), 13, 6, NOW)
    ranked = rank(baseline.scores, requests([(-1, []), (12, []), (99, [])]), 2, np.ones(6, bool))
    assert ranked.items.tolist() == [[0, 1]] * 3
