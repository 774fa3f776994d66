import dataclasses
import json
import sys

import numpy as np
import pytest

from pipelines.baselines import stage
from pipelines.baselines.families import LIGHTFM, Family, families, popularity_families
from pipelines.baselines.fold import Fold
from pipelines.baselines.record import Tuning, load_tuning, save_tuning
from pipelines.baselines.stage import best_popularity, chosen_popularity, contest, popularities
from pipelines.dataset import Dataset
from pipelines.evaluation.results import load_results
from pipelines.progress import Progress
from tests import world

QUIET = Progress(quiet=True)
FEW = {"baselines.trials": 2, "baselines.bpr": False, "baselines.factors": 4}


def dataset(changes: dict | None = None, log=None) -> Dataset:
    log = world.log() if log is None else log
    data = world.dataset(world.config({**FEW, **(changes or {})}), log)
    ratings = np.where(log.item % 2 == 0, 5, 1).astype(np.float32)  # as the log goes, and not what decides
    return dataclasses.replace(data, tables=dataclasses.replace(data.tables, ratings=ratings))


@pytest.fixture(scope="module")
def found() -> tuple[dict, Tuning]:
    data = dataset()
    return contest(data, families(data), QUIET)


def test_every_family_has_its_rows_and_trials(found):
    results, tuning = found
    assert list(results) == [row.name for family in tuning.families for row in family.rows]
    for family in tuning.families:
        if family.left_out:
            assert (family.rows, family.trials) == ((), ())
            continue
        first, *more = family.rows
        assert (first.name, first.tuned) == (family.name, False)
        assert len(family.trials) <= tuning.budget == 2
        assert [row.name for row in more] == [f"{family.name}, tuned"] * (family.best != first.settings)
        assert all(row.tuned and row.settings == family.best for row in more)
    assert tuning.left_out.pop("BPR") == "switched off: baselines.bpr = false"
    assert set(tuning.left_out) <= {"BPR", "LightFM"}
    assert tuning.criterion == "geometric mean of ndcg@5 and recall@20"


def test_personal_baselines_find_the_blocks(found):
    results, _ = found
    popular = results["popularity"].mean("recall@20")
    personal = {"TF-IDF content", "user-kNN", "item-kNN", "EASE", "EASE + popularity", "ALS", "LightFM"}
    for name in personal & set(results):
        assert results[name].mean("recall@20") > 1.5 * popular, name


def test_rows_say_what_was_run(found):
    _, tuning = found
    family, row = tuning.row("EASE")
    assert (family.name, row.settings, row.tuned) == ("EASE", {"l2": 1000.0}, False)
    with pytest.raises(KeyError):
        tuning.row("nobody")


def test_errors_stand_beside_the_ranking(found):
    results, tuning = found
    mean, biases, *others = tuning.ratings
    assert (mean.name, mean.ndcg, mean.recall) == ("mean of all ratings", None, None)
    assert biases.name == "biases on ratings"
    for row in (biases, *others):
        assert row.ndcg == results[row.name].mean("ndcg@5")
        assert row.recall == results[row.name].mean("recall@20")
        assert row.pairs == mean.pairs > 0
    # Ratings hang on the item alone, so the biases know them well; what is taken next hangs on the block.
    assert biases.rmse < 0.8 * mean.rmse
    assert biases.ndcg < results["EASE"].mean("ndcg@5")


def test_the_record_is_what_was_written(found, tmp_path):
    _, tuning = found
    save_tuning(tuning, tmp_path)
    assert load_tuning(tmp_path) == tuning


def test_one_trial_tunes_nothing():
    data = dataset({"baselines.trials": 1})
    results, tuning = contest(data, families(data), QUIET)
    assert not any(row.tuned for family in tuning.families for row in family.rows)
    assert not any(name.endswith("tuned") for name in results)
    # Only popularity is tried even so, as one of all is chosen.
    assert {family.name for family in tuning.families if family.trials} == {
        family.name for family in popularity_families(data)
    }


def test_nothing_is_chosen_on_the_test_window():
    # The same log up to the test cut, and a test window in which everyone takes one item.
    log = world.log()
    data = dataset(log=log)
    test = log.time >= data.cuts.test.moment
    changed = dataclasses.replace(log, item=np.where(test, 7, log.item).astype(np.int32))
    other = dataset(log=changed)
    assert other.cuts.test == data.cuts.test
    (one, first), (two, second) = (contest(d, families(d), QUIET) for d in (data, other))
    assert one["EASE"].mean("ndcg@5") != two["EASE"].mean("ndcg@5")
    for mine, yours in zip(first.families, second.families, strict=True):
        assert [(t.settings, t.ndcg, t.recall, t.rmse) for t in mine.trials] == [
            (t.settings, t.ndcg, t.recall, t.rmse) for t in yours.trials
        ]
        assert [row.settings for row in mine.rows] == [row.settings for row in yours.rows]
    assert best_popularity(first) == best_popularity(second)


class Peeking:
    """Knows the targets of one window: a setting that is perfect there and nowhere else."""

    def __init__(self, data: Dataset, window: str, name: str = "") -> None:
        self.name = name
        asked = data.validation_requests if window == "validation" else data.test_requests
        self.taken = np.zeros((data.n_queries, data.n_items), np.float32)
        self.taken[asked.query[asked.targets.rows], asked.targets.values] = 1

    def fit(self, interactions, n_queries, n_items, now):
        """Nothing."""

    def scores(self, requests):
        return self.taken[requests.query]


def test_the_setting_that_would_win_the_test_window_is_not_chosen():
    data = dataset()
    windows = ({"window": "test"}, {"window": "validation"})
    planted = Family("planted", lambda **settings: Peeking(data, **settings), windows)
    results, tuning = contest(data, [planted], QUIET)
    (record,) = tuning.families
    assert record.best == {"window": "validation"}
    assert results["planted"].mean("ndcg@5") == 1  # the reference happens to know the test window
    assert results["planted, tuned"].mean("ndcg@5") < 0.5


def test_the_stage_writes_all_of_it_and_says_what_is_missing(monkeypatch, tmp_path, capsys):
    data = dataset({"baselines.trials": 1})
    monkeypatch.setattr(stage, "load_dataset", lambda config, folder: data)
    monkeypatch.setitem(sys.modules, "lightfm", None)
    stage.baselines(data.config, {"prepare": tmp_path}, tmp_path, Progress())
    said = capsys.readouterr().err
    assert f"left out: LightFM (not installed: {LIGHTFM})" in said
    assert "left out: BPR (switched off: baselines.bpr = false)" in said
    tuning = load_tuning(tmp_path)
    assert list(load_results(tmp_path / "results.npz")) == [row.name for one in tuning.families for row in one.rows]
    assert chosen_popularity(data, tmp_path).name == best_popularity(tuning)


def test_any_popularity_can_be_made_again_and_served(found, tmp_path):
    results, tuning = found
    data = dataset()
    save_tuning(tuning, tmp_path)
    names = [row.name for family in tuning.families if family.name.startswith("popularity") for row in family.rows]
    assert set(names) >= {one.name for one in popularities(data)}
    fold = Fold.of(data, data.cuts.test, data.test_requests)
    for name in names:
        (tmp_path / "popularity.json").write_text(json.dumps({"chosen": name}))
        made = chosen_popularity(data, tmp_path)
        fold.fit(made)
        assert made.table().shape == (2 if "by region" in name else 1, data.n_items)
        np.testing.assert_array_equal(fold.ranked(made, 20).items, results[name].items)
