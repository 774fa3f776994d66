"""The bundle: one version of one recommender on disk, and the call that answers from it.

    <root>/<name>/<integer version>/
        saved_model.pb, variables/           the graph (TF Serving loads these)
        assets.extra/state.sqlite            item titles, what can be liked, each query's features and history
        assets.extra/golden.json             requests with the answers they must get
        assets.extra/popular.json            popular items, for when the graph cannot answer
        assets.extra/computed_at.npy         when each item's vector was computed
        manifest.json                        what it is, and a sha256 of every file

A bundle is read through TensorFlow's C API; nothing here imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from configs.load import parse
from configs.schema import Config
from serving.inputs import Filters, InputBuilder, RequestError, utf8
from serving.manifest import MANIFEST, BundleError, newest, verify
from serving.runtime import RuntimeFailure, Session, scann_library
from serving.state import STATE, State


@dataclass(frozen=True)
class Recommendation:
    """One place of a list: the item, its title, the ranker's score, and whether popularity filled the place.

    retrieval: the towers' score. because: the id of the item of the history that is most like this one; "" without a
    history. A bundle of popularity, or of an older version, says neither: 0 and "".
    """

    item: str
    title: str
    score: float
    filled: bool
    retrieval: float
    because: str


@dataclass(frozen=True)
class Similar:
    """A neighbour of an item: its id, its title, and the cosine of their embeddings."""

    item: str
    title: str
    score: float


class Bundle:
    """A verified bundle, ready to answer. `manifest` says what it is."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.config: Config = parse(manifest["config"], str(folder / MANIFEST))
        self.state = State(folder / STATE)
        self.inputs = InputBuilder(folder, manifest, self.config, self.state)

    @cached_property
    def session(self) -> Session:
        """The loaded graph. Raises: BundleError."""
        libraries = []
        if self.manifest["searcher"] == "scann":
            library = scann_library()
            if library is None:
                raise BundleError(f"bundle: {self.folder} needs ScaNN's operations; install the scann package")
            libraries = [library]
        try:
            return Session(self.folder, self.manifest["signatures"], op_libraries=libraries)
        except RuntimeFailure as failure:
            raise BundleError(f"bundle: {self.folder} cannot be loaded: {failure}") from None

    def recommend(
        self,
        user: str | None = None,
        k: int = 10,
        *,
        likes: Sequence[str] = (),
        history: Sequence[str] | None = None,
        history_time: Sequence[int] | None = None,
        exclude: Sequence[str] = (),
        filters: Filters | None = None,
        context: Mapping[str, Any] | None = None,
        time: int | None = None,
        relevance: float | None = None,
    ) -> list[Recommendation]:
        """The k best items for a query, best first.

        user: whose stored features and history are used; an unknown one, or None, is answered from the rest.
        likes: what someone new chose, "feature=value" of items or item ids; such items count as taken, at the
        request's time. history: item ids, oldest first, instead of the stored ones; unknown ids are passed over.
        history_time: their times, by default the request's. exclude: item ids that must not be listed. filters: by
        name, the values of which an item must have one, such as {"region": ["eu", "world"]}; of a filter with no value
        any item will do. context: request features
        and overrides of stored ones, by name. time: when it is asked, on the events' time axis; by default the end of
        the data that the bundle knows. relevance: the weight of scores against diversity, 0 to 1; by default the
        config's `rerank.relevance`. Popularity's list is the same with any.
        Raises: RequestError, BundleError.
        """
        inputs = self.request(user, likes=likes, history=history, history_time=history_time, context=context, time=time)
        inputs |= self.inputs.limits(k, exclude, filters) | self.inputs.reranking(relevance)
        answer = self.run("recommend", inputs)
        count = int(answer["count"][0])
        items = [item.decode() for item in answer["items"][0][:count]]
        titles = self.state.titles(items)
        filled = answer["filled"][0] if "filled" in answer else np.ones(count, bool)
        retrieval = answer["retrieval"][0] if "retrieval" in answer else np.zeros(count)
        because = answer["because"][0] if "because" in answer else [b""] * count
        return [
            Recommendation(
                item,
                titles.get(item, item),
                float(answer["scores"][0][i]),
                bool(filled[i]),
                float(retrieval[i]),
                because[i].decode(),
            )
            for i, item in enumerate(items)
        ]

    def similar(
        self, item: str, k: int = 10, *, exclude: Sequence[str] = (), filters: Filters | None = None
    ) -> list[Similar]:
        """The k items nearest to `item`, nearest first; exclude and filters as `recommend`.

        Raises: RequestError, BundleError.
        """
        inputs = self.inputs.item(item) | self.inputs.limits(k, exclude, filters)
        answer = self.run("similar_items", inputs)
        found = [one.decode() for one in answer["items"][0][: int(answer["count"][0])]]
        titles = self.state.titles(found)
        return [Similar(one, titles.get(one, one), float(answer["scores"][0][i])) for i, one in enumerate(found)]

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Call a signature with raw arrays. Raises: RequestError, BundleError."""
        if signature not in self.manifest["signatures"]:
            raise RequestError(
                f"bundle: {self.folder} has no signature {signature!r}; found {', '.join(self.manifest['signatures'])}"
            )
        session = self.session
        try:
            return session.run(signature, inputs)
        except RuntimeFailure as failure:
            raise BundleError(f"bundle: {signature} failed in {self.folder}: {failure}") from None
        except ValueError as error:  # inputs that do not fit the signature
            raise RequestError(f"bundle: {error}") from None

    def request(
        self,
        user: str | None = None,
        *,
        likes: Sequence[str] = (),
        history: Sequence[str] | None = None,
        history_time: Sequence[int] | None = None,
        context: Mapping[str, Any] | None = None,
        time: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Raw inputs for one query, [1, ...]; arguments as `recommend`. Raises: RequestError."""
        stored = self.state.query(utf8("user", user)) if user is not None else None
        return self.inputs.request(
            stored, likes=likes, history=history, history_time=history_time, context=context, time=time
        )


def load_bundle(path: Path | str) -> Bundle:
    """Open a bundle: one version, or the newest under a model's folder. Raises: BundleError."""
    folder = newest(Path(path))
    return Bundle(folder, verify(folder))
