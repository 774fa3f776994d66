"""Towers unlike the default in everything find the planted block of every query, from ids alone."""

import numpy as np
import pytest

from pipelines.evaluation.ranking import rank, rank_targets
from pipelines.fit import Trainer
from pipelines.progress import Progress
from pipelines.train import new_towers
from pipelines.vectors import Vectors
from tests import world

pytestmark = pytest.mark.slow

IDS_ALONE = {
    "features": [f for f in world.config().model_dump()["features"] if f["name"] in ("item_id", "user_id")],
    "data.segment": None,
    "train.target": "next",
    "train.batch": 60,
    "train.learning_rate": 0.02,
}
KINDS = {
    "matrix factorisation": {"towers.history": {"encoder": "none", "length": 6}, "towers.hidden": []},
    "GRU over ids, crossed": {"towers.history": {"encoder": "gru", "length": 6, "items": "id"}, "towers.top": "dcn"},
    "three vectors": {
        "towers.query_vectors": 3,
        "towers.history": {"encoder": "mean", "length": 6, "item_dropout": 0.1},
        "train.negatives.whole_catalogue_below": 0,
    },
}


@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS)
def test_the_towers_find_the_block_of_every_query(changes, tmp_path):
    data = world.dataset(world.config(IDS_ALONE | changes), world.log())
    encoded, cut = world.encoded(data), data.cuts.validation
    examples = world.examples(data, encoded, cut)
    model, train = new_towers(data, encoded), data.config.train
    log, requests, eligible = world.training_log(data, examples, cut), data.validation_requests, data.eligible(cut)

    def share():
        vectors = Vectors(data.config, model, encoded, data.trend_at(cut))
        found = rank(vectors.score, requests, 5, eligible)
        np.testing.assert_array_equal(rank_targets(vectors.score, requests, 5, eligible).items, found.items)
        assert len(vectors.of(requests.take(np.zeros(0, int)))) == 0
        return float((found.items % world.BLOCKS == requests.query[:, None] % world.BLOCKS).mean())

    assert share() < 0.4
    trainer = Trainer(model, examples, log, train.learning_rate, tmp_path, train)
    trainer.fit_fixed(40, Progress(quiet=True), lambda epoch, scalars: None)
    assert share() > 0.9
