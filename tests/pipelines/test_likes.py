"""What can be liked of a catalogue: values of its categories, of what is out by then."""

import numpy as np
import pandas as pd

from pipelines.likes import likes_of, read_likes
from pipelines.split import Cut
from tests import world


def test_every_value_of_every_category_of_what_is_out():
    items = (
        world.items()
        .iloc[:5]
        .assign(
            colour=["red", "", "blue", "red", "green"],
            genres=["a|b", "b", "", "c||a|a", "d"],
            available_from=pd.array([pd.NA, pd.NA, pd.NA, pd.NA, world.START + 1000], "Int64"),
        )
    )
    log = world.log()
    log.item[:] %= 5
    data = world.dataset(world.config(), log, items)
    early, late = (likes_of(data, Cut.at(world.START + moment)) for moment in (0, 1000))
    named = [{early.names[name] for name in row if name >= 0} for row in early.of_items]
    assert named == [
        {"colour=red", "genres=a", "genres=b"},
        {"genres=b"},
        {"colour=blue"},
        {"colour=red", "genres=a", "genres=c"},
        set(),
    ]
    assert early.of_items.shape == (5, 3)
    assert early.names == sorted({name for one in named for name in one})
    assert set(late.names) - set(early.names) == {"colour=green", "genres=d"}


def test_a_catalogue_without_categories_has_nothing_to_like():
    config = world.config({"features": [{"name": "item_id", "table": "items", "kind": "id"}], "data.segment": None})
    data = world.dataset(config, world.log())
    likes = likes_of(data, data.cuts.test)
    assert (likes.names, likes.of_items.shape) == ([], (world.ITEMS, 0))
    assert likes.representatives(np.arange(world.ITEMS)).shape[0] == 0


def test_towers_that_read_no_histories_can_be_told_nothing():
    reading, blind = (
        world.dataset(world.config(c), world.log()) for c in ({}, {"towers.history": {"encoder": "none"}})
    )
    now = Cut.at(world.START)
    assert read_likes(reading, now).names == likes_of(reading, now).names != []
    assert not read_likes(blind, now).names
    assert read_likes(blind, now).of_items.shape == (world.ITEMS, 0)
