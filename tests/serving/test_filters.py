"""Filters: which items have a wanted value, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from serving import filters
from serving.filters import Filters, column, filter_values
from towers.backend import tf

TEXTS = {"stock": ["yes", "no", "yes", "", "no"], "region": ["eu|us", "eu", "", "us|asia|eu|us", "mars"]}


def wanted(found: Filters, **asked: list[list[str]]) -> dict[str, tf.Tensor]:
    rows = len(next(iter(asked.values())))
    given = {name: tf.constant(asked.get(name, [[""]] * rows), tf.string) for name in found.names}
    return found.read({f"filter_{name}": values for name, values in given.items()})


@pytest.fixture(scope="module")
def known() -> Filters:
    return Filters(TEXTS)


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        ({"stock": [["yes"]]}, [0, 2]),
        ({"stock": [["yes", "no"]]}, [0, 1, 2, 4]),
        ({"region": [["us", ""]]}, [0, 3]),
        ({"region": [["mars", "eu"]]}, [0, 1, 3, 4]),
        ({"region": [["eu"]], "stock": [["no"]]}, [1]),
        ({"region": [["EU"]]}, []),
        ({"region": [["eu|us"]]}, []),
        ({"region": [["", ""]]}, [0, 1, 2, 3, 4]),
    ],
)
def test_an_item_needs_a_wanted_value_of_each_filter_that_is_named(known, asked, allowed):
    codes = wanted(known, **asked)
    rows = tf.constant([[4, 3, 2, 1, 0]])
    assert np.flatnonzero(known.allow(rows, codes).numpy()[0][::-1]).tolist() == allowed
    one = {name: value[0] for name, value in codes.items()}
    found, rest = known.survivors(one, tf.constant(5))
    survivors = found.numpy().tolist()
    assert len(set(survivors)) == len(survivors) <= max(5, known.left(one)[1])
    assert set(survivors) >= {*allowed}
    assert len(asked) > 1 or sorted(survivors) == allowed
    kept = known.allow(found[None], {name: value[None] for name, value in rest.items()}).numpy()[0]
    assert sorted(found.numpy()[kept]) == allowed  # the rest of the filters says the rest


def test_each_request_has_its_own(known):
    codes = wanted(known, stock=[["yes"], ["no"], [""]])
    allowed = known.allow(tf.constant([[0, 1], [0, 1], [3, 1]]), codes).numpy()
    assert allowed.tolist() == [[True, False], [False, True], [True, True]]


def test_shares_of_single_values_are_exact_and_those_of_several_at_most_too_high(known):
    asked = {"stock": [["yes"], ["yes", "no"], ["never"], [""]]}
    width = max(map(len, asked["stock"]))
    padded = {"stock": [[*one, *[""] * (width - len(one))] for one in asked["stock"]]}
    np.testing.assert_allclose(known.left(wanted(known, **padded))[0].numpy(), [0.4, 0.8, 0.0, 1.0])
    share, fewest = known.left(wanted(known, stock=[["no"]], region=[["us", "eu"]]))
    np.testing.assert_allclose(share.numpy(), [0.4 * 1.0])  # two items have us and three eu, one of them both
    assert fewest.numpy().tolist() == [2]


def test_without_filters_all_may_be_shown():
    none = Filters({})
    assert none.read({}) == {}
    assert none.allow(tf.constant([[0, 3]]), {}).numpy().all()
    assert none.survivors({}, tf.constant(3))[0].numpy().tolist() == [0, 1, 2]
    assert none.left({})[0].numpy() == 1.0


def test_a_column_without_any_value_allows_nothing_to_who_asks():
    empty = Filters({"stock": ["", ""]})
    assert not empty.allow(tf.constant([[0, 1]]), wanted(empty, stock=[["yes"]])).numpy().any()
    assert empty.left(wanted(empty, stock=[["yes"]]))[0].numpy().tolist() == [0.0]


def test_two_values_with_one_code_are_refused(monkeypatch):
    monkeypatch.setattr(filters, "codes", lambda values: tf.strings.length(values))
    with pytest.raises(ValueError, match="filter 'region': 'at' and 'ch' have the same code"):
        column("region", ["at|africa", "ch"])


def test_an_item_with_too_many_values_is_refused():
    with pytest.raises(ValueError, match="filter 'seller': found an item with 257 values, expected at most 256"):
        column("seller", ["a", "|".join(map(str, range(257)))])


@pytest.mark.parametrize("many", [3, 200])
def test_any_number_of_values_may_be_wanted(known, many):
    asked = [["us", *(f"none{n}" for n in range(many))]]
    assert known.allow(tf.constant([[0, 1, 3]]), wanted(known, region=asked)).numpy().tolist() == [[True, False, True]]


def test_values_that_differ_by_what_cannot_be_seen_are_told_apart():
    texts = ["a", "a\0", "a ", "A"]
    odd = Filters({"stock": texts})
    for row, text in enumerate(texts):
        allowed = odd.allow(tf.constant([[0, 1, 2, 3]]), wanted(odd, stock=[[text]])).numpy()[0]
        assert np.flatnonzero(allowed).tolist() == [row]


def test_all_values_of_a_column():
    assert filter_values(TEXTS["region"]) == ["asia", "eu", "mars", "us"]
