"""Recall of a bundle's index as it is served: what it retrieves for stored queries, against every item scored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipelines.evaluation.bootstrap import Interval, interval
from pipelines.index.overlap import overlap_by_row
from serving.bundle import Bundle
from serving.delta import Variables, rows_of, whole_vectors

_QUERIES = 200


def served_recall(bundle: Bundle, variables: Variables, k: int) -> Interval:
    """Share of the k best for each of up to 200 stored queries that the bundle retrieves; `variables` are its own.

    All NaN, with n = 0, for a bundle that stores no queries.
    """
    shown = np.flatnonzero(variables["retrieval/listed"])
    vectors = whole_vectors(variables, shown)
    return interval(np.array(list(_shares(bundle, variables, shown, vectors, k))))


def _shares(bundle: Bundle, variables: Variables, shown: np.ndarray, vectors: np.ndarray, k: int) -> Iterator[float]:
    for user in bundle.state.some_queries(_QUERIES):
        request = bundle.request(user)
        answer = bundle.run("retrieve", request | bundle.inputs.limits(k))
        found = rows_of(variables, [item.decode() for item in answer["items"][0][: int(answer["count"][0])]])
        asked = np.atleast_2d(bundle.run("embed_user", request)["vector"][0])
        scores = (vectors @ asked.T).max(axis=1)
        if bundle.config.data.seen_items == "filter":
            scores[np.isin(shown, rows_of(variables, request["history"][0].tolist()))] = -np.inf
        best = np.argsort(-scores, kind="stable")[:k]
        truth = np.where(np.isfinite(scores[best]), shown[best], -1)
        yield float(overlap_by_row(found[None], truth[None])[0])
