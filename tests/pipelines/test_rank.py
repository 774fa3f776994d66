"""The rank stage: on which windows the ranker learns and is chosen, and whose candidates it finds there."""

from pipelines import rank
from pipelines.train import FOR_RANKER, SELECTED, new_towers
from pipelines.vectors import Vectors
from tests import world

LAST_OUT = {"split": {"protocol": "leave_last_out", "held_out": 2}}


def _asked(changes, folder, monkeypatch):
    """The data, what the ranker learns and is chosen on, and which towers were loaded for that."""
    data = world.dataset(world.config(changes), world.log())
    encoded, loaded = world.encoded(data), []

    def load(data, folder, which, cut):
        loaded.append((which, cut))
        return Vectors(data.config, new_towers(data, encoded), encoded, data.trend_at(cut))

    monkeypatch.setattr(rank, "load_towers", load)
    return data, rank._learned_and_check(data, folder), loaded


def _is_of(lists, data, start, end):
    between, targets = data.cuts.between(data.log, start, end), lists.requests.targets
    taken = set(zip(between.query, between.item, strict=True))
    assert len(targets.values)
    assert set(zip(lists.requests.query[targets.rows], targets.values, strict=True)) <= taken
    assert (lists.trend == data.trend_at(start)).all()


def test_it_learns_on_validation_and_is_chosen_on_the_window_after_it(tmp_path, monkeypatch):
    data, (learned, check), loaded = _asked({}, tmp_path, monkeypatch)
    cuts = data.cuts
    _is_of(learned, data, cuts.validation, cuts.ranker)
    _is_of(check, data, cuts.ranker, cuts.test)
    assert set(loaded) == {(SELECTED, cuts.validation), (FOR_RANKER, cuts.ranker)}
    assert set(learned.requests.query) & set(check.requests.query)  # who comes back is asked again


def test_of_one_window_alone_some_queries_are_kept_to_choose_on(tmp_path, monkeypatch):
    data, (learned, check), loaded = _asked(LAST_OUT, tmp_path, monkeypatch)
    for lists in (learned, check):
        _is_of(lists, data, data.cuts.validation, data.cuts.ranker)
    assert not set(learned.requests.query) & set(check.requests.query)
    assert loaded == [(FOR_RANKER, data.cuts.validation)]
