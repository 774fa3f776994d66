"""How lists are served without this project: `python -m tests.bench.serving_peers one|three BUNDLE`.

Both are FastAPI applications of one process with `tf.saved_model.load`, on uvloop and httptools, whose calls run in
threads. `one` answers a list by the bundle's own signature. `three` has an application for each step, which people put
together from parts: embed the user, search by ScaNN's Python binding, rank what was found. Clients know the history,
and send it; nothing is looked up, nothing is logged and nothing is checked, and no list of three calls is made more
diverse. `... ask BUNDLE ADDRESS` is such a client of those three.
"""

from __future__ import annotations

import http.client
import json
import math
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import Body, FastAPI

from serving.bundle import Bundle
from serving.manifest import manifest_of
from tests.bench.processes import take_turns
from tests.bench.serving_requests import USERS, K
from tests.bench.untrained import CANDIDATES, END

_ADDRESS = "address: "
_TURN = 600  # seconds for which a connection may wait while others have their turn
_ALL = -1  # leaves, where there are none to choose


class Peer:
    """Such an application in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.pid, self.address = process.pid, address

    @classmethod
    @contextmanager
    def started(cls, kind: str, bundle: Path) -> Iterator[Peer]:
        """Once it answers; it ends afterwards."""
        command = [sys.executable, "-m", "tests.bench.serving_peers", kind, str(bundle)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                for line in process.stdout:
                    if line.startswith(_ADDRESS):
                        yield cls(process, line.removeprefix(_ADDRESS).strip())
                        break
                else:
                    raise RuntimeError(f"the peer {kind} ended; its error stands above")
            finally:
                process.terminate()


def bodies_of(bundle: Bundle) -> list[str]:
    """The requests of `serving_requests`, as the signature takes them."""
    rest = bundle.inputs.limits(K) | bundle.inputs.reranking()
    return [_json(bundle.request(f"u{user}", time=END) | rest) for user in range(USERS)]


def ask_three(address: str, bundle: Bundle) -> None:
    """Time lists that are asked for in three calls over one connection, by turns with others."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    requests = cycle([(user, _json(bundle.request(f"u{user}", time=END))) for user in range(USERS)])
    histories = [set(bundle.state.query(f"u{user}").history) for user in range(USERS)]  # type: ignore[union-attr]

    def post(path: str, body: str) -> Any:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())

    def one() -> list[str]:
        user, inputs = next(requests)
        vector = post("/embed", inputs)["vector"]
        found = post("/search", json.dumps({"vector": vector, "k": CANDIDATES + len(histories[user])}))["items"]
        candidates = [item for item in found if item not in histories[user]][:CANDIDATES]
        return post("/rank", f'{{"request": {inputs}, "candidates": {json.dumps(candidates)}}}')["items"][:K]

    assert len(one()) == K

    def timed(calls: int) -> list[float]:
        taken = []
        for _ in range(calls):
            started = time.perf_counter()
            one()
            taken.append(time.perf_counter() - started)
        return taken

    take_turns(timed)


def _json(inputs: dict[str, np.ndarray]) -> str:
    return json.dumps({name: value.tolist() for name, value in inputs.items()})


def _application(folder: Path, three: bool) -> FastAPI:
    from scann.scann_ops.py import scann_ops  # noqa: F401  (registers its operations)

    from towers.backend import tf

    signatures = tf.saved_model.load(str(folder)).signatures
    app = FastAPI()

    def call(name: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        specs = signatures[name].structured_input_signature[1]
        given = {key: tf.constant(value, specs[key].dtype) for key, value in _shaped(inputs).items() if key in specs}
        return {key: value.numpy() for key, value in signatures[name](**given).items()}

    @app.post("/recommend")
    def recommend(inputs: dict = Body()) -> dict[str, Any]:  # noqa: B008
        return _listed(call("recommend", inputs))

    if three:
        _steps(app, folder, call)
    return app


def _steps(app: FastAPI, folder: Path, call: Any) -> None:
    from serving.searchers.scann import Layout
    from serving.variables import read_variables
    from tests.bench.index_peers import scann_index

    manifest = manifest_of(folder)
    parts = [f"retrieval/{name}" for name in ("static", "trend", "mixed")]
    found = read_variables(folder, parts)
    vectors = np.concatenate([found[name] for name in parts], axis=1)
    layout = Layout(**manifest["index"]["layout"])
    searcher, searched = scann_index(vectors, layout), math.ceil(layout.leaves / 6)  # as deep as the graph searches
    ids = [f"i{row}" for row in range(len(vectors))]

    @app.post("/embed")
    def embed(inputs: dict = Body()) -> dict[str, Any]:  # noqa: B008
        return {"vector": call("embed_user", inputs)["vector"][0].tolist()}

    @app.post("/search")
    def search(said: dict = Body()) -> dict[str, Any]:  # noqa: B008
        vector, k = np.array(said["vector"], np.float32), said["k"]
        rows, _ = searcher.search(vector, k, 4 * CANDIDATES, searched or _ALL)
        return {"items": [ids[row] for row in rows]}

    @app.post("/rank")
    def rank(said: dict = Body()) -> dict[str, Any]:  # noqa: B008
        return _listed(call("rank", {**said["request"], "candidates": [said["candidates"]]}))


def _shaped(inputs: dict[str, Any]) -> dict[str, Any]:
    """Lists without an element are of rank 2 here, and would be read as numbers."""
    return {name: np.empty((1, 0), object) if value == [[]] else value for name, value in inputs.items()}


def _listed(answer: dict[str, np.ndarray]) -> dict[str, Any]:
    return {"items": [item.decode() for item in answer["items"][0]], "scores": answer["scores"][0].tolist()}


def _serve(app: FastAPI) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        print(f"{_ADDRESS}http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=_TURN)).run(
            sockets=[bound]
        )


if __name__ == "__main__":
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind == "ask":
        ask_three(sys.argv[3], Bundle(folder, manifest_of(folder)))
    else:
        _serve(_application(folder, kind == "three"))
