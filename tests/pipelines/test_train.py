"""The train stage: towers that diverged are never kept, and what a person sees of an epoch."""

import numpy as np
import pytest

from configs.errors import DivergedError
from pipelines.progress import Progress
from pipelines.train import _let_go, _recorder, new_towers, refit, try_towers
from tests import world
from tests.pipelines.test_fit import IDS_ALONE, READ_BY_MEAN
from towers.backend import tf

QUIET = Progress(quiet=True)
LEAPS = {
    "towers.similarity": "dot",
    "train.batch": 100_000,
    "train.learning_rate": 1e30,
    "train.refit_epochs": 1,
    "train.average": 0.0,
}


def _nothing(epoch, scalars):
    pass


def test_towers_whose_only_step_leaps_out_of_the_numbers_are_not_kept(tmp_path):
    """After it the weights are numbers still, if huge ones, and no loss comes that would tell."""
    data = world.dataset(world.config(IDS_ALONE | READ_BY_MEAN | LEAPS), world.log())
    said = "train: scores are no numbers any more when the epoch ends, .*lower train.learning_rate"
    with pytest.raises(DivergedError, match=said):
        try_towers(data, tmp_path, QUIET, _nothing)
    assert not (tmp_path / "selected" / "best").exists()
    encoded = world.encoded(data)
    model = new_towers(data, encoded)
    with pytest.raises(DivergedError, match=said):
        refit(data, encoded, model, data.cuts.test, tmp_path / "refitted", QUIET, _nothing)
    assert all(np.isfinite(weight).all() for weight in model.trainable_variables)
    assert not (tmp_path / "refitted" / "best").exists()


def test_of_fits_that_are_over_their_weights_alone_are_kept(tmp_path):
    for part in ("selected", "for-ranker", "refitted"):
        for name in ("best", "checkpoint", "checkpoint.damaged", "log"):
            (tmp_path / part / name).mkdir(parents=True)
    _let_go(tmp_path)
    assert {path.name for path in tmp_path.glob("*/*")} == {"best"}


def test_an_epochs_line_has_no_pace_where_no_step_was_left():
    said = []

    class _Heard(Progress):
        def say(self, text):
            said.append(text)

    record = _recorder(tf.summary.create_noop_writer(), "towers", _Heard(quiet=True))
    record(3, {"loss": 2.0, "recall": 0.5, "seconds": 1.0, "examples_per_second": 1234.5})
    record(4, {"loss": 2.0, "recall": 0.5, "seconds": 1.0})
    assert said == [
        "towers epoch  3  loss 2.0000  recall 0.5000  1,234 examples/s",
        "towers epoch  4  loss 2.0000  recall 0.5000",
    ]
