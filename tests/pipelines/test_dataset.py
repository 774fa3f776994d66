"""Who is judged: everyone, or of a large window some, drawn evenly and the same whatever the window is."""

from functools import cache

import numpy as np

from pipelines.evaluation.funnel import taken_in_test
from pipelines.report.data import judged
from tests import world
from tests.pipelines.rolling.worlds import iso

FEW = 12


@cache
def _dataset(most=None, seed=0, name="q"):
    changes = {"seed": seed} | ({"split.max_queries": most} if most else {})
    queries = world.queries().assign(query=[f"{name}{row}" for row in range(world.QUERIES)])
    return world.dataset(world.config(changes), world.log(), None, queries)


def _queries(of):
    return set(of.test_requests.query) | set(of.newcomers.query)


def test_all_are_judged_where_they_are_few_enough():
    everyone, data = _dataset(), _dataset(world.QUERIES)
    assert len(everyone.test_requests) > 3 * FEW
    np.testing.assert_array_equal(everyone.test_requests.query, data.test_requests.query)
    assert judged(data) == judged(everyone)


def test_of_more_some_are_drawn_and_asked_just_what_they_are_asked_among_all():
    everyone, few = _dataset(), _dataset(FEW)
    asked = few.test_requests
    assert len(asked) <= FEW
    place = np.searchsorted(everyone.test_requests.query, asked.query)
    among_all = everyone.test_requests.take(place)
    np.testing.assert_array_equal(among_all.query, asked.query)
    for part in ("history", "history_time", "targets"):
        np.testing.assert_array_equal(getattr(among_all, part).values, getattr(asked, part).values)
    within = few.queries_within(few.cuts.test, few.cuts.end)
    assert len(within) > 3 * FEW
    assert len(_queries(few)) <= FEW
    assert set(taken_in_test(few).query) <= set(within)


def test_the_same_are_drawn_in_every_window_and_with_every_seed():
    few = _dataset(FEW)
    validation, test = set(few.validation_requests.query), set(few.test_requests.query)
    assert len(validation & test) > 0.5 * FEW  # of those who come in both
    assert test == set(_dataset(FEW, seed=1).test_requests.query)


def test_draws_favour_nobody():
    drawn = np.zeros(world.QUERIES)
    for name in range(40):
        drawn[list(_queries(_dataset(FEW, name=f"{name}-")))] += 1
    everyone = _dataset()
    within = everyone.queries_within(everyone.cuts.test, everyone.cuts.end)
    events = np.bincount(everyone.cuts.between(everyone.log, everyone.cuts.test, everyone.cuts.end).query)[within]
    busy, quiet = (drawn[within[rows]] for rows in (events > np.median(events), events <= np.median(events)))
    assert min(len(busy), len(quiet)) > 15
    assert abs(busy.mean() - quiet.mean()) < 0.3 * drawn.mean()


def test_those_without_a_past_are_drawn_apart():
    """A window whose newcomers are many more than those who come back leaves these as many as there may be."""
    log, days = world.log(), dict(zip(("validation", "ranker", "test"), (36, 42, 48), strict=True))
    log = log.take(np.flatnonzero((log.query < 20) | (log.time >= world.START + days["test"] * world.DAY)))
    cuts = {"split": {name: iso(day) for name, day in days.items()}}
    data = world.dataset(world.config(cuts | {"split.max_queries": FEW}), log)
    assert len(data.newcomers) == FEW
    assert len(data.test_requests) == FEW


def test_what_is_counted_and_learned_from_is_of_everyone():
    everyone, few = _dataset(), _dataset(FEW)
    for one, other in zip(*((d.window(*d.cuts.for_ranker).sequences.item) for d in (everyone, few)), strict=True):
        assert one == other
    np.testing.assert_array_equal(everyone.trend_at(everyone.cuts.test), few.trend_at(few.cuts.test))
    assert len(everyone.past(everyone.cuts.test)) == len(few.past(few.cuts.test))
    assert judged(few).queries == judged(everyone).queries
