import numpy as np
import pytest

from pipelines.baselines.hybrid import LightFM
from pipelines.baselines.terms import indicators
from tests.pipelines.baselines.worlds import NOW, checkerboard, events, requests

pytest.importorskip("lightfm")
SIZE = 12


def plain(size: int = SIZE, **settings) -> LightFM:
    nothing = indicators([""] * size)
    return LightFM(nothing, nothing, **({"factors": 4} | settings))


def test_more_epochs_go_on_and_fewer_take_a_fit():
    past, asked = checkerboard(SIZE)
    varied, fresh = plain(epochs=3), plain(epochs=8)
    varied.fit(past, SIZE, SIZE, NOW)
    fresh.fit(past, SIZE, SIZE, NOW)
    assert varied.vary(epochs=8)
    np.testing.assert_array_equal(varied.scores(asked), fresh.scores(asked))
    assert not varied.vary(epochs=5)
    assert varied.epochs == 8


def test_an_item_without_events_is_known_by_its_features():
    # Queries of even number take black items, the others white ones; items 10 and 11 are new.
    colours = ["black" if item % 2 == 0 else "white" for item in range(SIZE)]
    rows = [(query, item, 1) for query in range(8) for item in range(query % 2, 10, 2) if item != query]
    model = LightFM(indicators([""] * 8), indicators(colours), factors=4, epochs=50)
    model.fit(events(rows), 8, SIZE, NOW)
    found = model.scores(requests([(query, []) for query in range(8)]))
    assert (found[::2, 10] > found[::2, 11]).all()
    assert (found[1::2, 11] > found[1::2, 10]).all()


def test_a_query_without_events_is_known_by_its_features():
    sides = ["left" if query % 2 == 0 else "right" for query in range(20)] + ["left", "right", ""]
    rows = [(query, item, 1) for query in range(20) for item in range(query % 2, 8, 2) if item // 2 != query % 4]
    model = LightFM(indicators(sides), indicators([""] * 8), factors=4, epochs=50)
    model.fit(events(rows), 23, 8, NOW)
    left, right, nobody, outside = model.scores(requests([(20, []), (21, []), (22, []), (-1, [])]))
    assert left[::2].min() > left[1::2].max()
    assert right[1::2].min() > right[::2].max()
    np.testing.assert_array_equal(nobody, outside)  # no features to go by: the mean of all


def test_a_history_that_went_on_is_read():
    past, _ = checkerboard(SIZE)
    model = plain(epochs=60)
    model.fit(past, SIZE, SIZE, NOW)
    black = list(range(2, SIZE, 2))
    as_fitted, same, longer, unknown = model.scores(
        requests([(0, black), (0, []), (0, [*black, 1, 3, 5, 7, 9, 11]), (-1, [*black, 1, 3, 5, 7, 9, 11])])
    )
    np.testing.assert_array_equal(as_fitted, same)  # what the fit saw is in the query's vector
    assert np.abs(longer - as_fitted).max() > 0.1
    np.testing.assert_array_equal(longer, unknown)


def test_reading_a_known_history_comes_close_to_the_fitted_query():
    past, asked = checkerboard(SIZE)
    model = plain(epochs=60)
    model.fit(past, SIZE, SIZE, NOW)
    known = model.scores(asked.take(np.arange(SIZE)))
    strangers = requests([(-1, asked.history[row].tolist()) for row in range(SIZE)])
    assert np.corrcoef(known.ravel(), model.scores(strangers).ravel())[0, 1] > 0.9


def test_the_seed_decides():
    past, asked = checkerboard(SIZE)
    scores = []
    for seed in (1, 1, 2):
        model = plain(epochs=3, seed=seed)
        model.fit(past, SIZE, SIZE, NOW)
        scores.append(model.scores(asked))
    assert (scores[0] == scores[1]).all()
    assert (scores[0] != scores[2]).any()


def test_fits_in_silence(capfd):
    model = plain(epochs=2)
    model.fit(checkerboard(SIZE)[0], SIZE, SIZE, NOW)
    assert capfd.readouterr() == ("", "")
    assert model.scores(requests([])).shape == (0, SIZE)


def test_the_ridge_needs_someone_known():
    model = plain(3)
    model.fit(events([]), 3, 3, NOW)
    assert model.scores(requests([(-1, [0, 1])])) == pytest.approx(np.zeros((1, 3)), abs=1.0)
