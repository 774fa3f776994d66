"""The search: its space, its order, its ends, what it keeps, and that it never looks past the validation window."""

from __future__ import annotations

import errno
import io
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from configs.errors import ConfigError, DivergedError, UserError
from configs.load import builtin, load, tomllib
from configs.tuning import Tune
from pipelines.report.curves import curves
from pipelines.tune import is_search, tune
from pipelines.tune.folder import folder_of, keep, trials_on
from pipelines.tune.outcome import Outcome, importance, print_outcome, write_best
from pipelines.tune.search import study_of
from pipelines.tune.space import default_space, knobs, with_values
from pipelines.tune.toml import as_toml, literal
from tests.pipelines import searches
from tests.pipelines.searches import QUIET, SPACE, dying, peak, scalars
from tests.runs import twinspire


class _Killed(BaseException):
    """Stands for the end of the process."""


class ResourceExhaustedError(Exception):
    """TensorFlow's, without its import."""

    __module__ = "tensorflow.python.framework.errors_impl"


def _die() -> None:
    raise _Killed


def _counting(attempt=peak):
    """The same attempt, and the configs that it was called with."""
    ran = []

    def counted(config, record):
        ran.append(config)
        attempt(config, record)

    return counted, ran


def _timeless(tried):
    return [replace(one, seconds=0.0) for one in tried]


# --- the space ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"towers.width": [1, 2]}, "tune.space: towers.width: unknown key"),
        ({"towers": {"history": {"legnth": [1, 2]}}}, "tune.space: towers.history.legnth: unknown key"),
        ({"towers.history": [1]}, "tune.space: towers.history: unknown key"),
        ({"split.test": [0.9, 0.95]}, "tune.space: split.test: unknown key; expected one of towers, trend, train"),
        ({"gate.k": [10]}, "tune.space: gate.k: unknown key"),
        ({"train.batch": []}, "tune.space.train.batch"),
        ({"train.batch": 5}, "tune.space: train.batch: found 5, expected choices [a, b] or a range"),
        ({"train.batch": ["many"]}, "tune.space: train.batch: found 'many'; input should be a valid integer"),
        ({"train.batch": {"low": 1.5, "high": 300}}, "train.batch: found 1.5 to 300.0, expected whole numbers"),
        ({"train.batch": {"low": 300, "high": 400}}, "expected a range that holds the config's own 250"),
        ({"train.batch": {"low": 0, "high": 400}}, "train.batch: found 0; input should be greater than 0"),
        ({"towers.dropout": {"low": 0.0, "high": 1.5}}, "towers.dropout: found 1.5; input should be less than 1"),
        ({"towers.dropout": {"low": 0.3, "high": 0.1}}, "low = 0.3, high = 0.1, expected low below high"),
        ({"towers.dropout": {"low": 0.0, "high": 0.4, "log": True}}, "expected above 0 where log = true"),
        ({"towers.similarity": {"low": 0, "high": 1}}, "towers.similarity: found a range, but the key holds 'cosine'"),
        ({"towers.embedding_dim": [9]}, "expected a multiple of history.heads"),
    ],
)
def test_a_bad_space_is_one_line_that_names_the_key(space, said, tmp_path):
    with pytest.raises(ConfigError) as refused:
        tune(searches.config(space=space), tmp_path / "runs", QUIET)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "runs").exists()  # before anything has run


def test_the_configs_own_value_is_in_every_domain():
    space = {"train.horizon": ["30d", "7d"], "towers.hidden": [[8], [8, 8]], "train.batch": [250, 500]}
    horizon, hidden, batch = knobs(searches.config(space=space))
    assert list(horizon.choices.values()) == [None, "30d", "7d"]
    assert list(hidden.choices.values()) == [[16], [8], [8, 8]]
    assert list(batch.choices) == [250, 500]
    for knob in (horizon, hidden, batch):
        assert all(knob.value(knob.word(value)) == value for value in knob.choices.values())
        assert all(isinstance(word, (str, int, float)) for word in knob.choices)


@pytest.mark.parametrize("changes", [{}, {"towers.embedding_dim": 2}, {"towers.dropout": 0.7, "train.batch": 1}])
def test_the_default_space_surrounds_any_config(changes):
    config = searches.config(**changes).model_copy(update={"tune": Tune()})
    found = knobs(config)
    assert [knob.key for knob in found] == list(default_space(config))
    assert all(knob.domain._contains(knob.domain.to_internal_repr(knob.word(knob.own))) for knob in found)


def test_optuna_missing_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.tune.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^tune: optuna is not installed; pip install twinspire\[tune\]$"):
        tune(searches.config(), tmp_path, QUIET)


# --- the search -----------------------------------------------------------------------------------------------


def test_the_first_trial_is_the_config_itself_and_the_best_is_far_better(tmp_path):
    found = searches.run(searches.config(trials=25), tmp_path)
    assert found[0].values == {"towers.dropout": 0.1, "train.batch": 250}
    assert found[0].scalars["recall"] == pytest.approx(0.45)  # .9 - |.1 - .3| - .25
    best = max(found, key=lambda one: one.scalars["recall"])
    assert best.scalars["recall"] > 0.72  # of .775 at most: dropout .3, batch 125
    assert best.values["train.batch"] == 125


def test_the_same_seed_searches_in_the_same_way_and_another_does_not(tmp_path):
    first, again = (searches.run(searches.config(trials=9), tmp_path / name) for name in ("a", "b"))
    assert _timeless(first) == _timeless(again)
    other = searches.run(searches.config(trials=9, **{"tune.seed": 1}), tmp_path / "c")
    assert [one.values for one in other[1:]] != [one.values for one in first[1:]]


def test_what_is_behind_early_is_pruned_and_cannot_be_the_best(tmp_path):
    # the batch alone decides, and a large one is worse in each epoch
    def attempt(config, record):
        for epoch in (1, 2, 3, 4):
            record(epoch, scalars(0.5 + epoch / 100 - config.train.batch / 10_000))

    config = searches.config(trials=30, space={"train.batch": {"low": 250, "high": 4000}})
    found = searches.run(config, tmp_path, attempt)
    pruned = [one for one in found if one.ended == "pruned"]
    assert pruned
    assert min(one.place for one in pruned) > 4
    for one in pruned:
        assert len(one.curve) == 2  # the first epoch at which it may be
        through = [other.curve[1] for other in found[: one.place - 1] if other.counts and other.curve]
        assert one.curve[1] < np.median(through)
        assert not one.counts
    best = max((one for one in found if one.counts), key=lambda one: one.scalars["recall"])
    assert best.place == 1  # 250 is the smallest


@pytest.mark.parametrize("dies", [(1, 1), (1, 3), (4, 2), (6, 1)])
def test_a_killed_search_loses_the_running_trial_alone_and_ends_as_an_undisturbed_one(tmp_path, dies):
    config = searches.config(trials=7)
    with pytest.raises(_Killed):
        searches.run(config, tmp_path / "killed", dying(peak, *dies, _die))
    attempt, ran = _counting()
    resumed = searches.run(config, tmp_path / "killed", attempt)
    assert len(ran) == 7 - (dies[0] - 1)
    assert _timeless(resumed) == _timeless(searches.run(config, tmp_path / "whole"))
    logs = sorted((tmp_path / "killed" / "tensorboard").glob("trial-*"))
    assert [len(list(log.iterdir())) for log in logs] == [1] * 7  # nothing of the killed attempt is left


_KILLS_ITSELF = """
import os, signal, sys
from pathlib import Path
from tests.pipelines import searches
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
assert "tensorflow" not in sys.modules
searches.run(searches.config(trials=5), Path(sys.argv[1]), searches.dying(searches.peak, 3, 2, die))
"""


def test_kill_nine_loses_the_running_trial_alone(tmp_path):
    command = [sys.executable, "-c", _KILLS_ITSELF, str(tmp_path / "a")]
    assert subprocess.run(command, cwd=Path(__file__).parents[2]).returncode == -signal.SIGKILL
    attempt, ran = _counting()
    resumed = searches.run(searches.config(trials=5), tmp_path / "a", attempt)
    assert len(ran) == 3
    assert _timeless(resumed) == _timeless(searches.run(searches.config(trials=5), tmp_path / "b"))


def test_more_trials_go_on_with_the_same_search(tmp_path):
    few, many = searches.config(trials=3), searches.config(trials=6)
    assert folder_of(few, tmp_path) == folder_of(many, tmp_path)
    assert folder_of(few, tmp_path) != folder_of(searches.config(trials=3, seed=4), tmp_path)
    first = searches.run(few, tmp_path / "a")
    assert searches.run(few, tmp_path / "a") == first  # nothing is left to do
    assert searches.run(many, tmp_path / "a")[:3] == first
    assert _timeless(searches.run(many, tmp_path / "a")) == _timeless(searches.run(many, tmp_path / "b"))


def test_trials_on_other_data_are_put_aside_and_kept(tmp_path):
    found = searches.run(searches.config(trials=2), tmp_path)
    assert trials_on("data of tomorrow", tmp_path) == []
    keep(found[:1], "data of tomorrow", tmp_path)
    assert trials_on("data of tomorrow", tmp_path) == found[:1]
    (tmp_path / "trials-on-data of today.json").replace(tmp_path / "trials.json")
    assert trials_on("data of today", tmp_path) == found


def test_when_the_minutes_are_up_the_running_trial_ends_with_its_epoch_and_counts(tmp_path):
    (only,) = searches.run(searches.config(**{"tune.minutes": 1e-9}), tmp_path)
    assert (only.ended, len(only.curve), only.counts) == ("cut short", 1, True)
    assert only.scalars["recall"] == pytest.approx(0.45 / 4)
    assert len(searches.run(searches.config(**{"tune.minutes": 5.0}), tmp_path)) == 6  # more minutes go on


def test_values_that_do_not_go_together_are_refused_and_kept_with_the_reason(tmp_path):
    space = {"towers.embedding_dim": [6, 8, 12], "towers.history.heads": [1, 2, 4]}  # 6 is no multiple of 4
    found = searches.run(searches.config(trials=25, space=space), tmp_path)
    refused = [one for one in found if one.ended == "refused"]
    assert [one.values for one in refused] == [{"towers.embedding_dim": 6, "towers.history.heads": 4}]
    assert "expected a multiple of history.heads" in refused[0].why
    assert len(found) == 25


def test_what_fails_at_the_start_is_the_users_to_mend(tmp_path):
    def attempt(config, record):
        raise UserError("trend.bucket: too many")

    with pytest.raises(UserError, match=r"trend\.bucket"):
        searches.run(searches.config(), tmp_path, attempt)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (DivergedError("train: weights are no numbers any more"), "train: weights are no numbers any more"),
        (MemoryError(), "memory ran out; lower train.batch"),
        (
            ResourceExhaustedError("OOM when allocating tensor with shape[9] and type float on x/device:CPU:0"),
            "memory ran out: no",
        ),
        (RuntimeError("never\nseen"), "unexpected RuntimeError: never seen"),
    ],
)
def test_a_trial_that_fails_is_kept_with_the_reason_and_the_search_goes_on(tmp_path, error, why):
    def attempt(config, record):
        peak(config, record)
        if config.train.batch == 125:  # the best there would be
            raise error

    config = searches.config(trials=8, space={"train.batch": [125, 500]})
    found = searches.run(config, tmp_path, attempt)
    (failed,) = (one for one in found if one.ended == "failed")
    assert failed.values == {"train.batch": 125}
    assert failed.why.startswith(why)
    assert len(found) == 8
    assert max((one for one in found if one.counts), key=lambda one: one.scalars["recall"]).place == 1
    assert searches.run(config, tmp_path) == found  # as read back
    with pytest.raises(type(error)):
        searches.run(searches.config(**{"train.batch": 125}), tmp_path / "start", attempt)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EMFILE, "Too many open files"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/mnt/prepared"),
    ],
)
def test_trouble_with_files_ends_the_search_until_it_is_over(tmp_path, error):
    def attempt(config, record):
        if config.train.batch == 500:
            raise error
        peak(config, record)

    config = searches.config(trials=8, space={"train.batch": [500]})
    with pytest.raises(OSError, match=error.strerror):
        searches.run(config, tmp_path, attempt)
    assert {one.values["train.batch"] for one in trials_on("data of today", tmp_path)} == {250}
    assert len(searches.run(config, tmp_path)) == 8


def _failing(*errors):
    """An attempt that raises these, None for none, one a trial that is fitted, and nothing after them."""
    left = list(errors)

    def attempt(config, record):
        error = left.pop(0) if left else None
        if error:
            raise error
        peak(config, record)

    return attempt


BUG = RuntimeError("a bug")


def test_what_nobody_foresaw_twice_in_a_row_ends_the_search(tmp_path):
    config, failing = searches.config(trials=6), _failing(None, None, BUG, BUG)
    with pytest.raises(RuntimeError, match="a bug"):
        searches.run(config, tmp_path, failing)
    kept = trials_on("data of today", tmp_path)
    assert [one.ended for one in kept] == ["finished", "finished", "failed"]
    with pytest.raises(RuntimeError, match="a bug"):
        searches.run(config, tmp_path, _failing(BUG))  # as read back, it is the second
    found = searches.run(config, tmp_path)  # mended
    assert found[:3] == kept
    assert len(found) == 6


@pytest.mark.parametrize(
    "errors",
    [
        (BUG, None, BUG),
        (BUG, MemoryError(), BUG),
        (OSError(errno.ENOMEM, "Cannot allocate memory"),) * 3,
        (DivergedError("train: weights are no numbers any more"),) * 3,
        (UserError("train: no"), BUG, UserError("train: no")),
    ],
)
def test_what_values_bring_about_never_ends_the_search_nor_what_comes_but_once(tmp_path, errors):
    found = searches.run(searches.config(trials=6), tmp_path, _failing(None, *errors))
    assert sum(one.ended in ("failed", "refused") for one in found) == sum(error is not None for error in errors)
    assert len(found) == 6


def test_a_repeated_or_refused_trial_between_is_none(tmp_path):
    space = {"train.batch": [125, 500]}
    with pytest.raises(RuntimeError, match="a bug"):
        searches.run(searches.config(trials=40, space=space), tmp_path / "a", _failing(None, BUG, BUG))
    with pytest.raises(RuntimeError, match="a bug"):
        searches.run(searches.config(trials=6), tmp_path / "b", _failing(None, BUG, UserError("train: no"), BUG))


def test_of_other_data_no_best_config_is_left(tmp_path, monkeypatch):
    def fit(config, prepared, scratch, progress, record):
        (folder,) = tmp_path.glob("tune-*")
        began.append((folder / "best.toml").exists())
        record(1, scalars(0.3))

    monkeypatch.setattr("pipelines.tune.folder.fit", fit)
    began = []
    config = searches.config(trials=1, **{"data.simulated_events": 3000})
    tune(config, tmp_path, QUIET)
    (trials,) = tmp_path.glob("tune-*/trials.json")
    trials.write_text(trials.read_text().replace('"data": "', '"data": "other-'))
    tune(config, tmp_path, QUIET)
    assert began == [False, False]
    assert (trials.parent / "best.toml").exists()


def test_a_killed_search_leaves_the_best_so_far(tmp_path, monkeypatch):
    found = []

    def fit(config, prepared, scratch, progress, record):
        (folder,) = tmp_path.glob("tune-*")
        assert is_search(folder)
        if len(found) == 2:
            raise _Killed
        record(1, scalars([0.3, 0.4][len(found)]))
        found.append(config)

    monkeypatch.setattr("pipelines.tune.folder.fit", fit)
    quick = {"data.simulated_events": 3000, "towers.hidden": [16]}
    config = searches.config(trials=3, **quick)
    with pytest.raises(_Killed):
        tune(config, tmp_path, QUIET)
    (best,) = tmp_path.glob("tune-*/best.toml")
    assert best.read_text().startswith("# Trial 2 of 2 of twinspire tune: validation recall@")
    assert load(best).train == found[1].train


def test_nothing_is_tried_twice(tmp_path):
    attempt, ran = _counting()
    found = searches.run(searches.config(trials=9, space={"train.batch": [125, 500]}), tmp_path, attempt)
    assert sorted(config.train.batch for config in ran) == [125, 250, 500]
    first = {one.values["train.batch"]: one for one in found if one.ended != "repeated"}
    repeated = [one for one in found if one.ended == "repeated"]
    assert len(repeated) == 6
    for one in repeated:
        earlier = first[one.values["train.batch"]]
        assert (one.scalars, one.counts, one.why) == (earlier.scalars, earlier.counts, f"of {earlier.place}")


# --- what it looks at -----------------------------------------------------------------------------------------


def _shuffled(log, start, end):
    """Queries and items of the events with start <= time < end dealt anew."""
    rows = np.flatnonzero((log.time >= start) & (log.time < end))
    rng = np.random.default_rng(5)
    query, item = log.query.copy(), log.item.copy()
    query[rows], item[rows] = rng.permutation(query[rows]), rng.permutation(item[rows])
    return replace(log, query=query, item=item)


@pytest.mark.slow
def test_nothing_after_the_validation_window_changes_the_search(tmp_path):
    from pipelines.train import try_towers
    from tests import world

    log = world.log()
    cuts = world.dataset(world.config(), log).cuts
    validation, ranker, end = cuts.validation.moment, cuts.ranker.moment, cuts.end.moment
    # as dates, since quantiles would move with what is deleted
    names = {"split.validation": validation, "split.ranker": ranker, "split.test": cuts.test.moment}
    dates = {name: datetime.fromtimestamp(at, timezone.utc).isoformat() for name, at in names.items()}
    quick = {"towers.history": {"encoder": "mean", "length": 6}, "train.max_epochs": 1}
    ids = [one for one in world.config().model_dump()["features"] if one["kind"] == "id"]
    # what a search does follows from the first trial as from any other, and from nothing but the trials
    config = world.config({**quick, **dates, "features": ids, "data.segment": None, "tune.trials": 1})

    def found(name, log):
        def attempt(config, record):
            try_towers(world.dataset(config, log), tmp_path / name, QUIET, record)

        return _timeless(searches.run(config, tmp_path / name, attempt))

    truth = found("truth", log)
    later = np.arange(len(log.before(ranker)), len(log))
    first_of_test = len(log.before(cuts.test.moment))
    kept = np.r_[: later[0], later[0], first_of_test]  # a window may not be empty
    assert found("shuffled", _shuffled(log, ranker, end)) == truth
    assert found("deleted", log.take(kept)) == truth
    assert found("control", _shuffled(log, validation, ranker)) != truth


# --- what it leaves -------------------------------------------------------------------------------------------


def _outcome(folder, config):
    tried = searches.run(config, folder)
    write_best(config, tried, folder)
    return Outcome(config, tuple(tried), importance(study_of(config, knobs(config), tried)), folder, 1650)


def _printed(outcome):
    console = Console(file=io.StringIO(), width=200)
    print_outcome(outcome, console)
    return console.file.getvalue()


def test_the_best_config_is_complete_and_says_where_it_comes_from(tmp_path):
    outcome = _outcome(tmp_path, searches.config(trials=8))
    found = load(outcome.toml)
    assert found == with_values(outcome.config, outcome.best.values).model_copy(update={"tune": Tune()})
    said = f"# Trial {outcome.best.place} of 8 of twinspire tune: validation recall@"
    assert outcome.toml.read_text().startswith(said)


def test_the_screen_says_what_was_tried_best_first(tmp_path):
    outcome = _outcome(tmp_path, searches.config(trials=8))
    said = _printed(outcome)
    rows = [line.split() for line in said.splitlines() if "finished" in line or "pruned" in line]
    rows = [row for row in rows if row[0].isdigit()]
    assert {int(row[0]) for row in rows} == set(range(1, 9))
    assert int(rows[0][0]) == outcome.best.place
    assert "1 start" in said
    assert "importance of keys: cannot tell" in said
    assert "budget used: 8 of 8 trials, 0.0 minutes" in said
    assert f"towers.dropout = {outcome.best.values['towers.dropout']!r}" in said
    gain = outcome.best.scalars["recall"] - outcome.start.scalars["recall"]
    assert f"{gain:+.4f} on the config as it stands, over 1,650 requests" in said
    assert "is in part the luckiest of them" in said
    only = _outcome(tmp_path / "only", searches.config(trials=1))
    assert "nothing that was tried beats the config as it stands" in _printed(only)


def test_importance_finds_the_key_that_decides(tmp_path):
    # dropout moves recall by at most .01, the learning rate by .6
    def attempt(config, record):
        record(1, scalars(0.2 + 6 * config.train.learning_rate + config.towers.dropout / 50))

    space = {"towers.dropout": SPACE["towers.dropout"], "train.learning_rate": {"low": 0.001, "high": 0.1}}
    config = searches.config(trials=30, space=space)
    found = importance(study_of(config, knobs(config), searches.run(config, tmp_path, attempt)))
    assert next(iter(found)) == "train.learning_rate"
    assert found["train.learning_rate"] > 0.8


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))
SCALARS = st.one_of(st.booleans(), NUMBERS, TEXTS)


@given(st.dictionaries(TEXTS, st.one_of(SCALARS, st.lists(SCALARS), st.dictionaries(TEXTS, SCALARS))))
def test_any_value_is_read_back_from_toml(values):
    assert tomllib.loads(f"v = {literal(values)}") == {"v": values}


@pytest.mark.parametrize("name", ["demo", "movielens-100k", "movielens-1m", "own-data"])
def test_a_config_is_read_back_from_toml(name, tmp_path):
    config = load(builtin(name), ["data.events.meaning='a \\ \"b\" ü'", "tune.trials=3"])
    (tmp_path / "again.toml").write_text(as_toml(config), encoding="utf-8")
    assert load(tmp_path / "again.toml") == config.model_copy(update={"tune": Tune()})


# --- TensorBoard ----------------------------------------------------------------------------------------------


def test_the_table_of_trials_is_read_back_from_the_event_files(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import api_pb2, metadata

    config = searches.config(trials=8, space={**SPACE, "train.horizon": ["30d"], "towers.similarity": ["dot"]})
    found = searches.run(config, tmp_path)
    logs = tmp_path / "tensorboard"

    def content(folder):
        return EventAccumulator(str(folder)).Reload().PluginTagToContent("hparams")

    experiment = metadata.parse_experiment_plugin_data(content(logs)[metadata.EXPERIMENT_TAG])
    domains = {info.name: info for info in experiment.hparam_infos}
    dropout = domains["towers.dropout"].domain_interval
    assert (dropout.min_value, dropout.max_value) == (0, 0.5)
    assert [value.number_value for value in domains["train.batch"].domain_discrete.values] == [125, 250, 500]
    assert [value.string_value for value in domains["train.horizon"].domain_discrete.values] == ['"30d"', "null"]
    tags = {info.display_name: info.name.tag for info in experiment.metric_infos}
    assert list(tags) == [f"recall@{config.gate.k}", f"ndcg@{config.gate.list_k}", "loss", "epochs", "seconds"]
    assert {one.ended for one in found} >= {"finished", "pruned"}
    for one in found:
        folder = logs / f"trial-{one.place:02}"
        told = content(folder)
        start = metadata.parse_session_start_info_plugin_data(told[metadata.SESSION_START_INFO_TAG])
        assert start.group_name == folder.name
        assert start.hparams["towers.dropout"].number_value == one.values["towers.dropout"]
        assert start.hparams["train.batch"].number_value == one.values["train.batch"]
        assert start.hparams["towers.similarity"].string_value == one.values["towers.similarity"]
        end = metadata.parse_session_end_info_plugin_data(told[metadata.SESSION_END_INFO_TAG])
        assert end.status == api_pb2.STATUS_SUCCESS
        logged = curves(folder)
        assert [step for step, _ in logged["towers/recall"]] == list(range(1, len(one.curve) + 1))
        assert max(value for _, value in logged["towers/recall"]) == pytest.approx(one.scalars["recall"])
        shown = [logged[tag][-1][1] for tag in tags.values()]
        assert shown == pytest.approx([*one.scalars.values(), len(one.curve), one.seconds])


# --- the command ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_command_goes_on_where_it_stopped_and_its_best_config_runs(tmp_path):
    small = ["--set", "data.simulated_events=12000", "--set", "train.max_epochs=1"]
    small += ["--set", "towers.history.encoder=mean", "--set", "tune.space={'train.batch'=[512, 2048]}"]
    config = builtin("demo")
    first = twinspire("tune", config, *small, "--set", "tune.trials=1", cwd=tmp_path, check=True)
    assert "1 of 1 trials" in first.out
    (folder,) = (tmp_path / "runs").glob("tune-demo-*")
    assert not (folder / ".trial").exists()
    second = twinspire("tune", config, *small, "--set", "tune.trials=2", cwd=tmp_path, check=True)
    assert "trial 2 of 2" in second.err
    assert "trial 1 of 2" not in second.err
    assert "cached prepare" in second.err
    assert f"next:         twinspire run {folder.relative_to(tmp_path)}/best.toml" in second.out
    prepared = twinspire("prepare", folder / "best.toml", cwd=tmp_path, check=True)
    elsewhere = twinspire("tune", config, *small, "--set", "tune.trials=1", "--runs", "other", cwd=tmp_path, check=True)
    assert elsewhere.out.rstrip().endswith("best.toml --runs other")
    assert "cached prepare" in prepared.err
