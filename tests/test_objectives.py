"""Every objective learns the planted world, and a fit that is killed under any of them ends as if it had not been."""

import pytest

from pipelines.evaluation.ranking import rank
from pipelines.progress import Progress
from pipelines.train import new_towers, refit, try_towers
from pipelines.vectors import Vectors
from tests import world

FROM_IDS_ALONE = {
    "features": [f for f in world.config().model_dump()["features"] if f["name"] in ("item_id", "user_id")],
    "data.segment": None,
    "towers.history": {"encoder": "mean", "length": 6},
    "train.target": "next",
    "train.batch": 60,
    "train.learning_rate": 0.03,
    "train.refit_epochs": 60,
}
NOTHING = {"whole_catalogue_below": 0, "in_batch": 0, "uniform": 0}
EVERYTHING = {"in_batch": 8, "uniform": 8, "popular": 8, "hard": 8, "hard_depth": 10, "memory": 16}
OBJECTIVES = {
    "next window": {"train.target": "future", "train.horizon": "20d"},
    "learned temperature": {"towers.learn_temperature": True},
    "a part of the batch": {"train.negatives": NOTHING | {"in_batch": 20}},
    "uniform": {"train.negatives": NOTHING | {"uniform": 30}},
    "popular": {"train.negatives": NOTHING | {"popular": 30}},
    "hard": {"train.negatives": NOTHING | {"in_batch": 10, "hard": 20, "hard_depth": 10}},
    "memory": {"train.negatives": NOTHING | {"in_batch": 20, "memory": 40}},
    "everything": {"train.negatives": NOTHING | EVERYTHING},
    "gbce": {
        "train.loss": "gbce",
        "train.negatives": NOTHING | {"uniform": 30, "logq": False},
        "train.refit_epochs": 90,
        "towers.similarity": "dot",
        "towers.temperature": 1.0,
    },
}


class _Killed(BaseException):
    """Stands for the end of the process."""


class _Quiet(Progress):
    def __init__(self, kill_at=None):
        super().__init__(quiet=True)
        self.steps, self._kill_at = 0, kill_at

    def advance(self, steps=1):
        self.steps += 1
        if self.steps == self._kill_at:
            raise _Killed


def _share_of_own_block(data, model, encoded):
    """Of the five items that each query of the validation window is recommended."""
    cut, requests = data.cuts.validation, data.validation_requests
    vectors = Vectors(data.config, model, encoded, data.trend_at(cut))
    found = rank(vectors.score, requests, 5, data.eligible(cut)).items
    return float((found % world.BLOCKS == requests.query[:, None] % world.BLOCKS).mean())


@pytest.mark.slow
@pytest.mark.parametrize("changes", OBJECTIVES.values(), ids=OBJECTIVES.keys())
def test_it_finds_the_block_of_every_query(changes, tmp_path):
    data = world.dataset(world.config(FROM_IDS_ALONE | changes), world.log())
    encoded = world.encoded(data)
    model = new_towers(data, encoded)
    assert _share_of_own_block(data, model, encoded) < 0.4
    refit(data, encoded, model, data.cuts.validation, tmp_path, _Quiet(), lambda epoch, scalars: None)
    assert _share_of_own_block(data, model, encoded) > 0.8


def test_a_fit_with_every_source_that_is_killed_ends_where_an_undisturbed_one_ends(tmp_path):
    changes = FROM_IDS_ALONE | OBJECTIVES["everything"] | {"train.max_epochs": 4, "train.checkpoint_every": 3}
    data = world.dataset(world.config(changes), world.log())

    def fit(name, kept, kill_at=None):
        (tmp_path / name).mkdir(exist_ok=True)

        def record(epoch, scalars):
            kept.append((epoch, scalars["loss"], scalars["recall"]))

        return try_towers(data, tmp_path / name, _Quiet(kill_at), record)

    expected, found = [], []
    fitted = fit("undisturbed", expected)
    with pytest.raises(_Killed):  # within the third epoch, whose hard negatives were mined before it
        fit("killed", found, kill_at=30)
    assert 0 < len(found) < 4
    assert fit("killed", found) == fitted
    assert found == expected
    assert len({loss for _, loss, _ in found}) == 4
