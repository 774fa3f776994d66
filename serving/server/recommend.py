"""One list: from the version that answers this user, or from popularity where it does not answer in time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serving.inputs import RequestError
from serving.popular import Popular
from serving.runtime import RuntimeFailure
from serving.server.api import Because, Listed, RecommendRequest
from serving.server.version import Version
from serving.state import QueryState
from serving.worker.process import DeadlinePassed, WorkerGone
from serving.worker.wire import Arrays

MODEL, POPULARITY, FALLBACK = "model", "popularity", "fallback"


@dataclass(frozen=True)
class Answer:
    """A list, what it comes from, and why it is not the model's where it is not; propensities: how likely each item was
    in its place, None where chance had no say."""

    items: Sequence[Listed]
    source: str
    reason: str | None = None
    propensities: Sequence[float] | None = None


@dataclass(frozen=True)
class Asked:
    """A request, what is known of its user, and the moment of it on the events' time axis."""

    request: RecommendRequest
    state: QueryState | None
    time: int

    @property
    def history(self) -> Sequence[str]:
        """Items that were taken, oldest first."""
        if self.request.history is not None:
            return self.request.history
        return self.state.history if self.state else ()

    def features(self) -> Mapping[str, Any]:
        """Features of the user and of the request, the given ones over the stored ones."""
        return {**(self.state.features if self.state else {}), **self.request.features, **self.request.context}


def inputs_of(version: Version, asked: Asked, more: int = 0) -> Arrays:
    """What a version's signatures take for a list, of so many more places than were asked for. Raises: RequestError."""
    said, builder = asked.request, version.bundle.inputs
    inputs = builder.request(
        asked.state,
        likes=said.likes,
        history=said.history,
        history_time=said.history_time,
        context={**said.features, **said.context},
        time=asked.time,
    )
    return inputs | builder.limits(said.k + more, said.exclude, said.filters) | builder.reranking(said.relevance)


async def recommend(version: Version, asked: Asked, inputs: Arrays, seconds: float, popular: Popular | None) -> Answer:
    """The version's list, or that of `popular` where it has none in time."""
    try:
        answer = await version.run_one("recommend", inputs, seconds)
    except (WorkerGone, DeadlinePassed, RuntimeFailure) as error:
        return fallback(popular, asked, _reason(error))
    except ValueError as error:  # inputs that do not fit the signature
        raise RequestError(f"recommend: {error}") from None
    source = MODEL if version.manifest.get("policy", "model") == "model" else POPULARITY
    found = Answer(_listed(version, answer, asked.request.explain), source)
    if found.items:
        return found
    spare = fallback(popular, asked, "empty")
    return spare if spare.items else found  # where neither has any, filters leave none


def fallback(popular: Popular | None, asked: Asked, reason: str) -> Answer:
    """Popularity's list: of the user's segment, then of everyone; empty where nothing was ever loaded."""
    if popular is None:
        return Answer([], FALLBACK, reason)
    said = asked.request
    segment = asked.features().get(popular.segment) if popular.segment else None
    barred = {*said.exclude, *(() if popular.again else (*asked.history, *said.likes))}
    ids = popular.best("" if segment is None else str(segment), said.k, barred, said.filters)
    listed = [Listed(item=item, title=popular.items[item].title, score=0.0, source=POPULARITY) for item in ids]
    return Answer(listed, FALLBACK, reason)


def _listed(version: Version, answer: Arrays, explain: bool) -> list[Listed]:
    count = int(answer["count"][0])
    ids, scores = [item.decode() for item in answer["items"][0][:count]], answer["scores"][0]
    filled = answer.get("filled", np.ones((1, count), bool))[0]
    explain = explain and "because" in answer  # popularity bundles and older ones say nothing of it
    because = [item.decode() for item in answer["because"][0][:count]] if explain else [""] * count
    titles = version.bundle.state.titles([*ids, *{item for item in because if item}])
    found = [
        Listed(item=item, title=titles.get(item, item), score=float(scores[place]), source=MODEL)
        for place, item in enumerate(ids)
    ]
    for place, one in enumerate(found):
        if filled[place]:
            one.source = POPULARITY
        if explain:
            one.retrieval = float(answer["retrieval"][0][place])
        if because[place]:
            one.because = Because(item=because[place], title=titles.get(because[place], because[place]))
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, DeadlinePassed):
        return "deadline"
    return "worker" if isinstance(error, WorkerGone) else "model"
