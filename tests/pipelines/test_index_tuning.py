"""Tuning a searcher: what it promises of recall, and that it says when it cannot tell."""

import numpy as np
import pytest

from pipelines.candidates import search
from pipelines.evaluation.bootstrap import Interval
from pipelines.index.filtered import recall_under_filters
from pipelines.index.overlap import overlap_by_row
from pipelines.index.record import IndexTuning, Trial, load_index_tuning, save_index_tuning
from pipelines.index.truth import best_rows
from pipelines.index.tuning import Goal, tune
from pipelines.index.words import tuning_words
from serving.filters import Filters
from serving.retrieval import Asked, Retrieval
from serving.searchers import Exact
from towers.backend import tf

K = 20


def _world(items=3000, queries=600, width=16):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(40, width))
    vectors = centres[rng.integers(0, 40, items + queries)] + rng.normal(size=(items + queries, width))
    return vectors[:items].astype(np.float32), vectors[items:].astype(np.float32)


def _tune(kind, vectors, queries, target=0.9, builds=2, shards=1):
    built = []
    found = tune(kind, vectors, queries, Goal(K, target, shards), builds, lambda: built.append(None))
    return *found, len(built)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("kind", ["scann", "ivf"])
def test_the_target_is_met_on_queries_that_played_no_part(kind, shards):
    vectors, queries = _world()
    searcher, tuning, built = _tune(kind, vectors, queries, shards=shards)
    assert built == 2
    assert {trial.layout["shards"] for trial in tuning.trials} == {searcher.layout.shards} == {shards}
    assert tuning.verdict == "met"
    truth, found = (search(one, queries[1::2], K)[1] for one in (Exact.build(vectors), searcher))
    recall = overlap_by_row(found, truth).mean()
    assert recall == pytest.approx(tuning.held_out.mean)
    assert recall >= 0.9
    assert tuning.held_out.n == 300


@pytest.mark.parametrize("kind", ["scann", "ivf"])
def test_the_choice_is_the_quickest_that_surely_reaches_the_target(kind):
    _, tuning, _ = _tune(kind, *_world(), builds=1)
    able = [trial for trial in tuning.trials if trial.low >= tuning.target]
    assert tuning.trials[tuning.chosen] == min(able, key=lambda trial: trial.microseconds)
    assert len(tuning.trials) < 12  # of 15: bisected, not walked through


@pytest.mark.parametrize("kind", ["scann", "ivf"])
def test_recall_under_filters_is_that_of_the_best_survivors(kind):
    vectors, queries = _world()
    searcher, _, _ = _tune(kind, vectors, queries)
    rng = np.random.default_rng(1)
    stock = np.where(rng.random(3000) < 0.5, "yes", "no")
    brand = np.array([f"b{int(rank)}" for rank in 8 * rng.random(3000) ** 3], object)
    found = recall_under_filters(searcher, vectors, {"stock": stock, "brand": brand}, queries[1::2], K)
    counts = {("stock", value): int((stock == value).sum()) for value in ("yes", "no")}
    counts |= {("brand", value): int((brand == value).sum()) for value in set(brand)}
    assert [one.filter for one in found] == ["stock"] * 2 + ["brand"] * 3
    assert all(one.items == counts[one.filter, one.value] for one in found)
    assert found[2].items == max(count for (name, _), count in counts.items() if name == "brand")
    assert all(one.low <= one.recall <= 1 for one in found)
    assert min(one.recall for one in found) >= 0.85
    assert {one.recall for one in found[3:]} == {1.0}  # so few survive that all are scored


@pytest.mark.parametrize("kind", ["scann", "ivf"])
def test_lists_without_a_history_of_fifty_have_the_recall_that_was_tuned(kind):
    """Such a search asks for more than the K that tuning asked for."""
    vectors, queries = _world(items=6000)
    searcher, tuning, _ = _tune(kind, vectors, queries, builds=1)
    able = [trial.effort for trial in tuning.trials if trial.low >= 0.9]
    # the quickest may be a deeper one, where other work slows the others
    searcher.effort = type(searcher.effort)(**min(able, key=lambda effort: tuple(effort.values())))
    none, held_out = np.zeros((len(vectors), 0), np.float32), queries[1::2]
    of = Retrieval(searcher, np.arange(len(vectors)), vectors, none, none, Filters({}), np.zeros(0, np.float32))
    best = best_rows(held_out, vectors, K + 50)
    first, spread = np.arange(50), np.arange(0, K + 50, 7)
    for seen in (first, spread):
        asked = Asked(tf.constant(held_out), tf.constant(best[:, seen].astype(np.int32)), {})
        truth = np.delete(best, seen, axis=1)[:, :K]
        assert overlap_by_row(of.best(asked, tf.constant(K))[0].numpy(), truth).mean() >= 0.9


def test_exact_search_loses_nothing_under_filters():
    vectors, queries = _world(items=50)
    assert recall_under_filters(Exact.build(vectors), vectors, {"stock": ["yes"] * 50}, queries, K) == ()


def test_with_few_queries_it_says_that_it_cannot_tell():
    vectors, queries = _world(items=300)
    _, tuning, _ = _tune("ivf", vectors, queries[:20], builds=1)
    assert tuning.verdict == "cannot tell"
    assert "too few to tell (at least 100)" in tuning_words(tuning)


def test_a_target_out_of_reach_is_missed_with_the_best_there_is():
    vectors, queries = _world(items=300)
    _, tuning, _ = _tune("ivf", vectors, queries, target=1.0, builds=1)
    assert tuning.trials[tuning.chosen].recall == 1
    _, tuning, _ = _tune("ivf", vectors, queries, target=1.1, builds=1)
    assert tuning.trials[tuning.chosen].recall == 1
    assert tuning.verdict == "missed"
    assert "target 1.1 missed" in tuning_words(tuning)


@pytest.mark.parametrize(
    ("mean", "high", "n", "verdict"),
    [
        (0.95, 0.96, 300, "met"),
        (0.94, 0.96, 300, "cannot tell"),
        (0.93, 0.94, 300, "missed"),
        (1, 1, 99, "cannot tell"),
    ],
)
def test_verdicts(mean, high, n, verdict):
    assert IndexTuning("ivf", K, 0.95, (), 0, Interval(mean, 0.9, high, n)).verdict == verdict


@pytest.mark.parametrize("kind", ["scann", "ivf"])
@pytest.mark.parametrize(("items", "queries"), [(1, 4), (2, 4), (200, 1)])
def test_a_handful_of_items_or_queries(kind, items, queries):
    _, tuning, _ = _tune(kind, *_world(items, queries), builds=4)
    assert tuning.trials[tuning.chosen].recall == 1
    assert tuning.held_out.n == queries // 2
    assert tuning.verdict == "cannot tell"


def test_exact_search_has_nothing_to_tune():
    searcher, tuning, built = _tune("exact", *_world(items=50))
    assert (searcher.kind, tuning.trials, tuning.verdict, built) == ("exact", (), "met", 1)
    assert tuning_words(tuning) == "every item is scored"


def test_several_query_vectors_are_tuned_for():
    vectors, queries = _world()
    _, tuning, _ = _tune("ivf", vectors, queries.reshape(200, 3, 16), builds=1)
    assert tuning.held_out.n == 100
    assert tuning.verdict == "met"


def test_what_no_other_betters():
    def trial(recall, microseconds, nbytes=1):
        return Trial({}, {}, recall, recall, microseconds, nbytes)

    trials = trial(0.9, 10), trial(0.9, 10), trial(0.8, 10), trial(0.8, 5), trial(0.95, 30), trial(0.95, 40, 0)
    tuning = IndexTuning("ivf", K, 0.9, trials, 2, Interval(0.8, 0.8, 0.8, 300))
    assert tuning.pareto == (0, 1, 3, 4, 5)
    assert tuning.table == (3, 0, 1, 2, 4, 5)


def test_written_and_read(tmp_path):
    _, tuning, _ = _tune("ivf", *_world(items=200, queries=40), builds=1)
    save_index_tuning(tuning, tmp_path)
    assert load_index_tuning(tmp_path) == tuning
