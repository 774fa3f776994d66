"""The same numbers as two independent libraries, on random lists; where a convention differs, it is converted here."""

import numba
import numpy as np
import pytest
from implicit.evaluation import ranking_metrics_at_k
from scipy import sparse

from pipelines.evaluation.metrics import per_request
from pipelines.tables import Candidates, Ragged

ITEMS, WIDTH = 60, 20


@pytest.fixture(scope="module")
def ranx():
    """ranx run as plain Python: compiling its metrics takes half a minute, interpreting them a moment."""
    before, numba.config.DISABLE_JIT = numba.config.DISABLE_JIT, True
    try:
        import ranx

        yield ranx
    finally:
        numba.config.DISABLE_JIT = before


def world(seed: int, requests: int = 60) -> tuple[Candidates, Ragged]:
    """Lists of 0 to 20 items, some of them full, and 1 to 30 targets each, some beyond what any list shows."""
    generator = np.random.default_rng(seed)
    items = np.stack([generator.permutation(ITEMS)[:WIDTH] for _ in range(requests)]).astype(np.int32)
    length = np.where(generator.random(requests) < 0.5, WIDTH, generator.integers(WIDTH, size=requests))
    items[np.arange(WIDTH) >= length[:, None]] = -1
    lengths = generator.integers(1, 31, size=requests)
    targets = np.concatenate([generator.permutation(ITEMS + 5)[:n] for n in lengths])
    return Candidates(items, np.zeros(items.shape), "test"), Ragged(np.concatenate([[0], np.cumsum(lengths)]), targets)


def of_ranx(ranx, candidates: Candidates, targets: Ragged, k: int) -> dict[str, np.ndarray]:
    """What ranx says. Its average precision is over all T targets, where ours is over the min(k, T) that fit."""
    qrels = {str(row): {str(item): 1 for item in targets[row]} for row in range(len(targets))}
    run = {
        str(row): {str(item): -float(place) for place, item in enumerate(items) if item >= 0} or {"nothing": 0.0}
        for row, items in enumerate(candidates.items)
    }
    names = {name: f"{name}@{k}" for name in ("ndcg", "recall", "precision", "map", "mrr", "hit_rate")}
    found = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), list(names.values()), return_mean=False)
    order = np.argsort([int(row) for row in sorted(qrels)])  # ranx sorts its queries by their names
    values = {name: found[at][order] for name, at in names.items()}
    fits = targets.lengths / np.minimum(targets.lengths, k)
    return values | {"map": values["map"] * fits, "capped_recall": values["recall"] * fits}


class Fixed:
    """A model, as implicit calls one, that recommends given lists."""

    def __init__(self, items: np.ndarray) -> None:
        self.items = items

    def recommend(self, rows, _user_items, N):
        return self.items[np.asarray(rows), :N], np.zeros((len(rows), N), np.float32)


def of_implicit(items: np.ndarray, targets: Ragged, k: int) -> dict[str, float]:
    """What implicit says of all requests together. Its precision divides by min(k, T): our capped recall."""
    shape = (len(targets), ITEMS + 5)
    wanted = sparse.csr_matrix((np.ones(len(targets.values), np.float32), targets.values, targets.starts), shape)
    found = ranking_metrics_at_k(Fixed(items), wanted, wanted, K=k, show_progress=False)
    return {"capped_recall": found["precision"], "ndcg": found["ndcg"], "map": found["map"]}


@pytest.mark.parametrize("k", [1, 3, 10, WIDTH])
@pytest.mark.parametrize("seed", range(8))
def test_ranx(ranx, seed, k):
    candidates, targets = world(seed)
    ours, theirs = per_request(candidates, targets, k), of_ranx(ranx, candidates, targets, k)
    assert theirs.keys() == ours.keys()
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=0, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("k", [1, 3, 10, WIDTH])
@pytest.mark.parametrize("seed", range(8))
def test_implicit(seed, k):
    candidates, targets = world(seed)
    ours = per_request(candidates, targets, k)
    for row, items in enumerate(candidates.items):
        for name, value in of_implicit(items[None, :], targets.take(np.array([row])), k).items():
            assert ours[name][row] == pytest.approx(value, rel=0, abs=1e-12), name


def test_implicit_on_all_requests_together():
    """Its ndcg and map are means over requests; its precision is hits over what fits, both of all requests."""
    candidates, targets = world(99)
    ours, theirs = per_request(candidates, targets, 10), of_implicit(candidates.items, targets, 10)
    assert ours["ndcg"].mean() == pytest.approx(theirs["ndcg"])
    assert ours["map"].mean() == pytest.approx(theirs["map"])
    fits = np.minimum(targets.lengths, 10)
    assert (ours["capped_recall"] * fits).sum() / fits.sum() == pytest.approx(theirs["capped_recall"])
