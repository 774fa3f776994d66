"""Results kept by content, resumed or thrown away after a crash, and one process at a time."""

import json
from dataclasses import replace

import pytest

from configs.errors import ConfigError
from pipelines.progress import Progress
from pipelines.shortages import DiskFull
from pipelines.stage import Run, Stage, StageError, config_of
from tests import world

QUIET = Progress(quiet=True)


class _Pipeline:
    """Two stages that log their runs: "first" reads the data and split, "second" the towers."""

    def __init__(self, root):
        self.root, self.ran, self.fail = root, [], set()
        self.stages = [self._stage("first", (), ("data", "split")), self._stage("second", ("first",), ("towers",))]

    def _stage(self, name, after, reads, resumes=False):
        def work(config, inputs, out, progress):
            self.ran.append(name)
            with (out / "log").open("a") as file:
                file.write(name)
            if name in self.fail:
                raise RuntimeError("out of memory")
            assert [path.name for path in inputs.values()] == list(after)

        return Stage(name, work, after, reads, resumes)

    def run(self, changes=None, data="files as of today"):
        """Run both stages; names of those that were not cached."""
        self.ran.clear()
        run = Run(world.config(changes), self.root, lambda: data)
        run.open()
        self.folders = [run.do(stage, QUIET) for stage in self.stages]
        self.last = run
        return list(self.ran)


@pytest.fixture
def pipeline(tmp_path):
    return _Pipeline(tmp_path)


def test_a_stage_runs_again_when_an_extra_that_it_uses_has_been_installed(pipeline, tmp_path, monkeypatch):
    pipeline.stages = [replace(stage, extras=("an_extra",)) for stage in pipeline.stages]
    assert pipeline.run() == ["first", "second"]
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "an_extra.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert pipeline.run() == ["first", "second"]
    assert pipeline.run() == []


def test_a_full_disk_is_that_of_the_results(pipeline, tmp_path):
    def full(config, inputs, out, progress):
        raise OSError("28800 requested and 11232 written")

    pipeline.stages[1] = replace(pipeline.stages[1], work=full)
    with pytest.raises(DiskFull, match=rf"^no space left on {tmp_path}/\.stages; free some and run"):
        pipeline.run()


def test_a_stage_runs_once(pipeline):
    assert pipeline.run() == ["first", "second"]
    assert pipeline.run() == []


@pytest.mark.parametrize(
    ("changes", "rerun"),
    [
        ({"towers.hidden": [9]}, ["second"]),
        ({"split.test": 0.95}, ["first", "second"]),
        ({"ranker.batch": 5}, []),
        ({"name": "other"}, []),
    ],
)
def test_a_changed_section_reruns_what_reads_it_and_what_follows(pipeline, changes, rerun):
    pipeline.run()
    assert pipeline.run(changes) == rerun
    assert pipeline.run() == []  # and going back costs nothing


def test_changed_data_reruns_everything(pipeline):
    pipeline.run()
    assert pipeline.run(data="files as of tomorrow") == ["first", "second"]


def test_results_of_other_inputs_are_not_shown_beside_new_ones(pipeline):
    pipeline.run()
    run = Run(world.config(), pipeline.root, lambda: "files as of tomorrow")
    assert set(run.results) == {"first", "second"}
    run.do(pipeline.stages[0], QUIET)
    assert set(run.results) == {"first"}  # what the second stage made belongs to yesterday's files
    run.do(pipeline.stages[1], QUIET)
    assert set(run.results) == {"first", "second"}


def test_the_data_is_read_only_when_a_stage_is_to_be_done(pipeline):
    pipeline.run()

    def gone() -> str:
        raise FileNotFoundError("the raw data has been archived")

    run = Run(world.config(), pipeline.root, gone)
    run.open()
    assert set(run.results) == {"first", "second"}


def test_edited_code_reruns_everything(pipeline, monkeypatch):
    pipeline.run()
    monkeypatch.setattr("pipelines.stage.code_version", lambda: "edited")
    assert pipeline.run() == ["first", "second"]


def test_another_version_reruns_everything(pipeline, monkeypatch):
    pipeline.run()
    monkeypatch.setattr("pipelines.stage.VERSION", "99")
    assert pipeline.run() == ["first", "second"]


def test_the_runs_folder_links_to_its_results(pipeline):
    pipeline.run()
    first, second = pipeline.folders
    assert first.is_symlink()
    assert (second / "log").read_text() == "second"
    assert pipeline.last.results == {"first": first, "second": second}
    before = second.resolve()
    pipeline.run({"towers.hidden": [9]})
    assert pipeline.last.results["second"].resolve() != before
    assert pipeline.last.results["first"].resolve() == first.resolve()


def test_a_link_follows_the_result_of_the_day(pipeline):
    pipeline.run()
    old = pipeline.folders[0].resolve()
    pipeline.run(data="files as of tomorrow")  # the same run folder: the config is the same
    assert pipeline.folders[0].resolve() != old


def test_a_failing_stage_leaves_no_result_and_runs_again(pipeline):
    pipeline.fail = {"second"}
    with pytest.raises(RuntimeError, match="out of memory"):
        pipeline.run()
    assert [path.name for path in pipeline.root.glob("world-*/*")] != []
    assert not list(pipeline.root.glob("world-*/second"))
    pipeline.fail = set()
    assert pipeline.run() == ["second"]
    assert (pipeline.folders[1] / "log").read_text() == "second"  # nothing of the first attempt is left


def test_only_a_stage_that_resumes_keeps_what_it_half_did(pipeline):
    pipeline.stages[1] = pipeline._stage("second", ("first",), ("towers",), resumes=True)
    pipeline.fail = {"second"}
    with pytest.raises(RuntimeError, match="out of memory"):
        pipeline.run()
    pipeline.fail = set()
    pipeline.run()
    assert (pipeline.folders[1] / "log").read_text() == "secondsecond"


def test_a_stage_that_someone_works_on_is_refused(pipeline):
    def work(config, inputs, out, progress):
        with pytest.raises(StageError, match=r"another process is working on slow-\w+; wait for it or stop it"):
            Run(config, pipeline.root, lambda: "data").do(stage, QUIET)

    stage = Stage("slow", work, (), ("data",))
    run = Run(world.config(), pipeline.root, lambda: "data")
    run.open()
    run.do(stage, QUIET)
    run.do(stage, QUIET)  # the lock is free again


def test_the_lock_is_freed_by_a_failure(pipeline):
    pipeline.fail = {"first"}
    for _ in range(2):
        with pytest.raises(RuntimeError, match="out of memory"):
            pipeline.run()


def test_runs_of_different_configs_have_different_folders(pipeline):
    pipeline.run()
    one = pipeline.last.folder
    pipeline.run({"ranker.batch": 5})
    assert pipeline.last.folder != one
    assert one.name.startswith("world-")


def test_the_config_of_a_run_is_read_back(pipeline):
    pipeline.run({"ranker.batch": 5})
    assert config_of(pipeline.last.folder) == world.config({"ranker.batch": 5})


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(StageError, match=r"holds no config.json; expected the folder of a run, or a TOML file"):
        config_of(tmp_path)


def test_a_runs_config_that_has_been_tampered_with_is_refused(pipeline):
    pipeline.run()
    path = pipeline.last.folder / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"sed": 1}))
    with pytest.raises(ConfigError, match="sed: unknown key"):
        config_of(pipeline.last.folder)
