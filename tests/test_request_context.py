"""A world in which device and hour decide what is taken: the same user must get other candidates with another."""

import numpy as np
import pytest

from pipelines.evaluation.ranking import rank
from pipelines.fit import Trainer
from pipelines.progress import Progress
from pipelines.tables import Interactions, Requests
from pipelines.train import new_towers
from pipelines.vectors import Vectors
from serving.likes import Likes
from serving.recommender import Catalogue, Models, Recommender
from serving.searchers import Exact
from tests import world
from towers.backend import tf
from towers.ranker import Ranker

DEVICES, NOON, K = ("phone", "desk"), 43_200, 10
CHANGES = {
    "towers.history": {"encoder": "mean", "length": 6},
    "train.batch": 60,
    "train.learning_rate": 0.02,
    "train.negatives.uniform": 0,
    "train.average": 0.0,  # a few dozen steps: an average would lag behind
    "train.cold_items": 0.0,  # content says nothing of what is taken when
}


def _kind(item):
    """Which of the four kinds of moments an item belongs to: device, then half of the day."""
    return item % 4


def _log() -> Interactions:
    log, rng = world.log(), np.random.default_rng(5)
    kind = 2 * (log.context["device"] == "desk") + (log.time % world.DAY >= NOON)
    item = 4 * rng.integers(0, world.ITEMS // 4, len(log)) + kind
    return Interactions(log.query, item.astype(np.int32), log.time, log.weight, log.context)


@pytest.fixture(scope="module", params=[{"train.target": "next"}, {"train.target": "future"}], ids=["next", "future"])
def fitted(request, tmp_path_factory) -> Vectors:
    data = world.dataset(world.config(CHANGES | request.param), _log())
    encoded, cut = world.encoded(data), data.cuts.validation
    examples = world.examples(data, encoded, cut)
    model = new_towers(data, encoded)
    log, train = world.training_log(data, examples, cut), data.config.train
    trainer = Trainer(model, examples, log, train.learning_rate, tmp_path_factory.mktemp("fit"), train)
    trainer.fit_fixed(12, Progress(quiet=True), lambda epoch, scalars: None)
    return Vectors(data.config, model, encoded, data.trend_at(cut))


def _asked(device: str, hour: int) -> Requests:
    """Requests of all users that differ from those of other devices and hours in nothing else."""
    data = world.dataset(world.config(CHANGES), _log())
    plain = data.validation_requests
    moment = plain.time.max() // world.DAY * world.DAY + world.DAY + hour * 3600
    context = {"device": np.full(len(plain), device, object), "moment": np.full(len(plain), moment)}
    # the time of the request stays, so that the history is as long ago
    return Requests(plain.query, plain.time, plain.history, plain.history_time, plain.targets, context)


def _share(items: np.ndarray, kind: int) -> float:
    return float((_kind(items) == kind).mean())


@pytest.mark.parametrize(("device", "hour"), [("phone", 3), ("phone", 20), ("desk", 3), ("desk", 20)])
def test_device_and_hour_decide_what_the_same_user_gets(fitted, device, hour):
    asked, everything = _asked(device, hour), np.ones(world.ITEMS, bool)
    found = rank(fitted.score, asked, K, everything)
    assert _share(found.items, 2 * (device == "desk") + (hour >= 12)) > 0.85
    elsewhere = {
        name: fitted.of(_asked(*other))
        for name, other in {"device": (DEVICES[device == "phone"], hour), "hour": (device, 23 - hour)}.items()
    }
    for vectors in elsewhere.values():
        assert np.abs(vectors - fitted.of(asked)).max(axis=1).min() > 1e-2


def test_and_what_they_get_from_the_graph(fitted):
    config, data = fitted.config, world.dataset(fitted.config, _log())
    rows = np.arange(world.ITEMS)
    catalogue = Catalogue(
        ids=list(data.tables.items["item"]),
        static=fitted.static,
        trend=fitted.trend,
        ranker=np.zeros((world.ITEMS, 32), np.float32),
        indexed=rows,
        popular=rows,
        likes=Likes((), np.zeros((world.ITEMS, 0), np.int32)),
        mixed=np.zeros((world.ITEMS, 0), np.float32),
        newcomer=np.zeros(fitted.trend.shape[1], np.float32),
    )
    models = Models(
        fitted.model, Ranker(config, fitted.encoded.fitted), Exact.build(fitted.items), fitted.encoded.fitted
    )
    graph = Recommender(config, models, catalogue)
    users, tomorrow = data.tables.queries, data.cuts.validation.moment // world.DAY * world.DAY + world.DAY
    inputs = {
        "user_id": users["user_id"].to_numpy(object),
        "region": users["region"].to_numpy(object),
        "history": np.full((len(users), 1), "i003", object),
        "history_time": np.full((len(users), 1), tomorrow - 10),
        "likes": np.full((len(users), 0), "", object),
        "exclude": np.full((len(users), 0), "", object),
        "k": np.full(len(users), K, np.int32),
    }
    for device in DEVICES:
        for hour in (3, 20):
            moment = {
                "device": np.full(len(users), device, object),
                "time": np.full(len(users), tomorrow + hour * 3600),
            }
            answer = graph.retrieve({name: tf.constant(value) for name, value in (inputs | moment).items()})
            items = np.array([[int(item[1:]) for item in row] for row in answer["items"].numpy()])
            assert _share(items, 2 * (device == "desk") + (hour >= 12)) > 0.85
