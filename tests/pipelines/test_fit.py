"""Fitting: exact resume after a kill at any moment, early stopping, and that there is something to learn."""

import os
import resource
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from configs.errors import DataError, DivergedError
from pipelines.evaluation.ranking import rank
from pipelines.fit import Trainer, feed, load_weights, save_weights
from pipelines.progress import Progress
from pipelines.step import _signature
from pipelines.train import new_towers
from pipelines.vectors import Vectors
from tests import world
from towers.backend import tf

IDS_ALONE = {
    "features": [f for f in world.config().model_dump()["features"] if f["name"] in ("item_id", "user_id")],
    "data.segment": None,
}
READ_BY_MEAN = {"towers.history": {"encoder": "mean", "length": 6}}  # quick to trace


class _Killed(BaseException):
    """Stands for the end of the process."""


class _Watch(Progress):
    """Counts steps and kills the fit at one of them; keeps what is said."""

    def __init__(self, kill_at=None):
        super().__init__(quiet=True)
        self.steps, self.said, self._kill_at = 0, [], kill_at

    def say(self, text):
        self.said.append(text)

    def advance(self, steps=1):
        self.steps += 1
        if self.steps == self._kill_at:
            raise _Killed


class _Case:
    """A data set whose fits can be started again and again, each as a new process would."""

    def __init__(self, changes=None):
        self.data = world.dataset(world.config(changes), world.log())
        self.cut = self.data.cuts.validation
        self.encoded = world.encoded(self.data)
        self.examples = world.examples(self.data, self.encoded, self.cut)
        self.log = world.training_log(self.data, self.examples, self.cut)

    def start(self, folder):
        model = new_towers(self.data, self.encoded)
        return model, self.trainer(model, folder)

    def trainer(self, model, folder):
        train = self.data.config.train
        return Trainer(model, self.examples, self.log, train.learning_rate, folder, train)

    def steps(self, epochs):
        return sum(len(list(self.examples.epoch(epoch))) for epoch in range(epochs))

    def scripted(self, model, recalls):
        """A validation that returns the recall of the script for the epoch that has just ended."""
        ends = [self.steps(epoch + 1) for epoch in range(len(recalls))]
        return lambda: {"recall": recalls[ends.index(int(model.randomness.step))]}


@pytest.fixture(scope="module")
def case():
    return _Case(IDS_ALONE | READ_BY_MEAN | {"train.batch": 400, "train.average": 0.0})


def _nothing(epoch, scalars):
    pass


def _weights(model):
    return [variable.numpy().copy() for variable in model.variables]  # a view would follow the variable


def _same(ours, theirs):
    return all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.slow
def test_a_fit_killed_within_and_between_epochs_ends_where_an_undisturbed_one_ends(tmp_path):
    case = _Case({"train.batch": 400})  # every kind of feature, and the transformer with its dropout
    recalls = [0.1, 0.2, 0.15, 0.3]  # the third epoch is undone, and the fourth goes on at a lower rate

    def fit(folder, progress, record):
        model, trainer = case.start(tmp_path / folder)
        return model, trainer.fit(4, 3, case.scripted(model, recalls), progress, record)

    epochs = []
    undisturbed, expected = fit("undisturbed", _Watch(), lambda epoch, scalars: epochs.append((epoch, scalars["loss"])))

    def dies(epoch, scalars):
        again.append((epoch, scalars["loss"]))
        if epoch == 3:
            raise _Killed

    again = []
    with pytest.raises(_Killed):  # in the middle of the second epoch
        fit("killed", _Watch(kill_at=case.steps(1) + 2), dies)
    with pytest.raises(_Killed):  # after the third, just when it is recorded
        fit("killed", _Watch(), dies)
    watch = _Watch()
    resumed, found = fit("killed", watch, lambda epoch, scalars: again.append((epoch, scalars["loss"])))
    assert watch.steps == case.steps(4) - case.steps(3)
    assert again == epochs
    assert found == expected
    assert expected.best_epoch == 4
    assert _same(_weights(resumed), _weights(undisturbed))


def test_a_fixed_fit_resumes_and_a_finished_one_does_nothing(case, tmp_path):
    undisturbed, trainer = case.start(tmp_path / "undisturbed")
    trainer.fit_fixed(2, _Watch(), _nothing)
    killed, trainer = case.start(tmp_path / "killed")
    with pytest.raises(_Killed):
        trainer.fit_fixed(2, _Watch(kill_at=case.steps(1) + 1), _nothing)
    resumed, trainer = case.start(tmp_path / "killed")
    watch = _Watch()
    trainer.fit_fixed(2, watch, _nothing)
    assert watch.steps == case.steps(2) - case.steps(1)
    assert _same(_weights(resumed), _weights(undisturbed))
    assert not _same(_weights(killed), _weights(undisturbed))
    finished, trainer = case.start(tmp_path / "killed")
    watch = _Watch()
    trainer.fit_fixed(2, watch, _nothing)
    assert watch.steps == 0
    assert _same(_weights(finished), _weights(undisturbed))


@pytest.mark.parametrize(
    "how",
    [
        {"train.average": 0.0},
        {"train.average": 0.95},
        {"train.average": 0.95, "train.optimizer": "adam", "train.precision": "mixed_float16"},
        pytest.param({"train.xla": True}, marks=pytest.mark.slow),  # each start compiles the step anew
    ],
)
def test_a_fit_killed_within_an_epoch_goes_on_from_its_last_checkpoint(how, tmp_path):
    mining = {"train.negatives": {"whole_catalogue_below": 0, "hard": 8, "hard_depth": 4, "uniform": 8}}
    steps = {"train.batch": 120, "train.checkpoint_every": 3}
    case = _Case(IDS_ALONE | READ_BY_MEAN | mining | steps | how)
    began = []

    def fit(folder, watch):
        case.log = world.training_log(case.data, case.examples, case.cut)  # what was mined is gone with the process
        model, trainer = case.start(tmp_path / folder)

        def before_epoch(number):
            began.append(number)
            rng = np.random.default_rng(int(1e6 * np.abs(_weights(model)[0]).sum()))  # follows from the weights
            case.log.sources.mined.fill(rng.integers(0, world.ITEMS, (world.QUERIES, 4)).astype(np.int32))

        losses = []
        trainer.fit_fixed(2, watch, lambda epoch, scalars: losses.append(scalars["loss"]), before_epoch)
        return _weights(model), losses

    undisturbed, losses = fit("undisturbed", _Watch())
    assert case.steps(1) > 6
    with pytest.raises(_Killed):
        fit("killed", _Watch(kill_at=5))
    watch = _Watch()
    resumed, again = fit("killed", watch)
    assert began == [0, 1, 0, 1]  # the epoch under way is not begun a second time
    assert watch.steps == case.steps(2) - 3
    assert again == losses
    assert _same(resumed, undisturbed)


def _halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path):
    path.write_bytes(b"")


def _flip(path):
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 0xFF
    path.write_bytes(held)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("checkpoint/ckpt-1.data-00000-of-00001", _halve),
        ("checkpoint/ckpt-1.data-00000-of-00001", Path.unlink),
        ("checkpoint/ckpt-1.index", _halve),
        ("checkpoint/checkpoint", _empty),
        ("checkpoint/checkpoint", lambda path: path.write_bytes(b"\0" * 99)),
        ("checkpoint/checkpoint", lambda path: path.write_bytes(b"\xff" * 99)),
        ("checkpoint/ckpt-1.data-00000-of-00001", _flip),
        ("checkpoint/ckpt-1.index", Path.unlink),
        ("best/weights.data-00000-of-00001", _halve),
        ("best/weights.index", Path.unlink),
    ],
)
def test_a_fit_whose_checkpoint_is_damaged_says_so_and_begins_anew(case, tmp_path, name, damage, undisturbed):
    def fit(watch):
        model, trainer = case.start(tmp_path)
        trainer.fit(2, 2, case.scripted(model, [0.1, 0.2]), watch, _nothing)
        return model

    with pytest.raises(_Killed):
        fit(_Watch(kill_at=case.steps(1) + 1))
    damage(tmp_path / name)
    (tmp_path / "checkpoint.damaged" / "earlier").mkdir(parents=True)
    watch = _Watch()
    assert _same(_weights(fit(watch)), undisturbed)
    assert watch.steps == case.steps(2)
    (said,) = watch.said
    assert said.startswith("the last checkpoint is damaged and was put aside; this fit begins anew (")
    assert "\n" not in said
    assert "Restore" not in said
    assert "checkpoint" in {path.stem for path in (tmp_path / "checkpoint.damaged").iterdir()}
    assert not (tmp_path / "checkpoint.damaged" / "earlier").exists()


@contextmanager
def _few_files(more):
    """Within the block so many more files can be open at once."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 64, limits[1]))
    opened = []
    try:
        with suppress(OSError):
            while True:
                opened.append(os.dup(0))
        for _ in range(more):
            os.close(opened.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for number in opened:
            os.close(number)


@pytest.mark.parametrize(("more", "error"), [(0, OSError), (1, tf.errors.ResourceExhaustedError)])
def test_a_checkpoint_that_cannot_be_read_just_now_is_kept(case, tmp_path, more, error, undisturbed):
    model, trainer = case.start(tmp_path)
    with pytest.raises(_Killed):
        trainer.fit(2, 2, case.scripted(model, [0.1, 0.2]), _Watch(kill_at=case.steps(1) + 1), _nothing)
    model = new_towers(case.data, case.encoded)
    with _few_files(more), pytest.raises(error, match="Too many open files"):
        case.trainer(model, tmp_path)
    watch = _Watch()
    case.trainer(model, tmp_path).fit(2, 2, case.scripted(model, [0.1, 0.2]), watch, _nothing)
    assert watch.steps == case.steps(2) - case.steps(1)
    assert watch.said == []
    assert _same(_weights(model), undisturbed)


def test_a_fit_killed_while_it_writes_the_best_weights_replays_that_epoch(case, tmp_path, monkeypatch, undisturbed):
    write, written = tf.train.Checkpoint.write, []

    def dies(checkpoint, path):
        write(checkpoint, path)
        written.append(path)
        if len(written) == 2:
            Path(f"{path}.index").unlink()
            raise _Killed

    model, trainer = case.start(tmp_path)
    monkeypatch.setattr(tf.train.Checkpoint, "write", dies)
    with pytest.raises(_Killed):
        trainer.fit(2, 2, case.scripted(model, [0.1, 0.2]), _Watch(), _nothing)
    monkeypatch.undo()
    model, trainer = case.start(tmp_path)
    watch = _Watch()
    trainer.fit(2, 2, case.scripted(model, [0.1, 0.2]), watch, _nothing)
    assert watch.said == []
    assert watch.steps == case.steps(2) - case.steps(1)
    assert _same(_weights(model), undisturbed)
    assert {path.name for path in tmp_path.iterdir()} == {"best", "checkpoint"}


@pytest.fixture(scope="module")
def undisturbed(case, tmp_path_factory):
    """Weights after two epochs."""
    model, trainer = case.start(tmp_path_factory.mktemp("undisturbed"))
    trainer.fit(2, 2, case.scripted(model, [0.1, 0.2]), _Watch(), _nothing)
    return _weights(model)


def test_an_epoch_that_was_over_but_not_counted_has_no_pace(tmp_path):
    case = _Case(IDS_ALONE | READ_BY_MEAN | {"train.batch": 400, "train.checkpoint_every": 1})
    _, trainer = case.start(tmp_path)
    with pytest.raises(_Killed):
        trainer.fit_fixed(1, _Watch(kill_at=case.steps(1)), _nothing)
    _, trainer = case.start(tmp_path)
    watch, epochs = _Watch(), []
    trainer.fit_fixed(1, watch, lambda number, scalars: epochs.append(scalars))
    assert watch.steps == 0
    assert set(epochs[0]) == {"loss", "seconds"}


def test_what_is_validated_and_kept_is_the_moving_average(tmp_path):
    case = _Case(IDS_ALONE | READ_BY_MEAN | {"train.batch": 200, "train.average": 0.9})
    model, trainer = case.start(tmp_path)
    validated, raw = [], []

    def validate():
        validated.append(_weights(model))
        return {"recall": [0.1, 0.3, 0.2][len(validated) - 1]}

    trainer.fit(3, 9, validate, _Watch(), lambda epoch, scalars: raw.append(_weights(model)))
    assert not _same(validated[0], raw[0])
    assert _same(raw[2], validated[1])  # an epoch without a rise is undone, and goes on from what was kept
    assert _same(_weights(model), validated[1])


def test_early_stopping_keeps_the_best_epoch(case, tmp_path):
    model, trainer = case.start(tmp_path)
    kept, trained = {}, {}

    def record(epoch, scalars):
        kept[epoch] = _weights(model)

    def validate():
        trained[len(trained) + 1] = _weights(model)
        return scripted()

    scripted = case.scripted(model, [0.1, 0.3, 0.2, 0.3, 0.9])
    fitted = trainer.fit(9, 2, validate, _Watch(), record)
    # equal is not better: two epochs without a rise end the fit before the fifth
    assert (fitted.best_epoch, fitted.best_recall, fitted.epochs) == (2, 0.3, 4)
    assert list(kept) == [1, 2, 3, 4]
    assert _same(_weights(model), trained[2])
    # an epoch without a rise is undone before the next begins
    assert all(_same(kept[epoch], trained[2]) for epoch in (2, 3, 4))
    assert not any(_same(trained[epoch], trained[2]) for epoch in (1, 3, 4))


def test_without_a_rate_cut_training_goes_on_from_where_it_is(tmp_path):
    case = _Case(IDS_ALONE | READ_BY_MEAN | {"train.batch": 400, "train.average": 0.0, "train.rate_cut": 1.0})
    model, trainer = case.start(tmp_path / "whole")
    trained, kept = [], []

    def validate():
        trained.append(_weights(model))
        return {"recall": [0.1, 0.3, 0.2, 0.25][len(trained) - 1]}

    fitted = trainer.fit(4, 9, validate, _Watch(), lambda epoch, scalars: kept.append(_weights(model)))
    assert (fitted.best_epoch, fitted.epochs) == (2, 4)
    assert all(_same(after, before) for after, before in zip(kept, trained, strict=True))
    assert _same(_weights(model), trained[1])
    undisturbed, trainer = case.start(tmp_path / "fixed")
    trainer.fit_fixed(4, _Watch(), _nothing)
    assert _same(_weights(undisturbed), trained[3])


def test_an_epoch_without_a_rise_lowers_the_rate_of_the_next(case, tmp_path):
    def steps_of_third_epoch(recalls):
        model, trainer = case.start(tmp_path / str(recalls[1]))
        seen = []

        def validate():
            seen.append(_weights(model))
            return {"recall": recalls[len(seen) - 1]}

        before = []
        trainer.fit(3, 9, validate, _Watch(), lambda epoch, scalars: before.append(_weights(model)))
        return sum(float(np.square(a - b).sum()) for a, b in zip(seen[2], before[1], strict=True) if a.dtype != bool)

    assert steps_of_third_epoch([0.1, 0.05, 0.2]) < 0.5 * steps_of_third_epoch([0.1, 0.2, 0.3])


def test_weights_are_read_as_they_were_written(case, tmp_path):
    model = new_towers(case.data, case.encoded)
    for variable in model.trainable_variables:
        variable.assign_add(np.ones(variable.shape))
    save_weights(model, tmp_path)
    other = new_towers(case.data, case.encoded)
    assert not _same(_weights(other), _weights(model))
    load_weights(other, tmp_path)
    assert _same(_weights(other), _weights(model))


@pytest.mark.parametrize("changes", [{}, {"train.negatives.whole_catalogue_below": 0}])
def test_the_towers_find_the_block_of_every_query(changes, tmp_path):
    # from ids alone: only who took what with what says which items belong together
    case = _Case(
        IDS_ALONE | READ_BY_MEAN | {"train.target": "next", "train.batch": 60, "train.learning_rate": 0.02} | changes
    )
    model, trainer = case.start(tmp_path)

    def share():
        data, requests = case.data, case.data.validation_requests
        vectors = Vectors(data.config, model, case.encoded, data.trend_at(case.cut))
        found = rank(vectors.score, requests, 5, data.eligible(case.cut))
        return float((found.items % world.BLOCKS == requests.query[:, None] % world.BLOCKS).mean())

    assert share() < 0.4
    trainer.fit_fixed(20, _Watch(), _nothing)
    assert share() > 0.9


def test_a_loss_that_is_no_number_ends_the_fit_at_its_step(tmp_path):
    wild = IDS_ALONE | READ_BY_MEAN | {"train.batch": 400, "towers.similarity": "dot", "train.learning_rate": 1e30}
    _, trainer = _Case(wild).start(tmp_path)
    with pytest.raises(
        DataError, match=r"^train: the loss is no number any more at step \d+ of epoch 1, .*lower"
    ) as told:
        trainer.fit_fixed(2, Progress(quiet=True), _nothing)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("every", [1, 100])
def test_weights_that_a_last_step_made_no_numbers_are_never_saved(every, tmp_path):
    """An epoch of one step: its loss is that of the weights before it, and is fine."""
    leap = {"train.batch": 100_000, "train.learning_rate": 1e39, "train.checkpoint_every": every}
    case = _Case(IDS_ALONE | READ_BY_MEAN | leap)
    assert case.steps(1) == 1
    _, trainer = case.start(tmp_path)
    said = r"^train: weights are no numbers any more after step 1 of epoch 1, .*lower train\.learning_rate"
    with pytest.raises(DivergedError, match=said):
        trainer.fit_fixed(1, Progress(quiet=True), _nothing)
    assert not list(tmp_path.rglob("*.index"))


def test_the_end_of_an_epoch_waits_for_no_tuner(case):
    """tf.data's tuner sleeps twice as long each time, up to a minute, and an iterator that goes waits for it."""
    batches = feed(lambda: case.examples.epoch(0), _signature(next(case.examples.epoch(0))))
    assert batches.options().autotune.enabled is False
