import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from pipelines.evaluation import dot_product, ranking, screening
from pipelines.evaluation.ranking import DotProduct, Scorer, rank, rank_sampled, rank_targets
from pipelines.tables import Ragged, Requests


def ragged(lists: list[list[int]]) -> Ragged:
    row = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
    return Ragged.from_rows(row, np.array([item for one in lists for item in one], np.int32), len(lists))


def requests(histories: list[list[int]], targets: list[list[int]] | None = None) -> Requests:
    """Requests that differ in their histories and targets alone; the query is the row."""
    rows = len(histories)
    history = ragged(histories)
    history_time = Ragged(history.starts, np.zeros(len(history.values), np.int64))
    asked = ragged(targets or [[]] * rows)
    return Requests(np.arange(rows, dtype=np.int32), np.zeros(rows, np.int64), history, history_time, asked)


def table(scores: np.ndarray) -> Scorer:
    """A scorer that looks up row `query` of `scores`."""
    return lambda block: scores[block.query]


def test_best_first_without_seen_and_ineligible():
    scores = np.array([[5, 4, 3, 2, 1], [1, 2, 3, 4, 5]], np.float32)
    eligible = np.array([True, True, True, True, False])
    ranked = rank(table(scores), requests([[0], [3, 0]]), 2, eligible)
    assert ranked.items.tolist() == [[1, 2], [2, 1]]
    assert ranked.scores.tolist() == [[4, 3], [3, 2]]
    assert ranked.items.dtype == np.int32
    assert ranked.scores.dtype == np.float32
    assert ranked.source == "exact"


def test_seen_items_return_when_they_are_not_filtered():
    scores = np.array([[3, 2, 1]], np.float32)
    ranked = rank(table(scores), requests([[0, 1]]), 3, np.ones(3, bool), filter_seen=False)
    assert ranked.items.tolist() == [[0, 1, 2]]


def test_short_lists_are_padded():
    scores = np.array([[3, 2, -np.inf, 1]], np.float32)
    ranked = rank(table(scores), requests([[0]]), 6, np.ones(4, bool))
    assert ranked.items.tolist() == [[1, 3, -1, -1, -1, -1]]
    assert ranked.scores[0, 2:].tolist() == [-np.inf] * 4


def test_nothing_admissible_is_an_empty_list():
    ranked = rank(table(np.ones((1, 3), np.float32)), requests([[]]), 2, np.zeros(3, bool))
    assert ranked.items.tolist() == [[-1, -1]]


def test_ties_go_to_the_lower_row():
    scores = np.array([[0, 1, 1, 2, 1, 1, -0.0]], np.float32)
    assert rank(table(scores), requests([[]]), 3, np.ones(7, bool)).items.tolist() == [[3, 1, 2]]
    assert rank(table(scores), requests([[]]), 7, np.ones(7, bool)).items.tolist() == [[3, 1, 2, 4, 5, 0, 6]]


def test_the_scorers_array_is_left_alone():
    scores = np.ones((1, 3), np.float32)
    scores.flags.writeable = False
    assert rank(lambda block: scores, requests([[1]]), 3, np.ones(3, bool)).items.tolist() == [[0, 2, -1]]


def test_no_requests():
    assert rank(table(np.ones((0, 3), np.float32)), requests([]), 2, np.ones(3, bool)).items.shape == (0, 2)


@pytest.mark.parametrize(
    ("scores", "k", "message"),
    [
        (np.ones((1, 3), np.float32), 0, "k: got 0"),
        (np.ones((1, 4), np.float32), 1, r"got shape \(1, 4\), expected \(1, 3\)"),
        (np.full((1, 3), np.nan, np.float32), 1, "got NaN"),
    ],
)
def test_refused(scores, k, message):
    with pytest.raises(ValueError, match=message):
        rank(table(scores), requests([[]]), k, np.ones(3, bool))


def test_infinite_scores_are_scores():
    scores = np.array([[np.inf, 1, np.inf]], np.float32)
    assert rank(table(scores), requests([[]]), 2, np.array([False, True, True])).items.tolist() == [[2, 1]]


@st.composite
def worlds(draw):
    n_items = draw(st.integers(1, 8))
    rows = draw(st.integers(1, 5))
    item = st.integers(0, n_items - 1)
    levels = st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0])  # few levels, so that ties are the rule
    scores = draw(st.lists(st.lists(levels, min_size=n_items, max_size=n_items), min_size=rows, max_size=rows))
    eligible = draw(st.lists(st.booleans(), min_size=n_items, max_size=n_items))
    histories = draw(st.lists(st.lists(item, max_size=6), min_size=rows, max_size=rows))
    return np.array(scores, np.float32), np.array(eligible), histories


@settings(deadline=None)
@given(worlds(), st.integers(1, 10), st.integers(1, 6), st.sampled_from([1, 16, 1 << 20]))
def test_equals_a_loop_over_rows(world, k, block, cells):
    scores, eligible, histories = world
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_CELLS", cells)
        ranked = rank(table(scores), requests(histories), k, eligible, block=block)
    for row, history in enumerate(histories):
        admitted = [
            item
            for item in range(len(eligible))
            if eligible[item] and item not in history and scores[row, item] > -np.inf
        ]
        best = sorted(admitted, key=lambda item: (-scores[row, item], item))[:k]
        assert ranked.items[row].tolist() == best + [-1] * (k - len(best))
        assert ranked.scores[row, : len(best)].tolist() == scores[row, best].tolist()


@pytest.fixture
def screened(monkeypatch):
    """Dot products are screened however few the items, in several chunks and threads."""
    monkeypatch.setattr(dot_product, "_ENOUGH", 1)
    monkeypatch.setattr(dot_product, "_SHORT", 0)
    monkeypatch.setattr(ranking, "_VECTORS", 3)
    monkeypatch.setattr(screening, "CHUNK", 16)


def dot_product_world(
    seed: int, rows: int = 40, n_items: int = 150, several: tuple[int, ...] = ()
) -> tuple[DotProduct, Requests, np.ndarray]:
    """Vectors of small whole numbers, whose products are exact and often level; half of the targets score high.

    several: () for one vector of each request, (m,) for m.
    """
    rng = np.random.default_rng(seed)
    items = rng.integers(-2, 3, (n_items, 6)).astype(np.float32)
    queries = rng.integers(-2, 3, (rows, *several, 6)).astype(np.float32)
    eligible = rng.random(n_items) < 0.8
    histories = [list(rng.permutation(n_items)[: rng.integers(0, 60)]) for _ in range(rows)]
    best = np.argsort(-(queries @ items.T).reshape(rows, -1, n_items).max(axis=1), axis=1)[
        np.arange(rows), rng.integers(0, 20, rows)
    ]
    targets = [[int(item)] if row % 5 else [] for row, item in enumerate(np.where(rng.random(rows) < 0.5, best, 7))]
    return DotProduct(lambda part: queries[part.query], items), requests(histories, targets), eligible


@pytest.mark.parametrize("filter_seen", [True, False])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_dot_products_are_ranked_like_any_scores(screened, k, filter_seen):
    for seed in range(5):
        scorer, asked, eligible = dot_product_world(seed)
        plain = rank(lambda part, scorer=scorer: scorer(part), asked, k, eligible, filter_seen)
        found = rank(scorer, asked, k, eligible, filter_seen)
        np.testing.assert_array_equal(found.items, plain.items)
        np.testing.assert_array_equal(found.scores, plain.scores)


@pytest.mark.parametrize("filter_seen", [True, False])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_the_best_of_several_vectors_ranks(screened, k, filter_seen):
    for seed in range(5):
        scorer, asked, eligible = dot_product_world(seed, several=(3,))
        vectors = scorer.queries(asked)
        table = np.stack([[max(item @ one for one in row) for item in scorer.items] for row in vectors])
        plain = rank(lambda part, table=table: table[part.query], asked, k, eligible, filter_seen)
        np.testing.assert_array_equal(scorer(asked), table)
        for found in (
            rank(scorer, asked, k, eligible, filter_seen),
            rank_targets(scorer, asked, k, eligible, filter_seen),
        ):
            np.testing.assert_array_equal(found.items, plain.items)
            np.testing.assert_array_equal(found.scores, plain.scores)


@pytest.mark.parametrize("filter_seen", [True, False])
@pytest.mark.parametrize("k", [1, 10, 200])
def test_targets_are_at_the_places_they_have_in_the_lists(screened, k, filter_seen):
    for seed in range(5):
        scorer, asked, eligible = dot_product_world(seed)
        lists = rank(scorer, asked, k, eligible, filter_seen)
        found = rank_targets(scorer, asked, k, eligible, filter_seen)
        target = np.full(len(asked), -2)
        target[asked.targets.rows] = asked.targets.values
        hit = lists.items == target[:, None]
        assert k != 10 or 0 < hit.sum() < len(asked.targets.values)
        np.testing.assert_array_equal(found.items, np.where(hit, lists.items, -1))
        np.testing.assert_array_equal(found.scores, np.where(hit, lists.scores, -np.inf))


def test_places_are_those_of_lists_where_a_request_has_several_targets(screened):
    scorer, asked, eligible = dot_product_world(0)
    several = requests([[]] * 40, [[1, 2]] * 40)
    for one, those in ((scorer, several), (lambda part: scorer(part), asked)):
        np.testing.assert_array_equal(rank_targets(one, those, 5, eligible).items, rank(one, those, 5, eligible).items)


def test_few_items_are_not_screened(monkeypatch):
    monkeypatch.setattr(ranking.DotProductSearch, "best", None)
    scorer, asked, eligible = dot_product_world(0)
    assert rank(scorer, asked, 3, eligible).items.shape == (40, 3)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
@pytest.mark.parametrize("search", [rank, rank_targets])
def test_vectors_that_are_not_finite_are_refused(screened, search, broken):
    scorer, asked, eligible = dot_product_world(0)
    items = scorer.items.copy()
    items[np.flatnonzero(eligible)[0], 0] = broken
    with pytest.raises(ValueError, match="got items with NaN or infinity"):
        search(DotProduct(scorer.queries, items), asked, 3, eligible)
    with pytest.raises(ValueError, match="got queries with NaN or infinity"):
        search(DotProduct(lambda part: scorer.queries(part) + broken, scorer.items), asked, 3, eligible)
    with pytest.raises(ValueError, match="k: got 0"):
        search(scorer, asked, 0, eligible)


def test_sampled_lists_hold_targets_and_what_was_drawn_alone():
    scores = np.tile(np.arange(30, dtype=np.float32), (200, 1))
    eligible = np.arange(30) < 25
    asked = requests([[0, 1, 24]] * 200, [[2, 23, 29]] * 200)
    ranked = rank_sampled(table(scores), asked, 12, eligible, 7, seed=3)
    assert (ranked.items[:, 9:] == -1).all()  # 2 eligible targets and 7 others
    assert (np.diff(ranked.items[:, :9], axis=1) < 0).all()  # in the order of the scores, each item once
    assert (ranked.scores[:, :9] == ranked.items[:, :9]).all()
    others = ranked.items[:, :9][~np.isin(ranked.items[:, :9], [2, 23])].reshape(200, 7)
    assert not np.isin(others, [0, 1, 24, 25, 26, 27, 28, 29]).any()
    assert len(np.unique(others, axis=0)) > 190  # drawn anew for every request
    # each of 20 is drawn with chance 7 / 20: 70 times of 200, standard deviation 6.7
    counts = np.bincount(others.ravel(), minlength=30)[[*range(3, 23)]]
    assert counts.sum() == 1400
    assert (np.abs(counts - 70) < 5 * 6.7).all()


def test_the_draw_depends_on_the_seed_alone():
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((31, 50)).astype(np.float32)
    asked = requests([list(rng.permutation(50)[:5]) for _ in range(31)], [[int(rng.integers(50))] for _ in range(31)])
    eligible = np.ones(50, bool)
    first = rank_sampled(table(scores), asked, 60, eligible, 10, seed=1)
    for block in (1, 4, 31, 512):
        again = rank_sampled(table(scores), asked, 60, eligible, 10, seed=1, block=block)
        np.testing.assert_array_equal(again.items, first.items)
    other_scores = rank_sampled(table(-scores), asked, 60, eligible, 10, seed=1)
    np.testing.assert_array_equal(np.sort(other_scores.items, axis=1), np.sort(first.items, axis=1))
    other_seed = rank_sampled(table(scores), asked, 60, eligible, 10, seed=2)
    assert (np.sort(other_seed.items, axis=1) != np.sort(first.items, axis=1)).any(axis=1).all()


def test_sampled_with_negatives_to_spare_is_the_full_ranking():
    scores = np.array([[1, 5, 3, 2], [4, 1, 0, 2]], np.float32)
    asked = requests([[1], []], [[3], [0]])
    full = rank(table(scores), asked, 3, np.ones(4, bool))
    np.testing.assert_array_equal(rank_sampled(table(scores), asked, 3, np.ones(4, bool), 9, seed=0).items, full.items)


def test_a_seen_target_is_ranked_among_the_sampled():
    ranked = rank_sampled(table(np.array([[1, 2]], np.float32)), requests([[0, 1]], [[0]]), 2, np.ones(2, bool), 1, 0)
    assert ranked.items.tolist() == [[0, -1]]


@pytest.mark.parametrize(
    ("scores", "negatives", "message"),
    [(np.ones((1, 3)), 0, "negatives: got 0"), (np.full((1, 3), np.nan), 1, "got NaN"), (np.ones((1, 2)), 1, "shape")],
)
def test_sampled_refusals(scores, negatives, message):
    with pytest.raises(ValueError, match=message):
        rank_sampled(table(scores), requests([[]]), 1, np.ones(3, bool), negatives, 0)
