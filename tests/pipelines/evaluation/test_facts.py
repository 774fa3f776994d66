"""What is known of items at the test cut."""

import numpy as np
import pytest

from pipelines.evaluation.facts import item_facts, unit
from pipelines.evaluation.variety import entry_times, query_share
from tests import world


def test_categories_of_all_features_stand_side_by_side_and_do_not_mix():
    items = world.items()
    items["genres"] = ["colour1|x"] * 5 + [""] * (len(items) - 5)  # a genre may be called as a colour is
    facts = item_facts(world.dataset(world.config(), world.log(), items))
    # six colours, then two genres
    assert sorted(facts.categories[1].tolist()) == [1, 6, 7]
    assert facts.categories[7].tolist() == [1]


def test_an_item_of_unknown_category_has_none():
    items = world.items().assign(colour="", genres="")
    assert item_facts(world.dataset(world.config(), world.log(), items)).categories is None
    items.loc[0, "colour"] = "red"
    assert item_facts(world.dataset(world.config(), world.log(), items)).categories.lengths[:2].tolist() == [1, 0]


def test_they_are_as_of_the_test_cut_and_not_later():
    dataset = world.dataset(world.config(), world.log())
    past = dataset.past(dataset.cuts.test)
    facts = item_facts(dataset)
    assert len(past) < len(dataset.log)
    np.testing.assert_array_equal(facts.share, query_share(past, world.ITEMS))
    np.testing.assert_array_equal(facts.entered, entry_times(dataset.available, past))
    assert (facts.age_unit, facts.recent) == (world.DAY, 30)


def test_an_order_has_no_days():
    events = {"path": "events.csv", "query": "user", "item": "item", "order": "time", "meaning": "taken"}
    features = [{"name": "item_id", "table": "items", "kind": "id"}]
    trend = {"windows": [7 * 86400], "bucket": 86400}
    config = world.config({"data.events": events, "features": features, "data.segment": None, "trend": trend})
    dataset = world.dataset(config, world.log())
    facts = item_facts(dataset)
    assert facts.age_unit == 1
    assert facts.recent == pytest.approx(0.05 * (dataset.cuts.test.moment - world.START))


def test_vectors_come_to_length_one_and_nothing_stays_nothing():
    found = unit(np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0], [0, -1]])
    content = np.random.default_rng(0).normal(size=(world.ITEMS, 3))
    embeddings = item_facts(world.dataset(world.config(), world.log()), content).embeddings
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1)
