"""The replay check: the exported graph must answer as the offline pipeline did, id by id.

The offline lists come from encoded tables, numpy and eager calls; the bundle starts from raw strings. Any
difference in encoding, history handling, filtering or search would show here before it shows to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from configs.data import FILTER
from pipelines.dataset import Dataset
from pipelines.feature_columns import columns_of
from pipelines.offline import BATCH, Offline
from pipelines.tables import Requests
from pipelines.verdicts import Status, Verdict
from serving.golden import write_golden as record_golden
from serving.runtime import Session, libraries_of, signature_table
from serving.signatures import reads_request_time
from towers.backend import tf

_GOLDEN = 8
LEAST = 0.995  # share of ids that must agree: floats may swap what is nearly tied

Call = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]


def replay(dataset: Dataset, offline: Offline, folder: Path, searcher: str) -> dict[str, float]:
    """Share of places whose ids agree with the offline list, in Python and through the C loader; and of candidates."""
    requests = offline.requests
    loaded = tf.saved_model.load(str(folder)).signatures["recommend"]
    python = _agreement(dataset, requests, offline.lists, lambda raw: _numpy(loaded(**_tensors(_reranked(raw)))))
    with c_session(folder, searcher) as session:
        return {"requests": len(requests), "python": python, **replay_in_c(dataset, offline, session)}


def replay_in_c(dataset: Dataset, offline: Offline, session: Session) -> dict[str, float]:
    """The same through the C loader alone."""
    requests = offline.requests
    c_loader = _agreement(dataset, requests, offline.lists, lambda raw: session.run("recommend", _reranked(raw)))
    candidates = _agreement(dataset, requests, offline.candidates, lambda raw: session.run("retrieve", raw), any_order)
    return {"requests": len(requests), "c_loader": c_loader, "candidates": candidates}


def replay_verdicts(agreement: Mapping[str, float], of: str = "") -> list[Verdict]:
    """A verdict for each way of asking: a graph that answers otherwise than what was judged is not published.

    of: which export was asked, where it is not the first.
    """
    asked = {"python": "in Python", "c_loader": "through the C loader", "candidates": "candidates, C loader"}
    n = int(agreement["requests"])
    return [
        Verdict("replay", f"ids that agree {how}{of}", "all", share, share, share, LEAST, n, _status(share))
        for how, share in ((how, agreement[name]) for name, how in asked.items() if name in agreement)
    ]


def _status(share: float) -> Status:
    return "pass" if share >= LEAST else "fail"


def c_session(folder: Path, searcher: str) -> Session:
    """The exported graph in TensorFlow's C API, as a server loads it."""
    return Session(folder, signature_table(folder), op_libraries=libraries_of(searcher))


def write_golden(dataset: Dataset, folder: Path, session: Session) -> None:
    """Write a few requests with the answers of the exported graph: asked again before every publishing."""
    requests = dataset.test_requests.take(np.arange(min(_GOLDEN, len(dataset.test_requests))))
    k = dataset.config.gate.list_k
    raw = [_reranked(raw_inputs(dataset, requests.take(np.array([row])), k)) for row in range(len(requests))]
    record_golden(folder, [(inputs, session.run("recommend", inputs)) for inputs in raw])


def raw_inputs(dataset: Dataset, requests: Requests, k: int) -> dict[str, np.ndarray]:
    """Requests as a client sends them to `retrieve`: raw feature values, and padded histories of item ids."""
    config = dataset.config
    ids = np.append(dataset.tables.items["item"].astype(str).to_numpy(object), "")
    width = int(requests.history.lengths.max(initial=0))
    columns = columns_of(dataset.tables.queries, config.on("queries"))
    raw = {name: column[requests.query] for name, column in columns.items()}
    for feature in config.on("events"):
        if not reads_request_time(feature):
            values = requests.context[feature.name]
            raw[feature.name] = values.astype(np.float32) if feature.kind in ("number", "vector") else values
    return raw | {
        "time": requests.time.astype(np.int64),
        "history": ids[requests.history.last(width, fill=-1)],
        "history_time": requests.history_time.last(width, fill=0).astype(np.int64),
        "likes": np.empty((len(requests), 0), object),
        "exclude": np.empty((len(requests), 0), object),
        **{FILTER + name: np.empty((len(requests), 0), object) for name in config.data.items.filters},
        "k": np.full(len(requests), k, np.int32),
    }


def _reranked(raw: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same as `recommend` takes them, which are reranked as configured."""
    return {**raw, "relevance": np.full(len(raw["k"]), -1, np.float32)}


def in_order(found: np.ndarray, expected: np.ndarray) -> int:
    """Places that hold the expected id."""
    return int((found == expected).sum())


def any_order(found: np.ndarray, expected: np.ndarray) -> int:
    """Expected ids that are found in their row: deep candidates are often nearly tied, and all of them are ranked."""
    return sum(int(np.isin(wanted, row).sum()) for row, wanted in zip(found, expected, strict=True))


def _agreement(
    dataset: Dataset,
    requests: Requests,
    offline: np.ndarray,
    call: Call,
    count: Callable[[np.ndarray, np.ndarray], int] = in_order,
) -> float:
    ids = np.append(dataset.tables.items["item"].astype(str).to_numpy(object), "")
    same = total = start = 0
    for block in requests.blocks(BATCH):
        answer = call(raw_inputs(dataset, block, offline.shape[1]))["items"]
        expected = ids[offline[start : start + len(block)]]
        same += count(np.array(_text(answer.ravel()), object).reshape(answer.shape), expected)
        total += expected.size
        start += len(block)
    return same / max(total, 1)


def _text(items: np.ndarray) -> list[str]:
    return [item.decode() for item in items]


def _tensors(raw: Mapping[str, np.ndarray]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(value, tf.string if value.dtype == object else None) for name, value in raw.items()}


def _numpy(answer: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in answer.items()}
