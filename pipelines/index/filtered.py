"""Recall of the tuned searcher under the filters that requests may ask for, held against every survivor scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from configs.data import SEPARATOR
from pipelines.evaluation.bootstrap import interval
from pipelines.index.overlap import overlap_by_row
from pipelines.index.record import Filtered
from pipelines.index.truth import best_rows
from serving.filters import Filters, Texts, codes
from serving.retrieval import Asked, Retrieval
from serving.searchers import Searcher
from towers.backend import tf, traced

_QUERIES = 200
_BLOCK = 50
_RANKS = (0.0, 0.5, 0.9)  # of a filter's values by how many items have them: the commonest, a middling and a rare one


def recall_under_filters(
    searcher: Searcher, vectors: np.ndarray, filters: Mapping[str, Texts], queries: np.ndarray, k: int
) -> tuple[Filtered, ...]:
    """For up to three values of each filter; nothing for exact search, which has no recall to lose.

    vectors [N, D] as the searcher has them; filters {name: [N] texts}; queries [Q, D] or [Q, m, D].
    """
    if searcher.effort is None or not len(queries):
        return ()
    return UnderFilters(searcher, vectors, filters, queries, k).recall()


class UnderFilters:
    """The same for one effort of the searcher after another: what there is to find is found out once."""

    def __init__(
        self, searcher: Searcher, vectors: np.ndarray, filters: Mapping[str, Texts], queries: np.ndarray, k: int
    ) -> None:
        """As `recall_under_filters` has them."""
        none, known = np.zeros((len(vectors), 0), np.float32), Filters(filters)
        self._of = Retrieval(searcher, np.arange(len(vectors)), vectors, none, none, known, np.zeros(0, np.float32))
        self._queries, self._k = queries[:_QUERIES], k
        self._wanted = []
        for name in filters:
            for value in _values(filters[name]):
                asked = {other: codes(tf.constant([value if other == name else ""])) for other in filters}
                has = known.survivors(asked, tf.constant(0))[0].numpy()
                self._wanted.append((name, value, asked, len(has), best_rows(self._queries, vectors, k, has)))

    def recall(self) -> tuple[Filtered, ...]:
        """With the effort that the searcher has now."""
        return tuple(self._measured(*wanted) for wanted in self._wanted)

    def _measured(
        self, name: str, value: str, asked: Mapping[str, tf.Tensor], items: int, truth: np.ndarray
    ) -> Filtered:
        found = interval(overlap_by_row(_search(self._of, self._queries, asked, self._k), truth))
        return Filtered(name, value, items, found.mean, found.low)


def _values(texts: Texts) -> list[str]:
    """Values by `_RANKS`, each once."""
    every = [part for text in texts for part in str(text).split(SEPARATOR) if part]
    values, counts = np.unique(np.array(every, object).astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    places = (order[min(int(rank * len(values)), len(values) - 1)] for rank in _RANKS if len(values))
    return list(dict.fromkeys(str(values[place]) for place in places))


def _blocks(queries: np.ndarray) -> Iterator[np.ndarray]:
    return (queries[start : start + _BLOCK] for start in range(0, len(queries), _BLOCK))


def _search(of: Retrieval, queries: np.ndarray, wanted: Mapping[str, tf.Tensor], k: int) -> np.ndarray:
    best = traced(lambda query, seen, codes: of.best(Asked(query, seen, codes), tf.constant(k))[0])
    found = []
    for part in _blocks(queries):
        asked = {name: tf.tile(value[None], [len(part), 1]) for name, value in wanted.items()}
        found.append(best(tf.constant(part), tf.zeros([len(part), 0], tf.int32), asked).numpy())
    return np.concatenate(found)
