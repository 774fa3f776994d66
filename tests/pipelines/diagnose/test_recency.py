from __future__ import annotations

import numpy as np
import pytest

from pipelines.baselines.families import popularity_families
from pipelines.diagnose.recency import ALL_TIME, HINDSIGHT, contest
from pipelines.evaluation.metrics import at_depths
from pipelines.evaluation.ranking import rank
from tests.pipelines.diagnose.test_popularity import shifting
from tests.pipelines.diagnose.worlds import DAY, START, observed, plain


def test_what_moves_on_is_caught_by_the_recent_past() -> None:
    found = contest(shifting(10))
    assert found is not None
    assert found.metric == "ndcg@5"
    assert found.recent.name == "last 7d"
    assert found.recent.over is not None
    assert found.recent.over.low > 0
    assert found.best is found.recent


def test_what_stands_still_is_not() -> None:
    found = contest(plain(events=20_000, queries=2_000, items=300))
    assert found is not None
    assert found.recent.over is not None
    assert found.recent.over.low <= 0
    assert found.of(ALL_TIME).over is None
    assert found.of(HINDSIGHT).measures["recall@20"].mean > found.of(ALL_TIME).measures["recall@20"].mean


def test_windows_by_hand() -> None:
    """Before the cut at day 19: ten take item 0 and six item 2 on day 0, four item 1 on day 15. Of the six, five go on
    to item 1, as the last ten days would have it, and one to item 0, as all time would."""
    past = [(q, 0, 0) for q in range(10)] + [(q, 2, 0) for q in range(20, 26)] + [(q, 1, 15) for q in range(10, 14)]
    later = [(q, 1, 20) for q in range(20, 25)] + [(25, 0, 20), (0, 2, 31), (0, 2, 32)]
    query, item, day = map(list, zip(*past, *later, strict=True))
    cuts = {"validation": "2023-12-28", "ranker": "2024-01-09", "test": "2024-01-10"}
    sections = {"baselines": {"windows": ["10d"]}, "gate": {"k": 1, "list_k": 1}, "split": cuts}
    found = contest(observed(query, item, START + DAY * np.array(day), **sections))
    assert found is not None
    assert (found.requests, found.asked) == (6, 6)
    assert found.of("last 10d").measures["hit_rate@1"].mean == 5 / 6
    assert found.of(ALL_TIME).measures["hit_rate@1"].mean == 1 / 6
    assert found.of("last 10d").over is not None
    assert found.of("last 10d").over.mean == 4 / 6
    assert found.of(HINDSIGHT).measures["hit_rate@1"].mean == 5 / 6


def test_segments_are_held_against_the_same_window_of_all() -> None:
    """Two segments that share nothing: each half of the items is popular in one of them."""
    rng = np.random.default_rng(0)
    query = rng.integers(0, 600, 12_000)
    item = query % 2 + 2 * np.minimum(rng.geometric(0.05, len(query)) - 1, 99)
    side = ["left" if q % 2 else "right" for q in range(600)]
    found = contest(
        observed(
            query,
            item,
            START + rng.integers(0, 60 * DAY, len(query)),
            queries={"side": side},
            features=({"name": "side", "table": "queries", "kind": "category"},),
            data={"segment": "side"},
            n_items=200,
        )
    )
    assert found is not None
    segment = found.segment
    assert segment is not None
    assert (segment.name, segment.against) == ("last 30d by side", "last 30d")
    assert segment.over is not None
    assert segment.over.low > 0


def test_nobody_comes_back() -> None:
    """Every query lives for a moment."""
    time = np.repeat(np.arange(300), 2) * 60
    found = contest(observed(np.repeat(np.arange(300), 2), np.arange(600) % 7, START + time))
    assert found is None


def test_an_order_has_parts_of_itself_for_windows() -> None:
    rng = np.random.default_rng(1)
    world = observed(rng.integers(0, 50, 2_000), rng.integers(0, 90, 2_000), range(2_000), clock=False)
    found = contest(world)
    assert found is not None
    # The baselines' windows: a twentieth and a fourth of what lies before the validation cut, at .8 of the log.
    assert [one.name for one in found.contenders] == [ALL_TIME, "last 79", "last 399", HINDSIGHT]
    assert [one.name for one in popularity_families(world.dataset)][1:3] == ["popularity 79", "popularity 399"]


def test_the_contest_is_that_of_the_baselines() -> None:
    """The same lists for everybody as the families of popularity make, segments included."""
    rng = np.random.default_rng(2)
    query = rng.integers(0, 100, 4_000)
    world = observed(
        query,
        rng.integers(0, 60, 4_000),
        START + rng.integers(0, 60 * DAY, 4_000),
        queries={"side": ["left" if q % 3 else "" for q in range(100)]},
        features=({"name": "side", "table": "queries", "kind": "category"},),
        data={"segment": "side"},
    )
    dataset, found = world.dataset, contest(world)
    assert found is not None
    cut = dataset.cuts.validation
    ours = {"all time": "popularity", "last 7d": "popularity 7d", "last 30d by side": "popularity 30d by side"}
    made = {family.name: family.make() for family in popularity_families(dataset)[:4]}
    for name, family in ours.items():
        made[family].fit(dataset.past(cut), dataset.n_queries, dataset.n_items, cut.moment)
        lists = rank(made[family].scores, dataset.validation_requests, 20, dataset.eligible(cut), True)
        expected = at_depths(lists, dataset.validation_requests.targets, [5, 20])
        assert found.of(name).measures["ndcg@5"].mean == pytest.approx(expected["ndcg@5"].mean())
        assert found.of(name).measures["recall@20"].mean == pytest.approx(expected["recall@20"].mean())
