"""The training loss against sums written out pair by pair, for the whole catalogue and for sampled columns."""

import numpy as np
import pytest

from pipelines.encoded import columns_of
from tests import world
from towers.backend import keras, tf
from towers.features import Preprocess, encode
from towers.retrieval import Log, TwoTower

CHANGES = {
    "towers.history": {"encoder": "mean", "length": 6},
    "towers.dropout": 0.0,
    "train.batch": 6,
    "train.negatives.uniform": 12,
}


def _without_id_dropout(config):
    features = [f.model_copy(update={"dropout": 0.0}) if f.kind == "id" else f for f in config.features]
    return config.model_copy(update={"features": tuple(features)})


class _Case:
    """A model without dropout, one batch of the world, and a log in which some items are not out yet."""

    def __init__(self, **changes):
        config = _without_id_dropout(world.config(CHANGES | {f"train.negatives.{k}": v for k, v in changes.items()}))
        data = world.dataset(config, world.log())
        encoded, cut = world.encoded(data), data.cuts.validation
        examples = world.examples(data, encoded, cut)
        self.data, log = data, world.training_log(data, examples, cut)
        first = log.first_bucket.copy()
        first[::5] = 20  # a fifth of the catalogue comes out on day 20
        self.log = Log(log.trend, first, log.frequency)
        keras.utils.set_random_seed(0)
        self.model = TwoTower(config, encoded.fitted, encoded.items, data.trend.columns)
        self.batch = max(examples.epoch(0), key=lambda batch: len(batch["mask"]))
        width = self.batch["weight"].shape[1]
        self.batch["weight"] = self.batch["weight"] * np.resize(np.array([1, 2, 3], np.float32), width)
        self.loss()  # make the weights
        rng = np.random.default_rng(1)
        for variable in self.model.trainable_variables:  # also those that start at zero
            variable.assign_add(rng.normal(scale=0.1, size=variable.shape))

    def tensors(self):
        return {key: tf.constant(value) for key, value in self.batch.items()}

    def loss(self):
        return float(self.model.loss(self.tensors(), self.log))

    def scores(self):
        """Score of every item at every moment, [R, L + 1, N], from the towers' own vectors and the trends."""
        items = self.model.item_vectors().numpy()
        batch, width = self.tensors(), self.data.config.towers.embedding_dim
        context = {key.removeprefix("context/"): v for key, v in batch.items() if key.startswith("context/")}
        static = {key.removeprefix("static/"): v for key, v in batch.items() if key.startswith("static/")}
        history = tf.gather(items[:, :width], batch["item"])
        queries = self.model.queries(history, batch["mask"], batch["item_time"], batch["moment"], static, context)
        queries = queries.numpy()
        trends = np.einsum("rmt,rmnt->rmn", queries[..., width + 1 :], self.log.trend[self.batch["bucket"]])
        return queries[..., : width + 1] @ items.T + trends

    def comparable(self, row, moment, item):
        """Whether a candidate is a fair negative of a moment."""
        taken = {i for r, i in self.batch["seen"] if r == row}
        return item not in taken and self.log.first_bucket[item] <= self.batch["bucket"][row, moment]

    def moments(self):
        return list(zip(*np.nonzero(self.batch["weight"] > 0), strict=True))


def _softmax_loss(positive, negatives):
    return np.log(np.exp(positive) + np.exp(negatives).sum()) - positive


def _weighted(case, losses):
    weights = [case.batch["weight"][moment] for moment in case.moments()]
    return pytest.approx(np.average(losses, weights=weights), rel=1e-4)


def test_over_the_whole_catalogue():
    case = _Case()
    scores, losses = case.scores(), []
    for row, moment in case.moments():
        target, score = case.batch["target"][row, moment], scores[row, moment]
        negatives = [score[i] for i in range(world.ITEMS) if i != target and case.comparable(row, moment, i)]
        assert len(negatives) < world.ITEMS - world.TAKEN // 3
        losses.append(_softmax_loss(score[target], np.array(negatives)))
    assert case.loss() == _weighted(case, losses)


@pytest.mark.parametrize("logq", [True, False])
def test_over_sampled_columns(logq):
    case = _Case(whole_catalogue_below=0, logq=logq)
    targets = [case.batch["target"][moment] for moment in case.moments()]
    drawn = [*targets, *case.batch["negatives"]]
    n, u = len(targets), len(case.batch["negatives"])
    share = case.log.frequency
    correction = np.log((n * share + u / world.ITEMS) / (n + u)) if logq else np.zeros(world.ITEMS)
    scores, losses, masked = case.scores() - correction, [], 0
    for row, moment in case.moments():
        target, score = case.batch["target"][row, moment], scores[row, moment]
        negatives = [score[i] for i in drawn if i != target and case.comparable(row, moment, i)]
        masked += len(drawn) - 1 - len(negatives)
        copies = drawn.count(target) if logq else 1  # each copy's share of the softmax is the positive's
        losses.append(_softmax_loss(score[target] + np.log(copies), np.array(negatives)))
    assert masked > 2 * len(targets)  # the case holds duplicates, known positives and items not out yet
    assert case.loss() == _weighted(case, losses)


def test_a_known_positive_drawn_as_a_negative_changes_nothing():
    case = _Case(whole_catalogue_below=0, logq=False)
    before = case.loss()
    everything_of_one_block = np.flatnonzero(np.arange(world.ITEMS) % world.BLOCKS == 0)
    mine = case.batch["seen"][case.batch["seen"][:, 0] == 0, 1]
    case.batch["weight"][1:] = 0  # row 0 alone
    alone = case.loss()
    assert alone != before
    case.batch["negatives"] = np.append(case.batch["negatives"], mine).astype(np.int32)
    assert case.loss() == pytest.approx(alone, rel=1e-5)
    case.batch["negatives"] = np.append(case.batch["negatives"], everything_of_one_block).astype(np.int32)
    assert case.loss() > alone * 1.001


def test_training_vectors_are_served_vectors():
    """The vector of a training moment equals that of a request with the same past, padded on the other side."""
    case = _Case()
    batch, width = case.batch, case.data.config.towers.embedding_dim
    items = case.model.item_vectors().numpy()
    row, moment = case.moments()[3]
    length = batch["mask"].shape[1]
    pad = length - moment
    past = np.concatenate([np.zeros(pad, np.int32), batch["item"][row, :moment]])
    now = batch["moment"][row, moment]
    times = np.concatenate([np.full(pad, now), batch["item_time"][row, :moment]])
    request = {
        "mask": tf.constant([[False] * pad + [True] * moment]),
        "item_time": tf.constant(times[None]),
        "moment": tf.constant(np.append(times, now)[None]),
    }
    request |= {key: tf.constant(v[[row]]) for key, v in batch.items() if key.startswith("static/")}
    request |= {key: tf.constant(v[[row], moment]) for key, v in batch.items() if key.startswith("context/")}
    served = case.model.query_vectors(request, tf.constant(items[past, :width][None])).numpy()[0]
    score = served[: width + 1] @ items.T + case.log.trend[batch["bucket"][row, moment]] @ served[width + 1 :]
    np.testing.assert_allclose(score, case.scores()[row, moment], rtol=1e-4, atol=1e-4)


def test_a_cold_items_vector_is_that_of_the_unknown_id_with_its_content():
    case = _Case()
    counts = np.full(world.ITEMS + 2, 9)
    counts[2 + 6] = 0
    case.model.set_known({"item_id": counts}, {"user_id": np.full(world.QUERIES + 2, 9)})
    cold, known = case.model.item_vectors(tf.constant([6, 7])).numpy()
    features, fitted = case.data.config.on("items"), world.encoded(case.data).fitted
    row = world.items().iloc[[6]].assign(item_id="never seen")
    encoded = encode(Preprocess(features, fitted), columns_of(row, features))
    new = case.model.items({name: tf.constant(column) for name, column in encoded.items()}).numpy()[0]
    np.testing.assert_allclose(cold, new, rtol=1e-5)
    assert np.abs(known - cold).max() > 1e-3
