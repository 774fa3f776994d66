"""Content: items whose words and categories are like those of the history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from scipy.sparse import linalg
from sklearn.feature_extraction.text import TfidfVectorizer

from pipelines.baselines.matrix import history_items, item_counts, tie_break
from pipelines.tables import Interactions, Requests


class Content:
    """Cosine of TF-IDF vectors (scikit-learn's TfidfVectorizer); a request's profile is the mean of its history's.

    documents: one text for each item, [N]; a term is what stands between spaces, in lower case. ngrams: phrases of up
    to so many terms count too; sublinear: 1 + log(tf) in place of tf. Document frequencies are those of the items
    with events before the fit's moment. Items that share no term with the history follow popularity, as all do for an
    empty history.
    """

    def __init__(
        self, documents: Sequence[str], ngrams: int = 1, sublinear: bool = False, name: str = "TF-IDF content"
    ) -> None:
        self.documents = documents
        self.ngrams = ngrams
        self.sublinear = sublinear
        self.name = name

    def fit(self, interactions: Interactions, n_queries: int, n_items: int, now: int) -> None:
        """Learn the terms' weights from the items taken before `now`."""
        counts = item_counts(interactions.before(now), n_items)
        known = [document for document, count in zip(self.documents, counts, strict=True) if count and document]
        vectorizer = TfidfVectorizer(
            token_pattern=r"\S+", ngram_range=(1, self.ngrams), sublinear_tf=self.sublinear, dtype=np.float32
        )
        if known:
            vectorizer.fit(known)
            self.vectors = vectorizer.transform(self.documents)
        else:
            self.vectors = sparse.csr_matrix((n_items, 1), dtype=np.float32)
        self.tie_break = tie_break(counts)

    def scores(self, requests: Requests) -> np.ndarray:
        """Cosine of each item with the mean of the history's items, float32 [b, N]."""
        profiles = history_items(requests.history, len(self.tie_break)) @ self.vectors
        lengths = linalg.norm(profiles, axis=1).astype(np.float32)[:, None]
        return (profiles @ self.vectors.T).toarray() / np.where(lengths > 0, lengths, 1) + self.tie_break
