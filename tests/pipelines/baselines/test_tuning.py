import dataclasses

import numpy as np
import pytest

from pipelines.baselines.families import Family
from pipelines.baselines.fold import Fold
from pipelines.baselines.popularity import Popularity
from pipelines.baselines.record import FamilyRecord, Row, Trial
from pipelines.baselines.tuning import fitted, sample, settings_of, trials
from pipelines.tables import Ragged
from tests.pipelines.baselines.worlds import NOW, events, requests

HIT = requests([(0, []), (1, []), (2, [])])
HIT = dataclasses.replace(HIT, targets=Ragged(np.arange(4), np.array([1, 1, 2], np.int32)))
FOLD = Fold(events([(0, 0, 1)]), NOW, 3, 4, HIT, np.ones(4, bool))


class Places:
    """Puts `first` before all others, and counts its fits."""

    fits = 0

    def __init__(self, first: int, cheap: bool = False, name: str = "") -> None:
        self.first, self.cheap, self.name = first, cheap, name

    def fit(self, interactions, n_queries, n_items, now):
        Places.fits += 1

    def vary(self, first: int, cheap: bool) -> bool:
        if cheap:
            self.first = first
        return cheap

    def scores(self, requests):
        return np.tile((np.arange(4) == self.first).astype(np.float32), (len(requests), 1))


def places(*first: int, cheap: bool = False, **more) -> Family:
    return Family("places", Places, tuple({"first": one, "cheap": cheap} for one in first), **more)


def test_a_trial_by_hand():
    family = places(1, 2, 3)
    found = trials(family, family.settings, FOLD, list_k=1, k=2)
    # At 1 item 1 serves two of three requests. At 2 item 0 comes second, as ties go to the lower row, and helps no one
    # after item 1 or 2; after item 3 neither.
    assert [(one.ndcg, one.recall) for one in found] == [
        (pytest.approx(2 / 3), pytest.approx(2 / 3)),
        (pytest.approx(1 / 3), pytest.approx(1 / 3)),
        (0, 0),
    ]
    assert found[0].score == pytest.approx(2 / 3)
    assert all(one.seconds >= 0 and one.rmse is None for one in found)
    assert FamilyRecord("places", trials=found).best == family.settings[0]


def test_the_geometric_mean_chooses_and_the_first_of_equals():
    tried = [(0.9, 0.1), (0.4, 0.4), (0.1, 0.9), (0.4, 0.4)]
    found = tuple(Trial({"n": n}, ndcg, recall, 0.0) for n, (ndcg, recall) in enumerate(tried))
    assert FamilyRecord("some", trials=found).best == {"n": 1}


def test_untried_the_first_row_is_best():
    record = FamilyRecord("one", rows=(Row("one", {"n": 7}, False, 0.0),))
    assert record.best == {"n": 7}


@pytest.mark.parametrize(("cheap", "fits"), [(False, 3), (True, 1)])
def test_settings_that_need_no_fit_get_none(cheap, fits):
    Places.fits = 0
    family = places(1, 2, 3, cheap=cheap)
    chosen = [baseline.first for baseline in fitted(family, family.settings, FOLD)]
    assert chosen == [1, 2, 3]
    assert Places.fits == fits


def test_settings_are_tried_once():
    assert [one["first"] for one in settings_of(places(1, 2, 1, 3, 2), {})] == [1, 2, 3]


def test_a_family_with_a_base_tries_its_own_on_the_bases_best():
    tried = (Trial({"l2": 1}, 0.1, 0.1, 0.0), Trial({"l2": 2}, 0.2, 0.2, 0.0))
    base = FamilyRecord("base", trials=tried, rows=(Row("base", {"l2": 1}, False, 0.0),))
    blend = Family("blend", Popularity, ({"weight": 1}, {"weight": 3}), base="base")
    assert settings_of(blend, {"base": base}) == [
        {"l2": 1, "weight": 1},
        {"l2": 2, "weight": 1},
        {"l2": 2, "weight": 3},
    ]


def test_samples_are_drawn_by_seed_and_keep_their_order():
    asked = requests([(query, [query % 3]) for query in range(50)])
    one, again, other = (sample(asked, 10, seed) for seed in (1, 1, 2))
    assert one.query.tolist() == again.query.tolist() == sorted(one.query.tolist())
    assert one.query.tolist() != other.query.tolist()
    assert len(set(one.query.tolist())) == 10
    assert sample(asked, 50, 1) is asked


def test_folds_filter_what_was_seen_only_if_asked():
    asked = requests([(0, [1])])
    for filter_seen, expected in ((True, 0), (False, 1)):
        fold = dataclasses.replace(FOLD, requests=asked, filter_seen=filter_seen)
        assert fold.ranked(Places(1), 1).items[0, 0] == expected
