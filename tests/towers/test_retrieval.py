"""The training loss against sums written out pair by pair, for the whole catalogue and for sampled columns."""

import numpy as np
import pytest

from pipelines.encoded import columns_of
from tests import world
from towers.backend import keras, tf
from towers.features import Preprocess, encode
from towers.lookup import UNKNOWN
from towers.retrieval import Log, TwoTower

CHANGES = {
    "towers.history": {"encoder": "mean", "length": 6},
    "towers.dropout": 0.0,
    "train.cold_items": 0.0,
    "train.batch": 6,
    "train.negatives.uniform": 12,
}


def _without_id_dropout(config):
    features = [f.model_copy(update={"dropout": 0.0}) if f.kind == "id" else f for f in config.features]
    return config.model_copy(update={"features": tuple(features)})


class _Case:
    """A model without dropout, one batch of the world, and a log in which some items are not out yet."""

    def __init__(self, train=None, **changes):
        named = {f"train.negatives.{k}": v for k, v in changes.items()} | {
            f"train.{k}": v for k, v in (train or {}).items()
        }
        config = _without_id_dropout(world.config(CHANGES | named))
        data = world.dataset(config, world.log())
        encoded, cut = world.encoded(data), data.cuts.validation
        examples = world.examples(data, encoded, cut)
        self.data, log = data, world.training_log(data, examples, cut)
        listed = log.listed.copy()
        listed[::5] = world.START + 20 * world.DAY  # a fifth of the catalogue comes out on day 20
        self.log = Log(log.trends, listed, log.sources)
        self.share, _ = examples.shares()
        keras.utils.set_random_seed(0)
        self.model = TwoTower(config, encoded.fitted, encoded.items, data.trend.columns)
        self.batch = max(examples.epoch(0), key=lambda batch: len(batch["mask"]))
        width = self.batch["weight"].shape[1]
        self.batch["weight"] = self.batch["weight"] * np.resize(np.array([1, 2, 3], np.float32), width)
        self.loss()  # make the weights
        self.cold = self.model._seen_as_cold()  # the same as long as the step is
        rng = np.random.default_rng(1)
        for variable in self.model.trainable_variables:  # also those that start at zero
            variable.assign_add(rng.normal(scale=0.1, size=variable.shape))

    def tensors(self):
        return {key: tf.constant(value) for key, value in self.batch.items()}

    def loss(self):
        return float(self.model.loss(self.tensors(), self.log))

    def columns(self):
        """The columns that the loss draws at the present step."""
        target, weight = (tf.reshape(self.tensors()[name], [-1]) for name in ("target", "weight"))
        weight = np.where(self.listed().ravel(), weight, 0)
        return self.model.sampler.draw(target, weight > 0, self.tensors()["query"], self.log.sources)

    def scores(self, candidates=None):
        """Score of every item at every moment, [R, L + 1, N], from the towers' own vectors and the trends."""
        items = self.model.item_vectors(cold=self.cold).numpy()
        batch, width = self.tensors(), self.data.config.towers.embedding_dim
        context = {key.removeprefix("context/"): v for key, v in batch.items() if key.startswith("context/")}
        static = {key.removeprefix("static/"): v for key, v in batch.items() if key.startswith("static/")}
        history = tf.gather(items[:, :width], batch["item"])
        queries = self.model.queries(history, batch["mask"], batch["item_time"], batch["moment"], static, context)
        queries = queries.numpy()
        trends = np.einsum("rmt,rmnt->rmn", queries[..., width + 1 :], self.log.trends.table[self.batch["bucket"]])
        trends *= self.warm()
        candidates = items if candidates is None else candidates.numpy()
        return queries[..., : width + 1] @ candidates.T + trends

    def warm(self):
        """Items that are seen as they are, [N]."""
        return np.ones(world.ITEMS, bool) if self.cold is None else ~self.cold.numpy()

    def comparable(self, row, moment, item):
        """Whether a candidate is a fair negative of a moment."""
        taken = {i for r, i in self.batch["seen"] if r == row}
        return item not in taken and self.log.listed[item] <= self.batch["moment"][row, moment]

    def moments(self):
        return list(zip(*np.nonzero((self.batch["weight"] > 0) & self.listed()), strict=True))

    def listed(self):
        """Which targets may be recommended at their moments already, [R, L + 1]."""
        return self.log.listed[self.batch["target"]] <= self.batch["moment"]


def _softmax_loss(positive, negatives):
    return np.log(np.exp(positive) + np.exp(negatives).sum()) - positive


def _weighted(case, losses):
    cold = ~case.warm()[case.batch["target"]] * (case.data.config.train.cold_weight - 1)
    weights = [case.batch["weight"][moment] * (1 + cold[moment]) for moment in case.moments()]
    return pytest.approx(np.average(losses, weights=weights), rel=1e-4)


@pytest.mark.parametrize("cold_items", [0, 0.4])
def test_over_the_whole_catalogue(cold_items):
    case = _Case({"cold_items": cold_items, "cold_weight": 3.0})
    assert (case.warm().mean() == 1) == (cold_items == 0)
    scores, losses = case.scores(), []
    for row, moment in case.moments():
        target, score = case.batch["target"][row, moment], scores[row, moment]
        negatives = [score[i] for i in range(world.ITEMS) if i != target and case.comparable(row, moment, i)]
        assert len(negatives) < world.ITEMS - world.TAKEN // 3
        losses.append(_softmax_loss(score[target], np.array(negatives)))
    assert case.loss() == _weighted(case, losses)


@pytest.mark.parametrize("logq", [True, False])
@pytest.mark.parametrize("sources", [{"in_batch": 90}, {"in_batch": 3, "popular": 5}])
@pytest.mark.parametrize("cold_items", [0, 0.4])
def test_over_sampled_columns(logq, sources, cold_items):
    case = _Case({"cold_items": cold_items}, whole_catalogue_below=0, logq=logq, **sources)
    columns = case.columns()
    drawn = [
        (int(i), int(e)) for i, e, there in zip(columns.items, columns.example, columns.there, strict=True) if there
    ]
    in_batch = sum(example >= 0 for _, example in drawn)
    assert in_batch == min(len(case.moments()), sources["in_batch"])
    by_share, evenly = sources["in_batch"] + sources.get("popular", 0), 12
    assert len(drawn) == by_share + evenly
    q = (by_share * case.share + evenly / world.ITEMS) / (by_share + evenly)
    scores, losses, masked = case.scores() - (np.log(q) if logq else 0), [], 0
    width = case.batch["weight"].shape[1]
    for row, moment in case.moments():
        target, score = case.batch["target"][row, moment], scores[row, moment]
        negatives = [score[i] for i, _ in drawn if i != target and case.comparable(row, moment, i)]
        masked += len(drawn) - len(negatives)
        # the share of each copy that was drawn belongs to the positive; its own column is one of the batch's
        copies = 1 + sum(i == target and example != row * width + moment for i, example in drawn)
        losses.append(_softmax_loss(score[target] + (np.log(copies) if logq else 0), np.array(negatives)))
    assert masked > 2 * len(case.moments())  # the case holds duplicates, known positives and items not out yet
    assert case.loss() == _weighted(case, losses)


def test_each_item_of_a_step_is_computed_once(monkeypatch):
    case, computed = _Case(whole_catalogue_below=0, in_batch=90, popular=40), []
    really = case.model.item_vectors
    monkeypatch.setattr(
        case.model, "item_vectors", lambda rows, **how: computed.append(rows.numpy()) or really(rows, **how)
    )
    columns, batch = case.columns(), case.batch
    case.loss()
    (rows,) = computed
    needed = np.concatenate([columns.items, batch["target"].ravel(), batch["item"].ravel()])
    assert len(needed) > 1.5 * len(rows)
    np.testing.assert_array_equal(np.sort(rows), np.unique(needed))


def test_by_gbce_over_evenly_drawn_columns():
    drawn = {"whole_catalogue_below": 0, "in_batch": 0, "uniform": 30, "logq": False}
    case = _Case({"cold_items": 0.4, "loss": "gbce", "gbce_t": 0.5}, **drawn)
    beta = 1 - 0.5 * (1 - 30 / world.ITEMS)
    columns, scores, losses = case.columns(), case.scores() + np.log(beta / 30), []
    for row, moment in case.moments():
        target, score = case.batch["target"][row, moment], scores[row, moment]
        negatives = [score[i] for i in columns.items.numpy() if case.comparable(row, moment, i)]
        assert 0 < len(negatives) < 30
        losses.append(beta * np.log1p(np.exp(-score[target])) + np.log1p(np.exp(negatives)).sum())
    assert case.loss() == _weighted(case, losses)


def test_over_remembered_columns_with_the_vectors_of_their_step():
    case = _Case(whole_catalogue_below=0, in_batch=1, uniform=0, memory=500, logq=False)
    moments, first = case.moments(), case.model.item_vectors().numpy()
    targets = np.array([case.batch["target"][moment] for moment in moments])
    memory = case.model.sampler.memory
    memory.items.assign(np.full(500, -1))
    case.loss()
    np.testing.assert_array_equal(memory.items[-len(targets) :], targets)
    assert (memory.items[: -len(targets)].numpy() == -1).all()
    for variable in case.model.items.trainable_variables:
        variable.assign_add(0.1 * np.ones(variable.shape))
    assert np.abs(case.model.item_vectors().numpy() - first).max() > 0.1
    losses, now, then = [], case.scores(), case.scores(tf.constant(first))
    (fresh,) = case.columns().fresh.numpy()
    for row, moment in moments:
        target = case.batch["target"][row, moment]
        old = [then[row, moment, i] for i in targets if case.comparable(row, moment, i)]
        old += [now[row, moment, fresh]] if fresh != target and case.comparable(row, moment, fresh) else []
        losses.append(_softmax_loss(now[row, moment, target], np.array(old)))
    assert case.loss() == _weighted(case, losses)


def test_what_is_seen_as_cold_is_not_remembered_and_what_is_remembered_is_not_cold():
    case = _Case({"cold_items": 0.4}, whole_catalogue_below=0, in_batch=1, uniform=0, memory=500)
    case.model.sampler.memory.items.assign(np.full(500, -1))
    case.loss()
    targets = np.array([case.batch["target"][moment] for moment in case.moments()])
    held = case.model.sampler.memory.items.numpy()
    np.testing.assert_array_equal(held[held >= 0], targets[case.warm()[targets]])
    everything = tf.ones([world.ITEMS], tf.bool)
    assert case.columns().cold(everything).numpy().tolist() == [True] + [False] * 500


@pytest.mark.parametrize("rows", [None, [7, 3, 7]])
def test_seen_as_cold_an_item_is_what_its_content_says_under_an_unknown_id(rows):
    case = _Case()
    cold, rows = np.arange(world.ITEMS) % 2 == 1, None if rows is None else tf.constant(rows)
    asked = np.arange(world.ITEMS) if rows is None else rows.numpy()
    found = case.model.item_vectors(rows, cold=tf.constant(cold)).numpy()
    unknown = dict(case.model._catalogue) | {"item_id": np.full(world.ITEMS, UNKNOWN)}
    plain, hidden = case.model.item_vectors().numpy(), case.model.items(unknown).numpy()
    np.testing.assert_allclose(found, np.where(cold[:, None], hidden, plain)[asked], rtol=1e-5, atol=1e-6)
    assert np.abs(plain - hidden).max() > 1e-3


def test_a_history_read_by_ids_does_not_know_them_either():
    case = _Case()
    config = world.config({"towers.history.items": "id"})
    model = TwoTower(config, world.encoded(case.data).fitted, world.encoded(case.data).items, 0)
    rows, vectors = tf.constant([[4, 5]]), tf.zeros([1, 2, model.dimension + 1])
    model.history_tokens(rows, vectors)
    model.read_ids.table.embeddings.assign(np.random.default_rng(0).normal(size=model.read_ids.table.embeddings.shape))
    found = model.history_tokens(rows, vectors, tf.constant(np.arange(world.ITEMS) == 4)).numpy()[0]
    np.testing.assert_array_equal(found[0], model.read_ids.table.embeddings[UNKNOWN])
    np.testing.assert_array_equal(found[1], model.history_tokens(rows, vectors).numpy()[0, 1])


def test_gradients_reach_the_towers_but_not_what_is_remembered():
    case = _Case(whole_catalogue_below=0, in_batch=3, uniform=0, memory=8)
    with tf.GradientTape() as tape:
        loss = case.model.loss(case.tensors(), case.log)
    assert all(variable.trainable for variable in case.model.trainable_variables)
    assert not any("memory" in variable.name for variable in case.model.trainable_variables)
    gradients = tape.gradient(loss, case.model.trainable_variables)
    assert sum(gradient is None for gradient in gradients) == 0


@pytest.mark.parametrize("sampled", [{}, {"whole_catalogue_below": 0}])
def test_a_target_that_is_not_listed_yet_is_nothing_to_learn_from(sampled):
    case = _Case(**sampled)
    row, moment = case.moments()[1]
    listed = case.log.listed.copy()
    listed[case.batch["target"][row, moment]] = case.batch["moment"][row, moment] + 1
    case.log = Log(case.log.trends, listed, case.log.sources)
    assert 0 < len(case.moments()) < (case.batch["weight"] > 0).sum()
    with_it = case.loss()
    listed[case.batch["target"][row, moment]] -= 1
    assert case.loss() != pytest.approx(with_it)
    listed[case.batch["target"][row, moment]] += 1
    case.batch["weight"][row, moment] = 0
    assert case.loss() == pytest.approx(with_it)


def test_a_known_positive_drawn_as_a_negative_changes_nothing():
    case = _Case(whole_catalogue_below=0, in_batch=0, uniform=0, hard=400, hard_depth=30, hard_from=1, logq=False)
    mine = case.batch["seen"][case.batch["seen"][:, 0] == 0, 1]
    others = np.setdiff1d(np.arange(0, world.ITEMS, world.BLOCKS) + mine[0] % world.BLOCKS, mine)
    case.batch["weight"][1:] = 0  # row 0 alone

    def mined(items):
        table = np.full((world.QUERIES, 30), -1, np.int32)
        table[:, : len(items)] = items
        case.log.sources.mined.fill(table)
        return case.loss()

    assert mined(mine) == pytest.approx(0, abs=1e-6)
    assert mined(others) > 1


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
    score = served[: width + 1] @ items.T + case.log.trends.table[batch["bucket"][row, moment]] @ served[width + 1 :]
    np.testing.assert_allclose(score, case.scores()[row, moment], rtol=1e-4, atol=1e-4)


def test_a_cold_items_vector_is_that_of_the_unknown_id_with_its_content():
    case = _Case()
    counts = np.full(world.ITEMS + 2, 9)
    counts[2 + 6] = 0
    case.model.set_known({"item_id": counts}, {"user_id": np.full(world.QUERIES + 2, 9)}, counts[2:])
    cold, known = case.model.item_vectors(tf.constant([6, 7])).numpy()
    features, fitted = case.data.config.on("items"), world.encoded(case.data).fitted
    row = world.items().iloc[[6]].assign(item_id="never seen")
    encoded = encode(Preprocess(features, fitted), columns_of(row, features))
    new = case.model.items({name: tf.constant(column) for name, column in encoded.items()}).numpy()[0]
    np.testing.assert_allclose(cold, new, rtol=1e-5)
    assert np.abs(known - cold).max() > 1e-3
