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
from serving.server.version import Version, explained_outputs, list_outputs
from serving.state import QueryState
from serving.worker.process import DeadlinePassed, WorkerGone
from serving.worker.wire import Arrays

MODEL, POPULARITY, FALLBACK = "model", "popularity", "fallback"


@dataclass(frozen=True)
class Answer:
    """A list, what it comes from, and why it is not the model's where it is not."""

    items: Sequence[Listed]
    source: str
    reason: str | None = None


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


def inputs_of(version: Version, asked: Asked) -> Arrays:
    """What a version's signatures take for a list. Raises: RequestError."""
    said, builder = asked.request, version.bundle.inputs
    inputs = builder.request(
        asked.state,
        likes=said.likes,
        history=said.history,
        history_time=said.history_time,
        context={**said.features, **said.context},
        time=asked.time,
    )
    return inputs | builder.limits(said.k, said.exclude, said.filters) | builder.reranking(said.relevance)


async def recommend(version: Version, asked: Asked, inputs: Arrays, seconds: float) -> Answer:
    """The version's list, or popularity's where it has none in time."""
    wanted = (explained_outputs if asked.request.explain else list_outputs)(version.manifest)
    try:
        answer = await version.run_one("recommend", inputs, seconds, wanted)
    except (WorkerGone, DeadlinePassed, RuntimeFailure) as error:
        return fallback(version.popular, asked, _reason(error))
    except ValueError as error:  # inputs that do not fit the signature
        raise RequestError(f"recommend: {error}") from None
    source = MODEL if version.manifest.get("policy", "model") == "model" else POPULARITY
    found = Answer(_listed(version, answer, asked.request.explain), source)
    if found.items:
        return found
    spare = fallback(version.popular, asked, "empty")
    return spare if spare.items else found  # where neither has any, filters leave none


def fallback(popular: Popular | None, asked: Asked, reason: str) -> Answer:
    """Popularity's list: of the user's segment, then of everyone; empty where nothing was ever loaded."""
    if popular is None:
        return Answer([], FALLBACK, reason)
    said = asked.request
    segment = asked.features().get(popular.segment) if popular.segment else None
    barred = {*said.exclude, *(() if popular.again else asked.history)}
    ids = popular.best(str(segment or ""), said.k, barred, said.filters)
    listed = [Listed(item=item, title=popular.items[item].title, score=0.0, source=POPULARITY) for item in ids]
    return Answer(listed, FALLBACK, reason)


def _listed(version: Version, answer: Arrays, explain: bool) -> list[Listed]:
    count = int(answer["count"][0])
    ids = [item.decode() for item in answer["items"][0][:count]]
    because = [item.decode() for item in answer["because"][0][:count]] if "because" in answer else []
    titles = version.bundle.state.titles([*ids, *dict.fromkeys(filter(None, because))])
    filled = answer.get("filled", np.ones((1, count), bool))[0]
    retrieval = answer["retrieval"][0] if "retrieval" in answer else None
    return [
        Listed(
            item=item,
            title=titles.get(item, item),
            score=float(answer["scores"][0][place]),
            source=POPULARITY if filled[place] else MODEL,
            retrieval=None if retrieval is None else float(retrieval[place]),
            because=Because(item=because[place], title=titles.get(because[place], because[place]))
            if because and because[place]
            else None,
        )
        for place, item in enumerate(ids)
    ]


def _reason(error: Exception) -> str:
    if isinstance(error, DeadlinePassed):
        return "deadline"
    return "worker" if isinstance(error, WorkerGone) else "model"
