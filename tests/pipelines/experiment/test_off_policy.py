from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from configs.errors import DataError
from pipelines.experiment.off_policy import Actions, off_policy, read_actions

# weights 2, 1/2, 1, and what a model says of the rows
ACTIONS = Actions(
    np.array([0, 1, 2]),
    np.array([1.0, 0, 1]),
    np.array([0.25, 0.5, 0.5]),
    np.array([0.5, 0.25, 0.5]),
    np.array([0.5, 0.5, 1]),
    np.array([0.6, 0.3, 0.9]),
)


def test_against_numbers_worked_by_hand():
    found = off_policy(ACTIONS)
    assert found.ips.mean == pytest.approx((2 + 0 + 1) / 3)
    assert found.snips.mean == pytest.approx(3 / 3.5)
    # .6 + 2 x .5, .3 - .5 x .5, .9 + 0
    assert found.dr.mean == pytest.approx((1.6 + 0.05 + 0.9) / 3)
    assert found.effective == pytest.approx(3.5**2 / (4 + 0.25 + 1))
    assert (found.largest, found.clipped, found.rows) == (2, 0, 3)
    # terms 1, -1, 0 about the mean of 1: sqrt(3 / 2 x 2) / 3
    assert found.ips.high - found.ips.mean == pytest.approx(1.959964 * 3**0.5 / 3)
    # weights times what is left of rewards, 2 x 1/7, -1/2 x 6/7, 1/7, times 3 / 3.5
    terms = np.array([2 / 7, -3 / 7, 1 / 7]) * 3 / 3.5
    assert found.snips.high - found.snips.mean == pytest.approx(1.959964 * (1.5 * (terms**2).sum()) ** 0.5 / 3)


def test_clipping_is_counted_and_said():
    found = off_policy(ACTIONS, clip=1.5)
    assert found.ips.mean == pytest.approx((1.5 + 1) / 3)
    assert found.clipped == pytest.approx(1 / 3)
    assert found.largest == 2
    assert "33.3% of weights were clipped at 1.5" in found.cautions[-1]


def test_rows_of_one_query_are_not_independent():
    def twice(values):
        return None if values is None else np.repeat(values, 2)

    doubled = Actions(
        *(twice(getattr(ACTIONS, name)) for name in ("query", "reward", "propensity", "target", "estimate", "value"))
    )
    once, both = off_policy(ACTIONS), off_policy(doubled)
    for name in ("logged", "ips", "snips", "dr"):
        assert getattr(both, name).low == pytest.approx(getattr(once, name).low)
    apart = off_policy(replace(doubled, query=np.arange(6)))
    assert apart.ips.low > both.ips.low


def test_the_logging_policy_itself_has_its_own_mean():
    same = replace(ACTIONS, target=ACTIONS.propensity)
    found = off_policy(same)
    assert found.ips == found.snips == found.logged
    assert found.effective == 3


def test_wrong_propensities_are_noticed():
    rng = np.random.default_rng(0)
    propensity = rng.uniform(0.1, 0.5, 2000)
    sound = Actions(np.arange(2000), np.ones(2000), propensity, propensity * rng.uniform(0.5, 1.5, 2000))
    assert off_policy(sound).cautions == []
    wrong = off_policy(replace(sound, propensity=propensity / 1.2))
    assert "weights have a mean of 1.19" in wrong.cautions[0]
    assert "never tried" in off_policy(replace(sound, target=np.zeros(2000))).cautions[-1]


def _table(tmp_path, **columns):
    known = {"query": ["a", "b", None], "reward": [1, 0, 1], "propensity": [0.5, 0.5, 1.0], "target": [0.5, 0.2, 1]}
    path = tmp_path / "actions.parquet"
    pd.DataFrame({name: values for name, values in (known | columns).items() if values is not None}).to_parquet(path)
    return path


def test_a_table_is_read(tmp_path):
    found = read_actions(_table(tmp_path, other=[0.1, 0.2, 0.3]), "other")
    assert found.target.tolist() == [0.1, 0.2, 0.3]
    assert found.query.tolist() == [0, 1, 2]
    assert found.estimate is None
    model = read_actions(_table(tmp_path, estimate=[0.1, 0.2, 0.3], value=[0.1, 0.2, 0.3]), "target")
    assert model.value is not None


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (
            {"propensity": None},
            "no column 'propensity'; expected query, reward, propensity, target; found query, reward",
        ),
        ({"target": None}, "no column 'target'"),
        ({"estimate": [1, 1, 1]}, "no column 'value'; estimate and value go together"),
        ({"reward": ["a", "b", "c"]}, "reward: found .*string, expected numbers"),
        ({"reward": [1, None, 1]}, "reward: found 1 rows without a finite number"),
        ({"propensity": [0.5, 0.0, 1]}, "propensity: found 0 in row 1, expected probabilities above 0"),
        ({"target": [0.5, 1.5, 1]}, "target: found 1.5 in row 1, expected probabilities from 0 to 1"),
        ({"query": ["a", "a", "a"]}, "query: found one, expected several"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, columns, said):
    with pytest.raises(DataError, match=said):
        read_actions(_table(tmp_path, **columns), "target")


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_actions(tmp_path / "nowhere.parquet", "target")
    pd.DataFrame({name: pd.Series(dtype=float) for name in ("query", "reward", "propensity", "target")}).to_parquet(
        tmp_path / "empty.parquet"
    )
    with pytest.raises(DataError, match="has no rows"):
        read_actions(tmp_path / "empty.parquet", "target")
