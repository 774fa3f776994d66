"""The whole pipeline, one line a stage.

    tables -> validate -> split -> baselines -> towers -> item vectors -> index -> candidates -> GATE
           -> ranker -> rerank -> evaluation -> bundle -> replay check -> publish -> report

Every stage is a function (config, folders of earlier stages, folder to write); `pipelines.stage` keeps results by
content hash. A failed gate skips publishing, never the report.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.schema import Config
from pipelines import sources
from pipelines.progress import Progress
from pipelines.shortages import naming_disk
from pipelines.stage import Run, Stage, StageError, late

RUNS = Path("runs")


_ALL = tuple(Config.model_fields)  # a bundle's manifest holds the whole config
_JUDGED = ("prepare", "baselines", "train", "index", "gate")
STAGES = {
    stage.name: stage
    for stage in (
        #     name         work                                          after (inputs)         reads (config)
        Stage("prepare",   late("pipelines.prepare:stage"),              (),                    ("data", "features", "seed")),
        Stage("baselines", late("pipelines.baselines.stage:baselines"),  ("prepare",),          ("split", "baselines", "gate.k", "gate.list_k", "evaluation.depths"), extras=("lightfm", "surprise")),
        Stage("train",     late("pipelines.train:train"),                ("prepare",),          ("split", "gate.k", "gate.list_k", "towers", "trend", "mixing", "train"), resumes=True),
        Stage("index",     late("pipelines.index.stage:index"),          ("prepare", "train"),  ("index",)),
        Stage("gate",      late("pipelines.gate:gate"),                  _JUDGED[:-1],          ("gate", "evaluation.depths")),
        Stage("rank",      late("pipelines.rank:rank"),                  _JUDGED,               ("ranker", "rerank")),
        Stage("evaluate",  late("pipelines.evaluate:evaluate"),          (*_JUDGED, "rank"),    ("evaluation",)),
        Stage("export",    late("pipelines.export:export"),              (*_JUDGED, "rank"),    _ALL),
    )
}  # fmt: skip
POPULARITY = Stage("export-popularity", late("pipelines.export:export_popularity"), ("prepare", "baselines"), _ALL)
ROLLING = Stage(
    "rolling", late("pipelines.rolling.stage:rolling"), ("prepare", "baselines", "train"), ("rolling",), resumes=True
)


@dataclass(frozen=True)
class Outcome:
    """What a run left: its folder, the report, the published version (None where a gate failed, with the reason)."""

    folder: Path
    report: Path
    published: Path | None
    reason: str


def run(config: Config, root: Path = RUNS, progress: Progress | None = None) -> Outcome:
    """Run every stage that is not done, publish if the gates allow it, and write the report."""
    progress = progress or Progress()
    work = open_run(config, root)
    for stage in STAGES.values():
        exported = work.do(stage, progress)
    page = report_run(work, progress)  # before publishing: whatever happens there, the results are on paper
    published, reason = _publish(work, exported, progress)
    return Outcome(work.folder, page, published, reason)


def open_run(config: Config, root: Path = RUNS) -> Run:
    """The run's folder, made if need be."""
    work = Run(config, root, lambda: sources.fingerprint(config))
    work.open()
    return work


def run_until(work: Run, name: str, progress: Progress) -> Path:
    """Bring one stage up to date, and before it whatever it needs."""
    stage = STAGES.get(name)
    if stage is None:
        raise StageError(f"stage: found {name!r}, expected one of {', '.join(STAGES)}")
    for needed in stage.after:
        work.do(STAGES[needed], progress)
    return work.do(stage, progress)


def replay_run(work: Run, progress: Progress) -> Path:
    """Replay the test window step by step, as production would have lived it."""
    from pipelines.rolling.steps import check

    check(work.config)  # before anything is read
    prepare, *fitting = ROLLING.after
    _check_replay(work.config, work.do(STAGES[prepare], progress))  # before anything is fitted
    for needed in fitting:
        work.do(STAGES[needed], progress)
    return work.do(ROLLING, progress)


def _check_replay(config: Config, prepared: Path) -> None:
    """Raises: ConfigError, DataError for what the prepared tables tell of a replay that cannot be."""
    from pipelines.dataset import load_dataset
    from pipelines.rolling.rivals import named
    from pipelines.rolling.steps import check_data

    dataset = load_dataset(config, prepared)
    check_data(dataset)
    named(dataset)


def publish_run(work: Run, policy: str, progress: Progress) -> tuple[Path | None, str]:
    """Publish the run's model, or the best popularity instead; to the version's folder and why there is none."""
    if policy == "popularity":
        for needed in POPULARITY.after:
            work.do(STAGES[needed], progress)
        return _publish(work, work.do(POPULARITY, progress), progress)
    return _publish(work, run_until(work, "export", progress), progress)


def _publish(work: Run, exported: Path, progress: Progress) -> tuple[Path | None, str]:
    from pipelines.publish import BUNDLE, CORE, GateFailed, publish

    with progress.stage("publish"), naming_disk(work.config.publish.root):
        try:
            return publish(exported / BUNDLE, work.config.publish.root, exported / CORE), ""
        except GateFailed as failed:
            return None, str(failed)


def report_run(work: Run, progress: Progress) -> Path:
    """Write the report of whatever has run; never cached, it is quick."""
    from pipelines.report import report

    with progress.stage("report"), naming_disk(work.folder):
        return report(work.config, work.results, work.folder / "report")
