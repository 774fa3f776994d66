import numpy as np
import pytest

from pipelines.baselines.blend import Blended
from pipelines.baselines.ease import EASE
from pipelines.baselines.neighbours import ItemNeighbours
from tests.pipelines.baselines.worlds import NOW, checkerboard, events, requests


class Fixed:
    """Scores that do not depend on anything."""

    name = "fixed"

    def fit(self, interactions, n_queries, n_items, now):
        self.fits = getattr(self, "fits", 0) + 1

    def scores(self, requests):
        return np.tile(np.array([[0, 10, 20]], np.float32), (len(requests), 1))


def test_by_hand():
    # Standardised over the catalogue, 0, 10, 20 are -1.2247, 0, 1.2247. In the window item 0 was taken three times,
    # item 1 once; item 2 never.
    rows = [(0, 2, 1), (1, 2, 2), *[(query, 0, 950) for query in range(3)], (3, 1, 960)]
    blend = Blended(Fixed(), {}, window=100, weight=2.0)
    blend.fit(events(rows), 4, 3, NOW)
    expected = np.array([-1.224745, 0, 1.224745]) + 2 * np.log([4, 2, 1])
    assert blend.scores(requests([(0, []), (-1, [1])])) == pytest.approx(np.stack([expected] * 2), abs=1e-4)


def test_a_weight_of_nothing_is_the_model_and_a_great_one_popularity():
    past, asked = checkerboard(12)
    past = events([*zip(past.query, past.item, past.time, strict=True), *[(query, 7, 900) for query in range(5)]])
    alone, blend = EASE(10), Blended(EASE(10), {"l2": 10}, window=None, weight=0)
    alone.fit(past, 12, 12, NOW)
    blend.fit(past, 12, 12, NOW)
    plain = alone.scores(asked)
    standardised = (plain - plain.mean(axis=1, keepdims=True)) / plain.std(axis=1, keepdims=True)
    assert blend.scores(asked) == pytest.approx(standardised, abs=1e-5)
    assert blend.vary(weight=1e4, l2=10)
    assert (blend.scores(asked).argmax(axis=1) == 7).all()


def test_flat_scores_leave_popularity():
    blend = Blended(EASE(10), {}, window=None)
    blend.fit(events([(0, 1, 1), (1, 1, 2), (0, 0, 3)]), 2, 3, NOW)
    assert blend.scores(requests([(-1, [])]))[0].argmax() == 1


def test_another_weight_takes_no_fit_and_another_model_setting_only_what_the_model_needs():
    model = Fixed()
    blend = Blended(model, {"depth": 1}, window=None)
    blend.fit(events([(0, 0, 1)]), 1, 3, NOW)
    assert blend.vary(weight=3.0, depth=1)
    assert (blend.weight, model.fits) == (3.0, 1)
    assert not blend.vary(weight=5.0, depth=2)  # Fixed cannot vary
    assert (blend.weight, blend.settings) == (3.0, {"depth": 1})
    past, asked = checkerboard(12)
    varied, fresh = (Blended(EASE(l2), {"l2": l2}, window=None) for l2 in (5, 50))
    varied.fit(past, 12, 12, NOW)
    fresh.fit(past, 12, 12, NOW)
    assert varied.vary(weight=1.0, l2=50)
    np.testing.assert_array_equal(varied.scores(asked), fresh.scores(asked))
    assert not Blended(ItemNeighbours(), {"neighbours": 100}, None).vary(weight=1.0, neighbours=50)
