"""Commands on runs: from tables to a published bundle and a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from configs.errors import UserError
from pipelines.cli.bundles import recommendations
from pipelines.cli.words import (
    GATE_FAILED,
    Override,
    RunOrConfig,
    Runs,
    command,
    config_of_run,
    config_of_target,
    console,
    elsewhere,
    lines,
    open_run_of,
    progress,
    published_words,
)

app = typer.Typer()
Policy = Annotated[str, typer.Option(help="What to publish: model, or popularity when it wins.")]


@app.command()
def demo(runs: Runs = Path("runs"), override: Override = None) -> None:
    """Run everything on simulated data and show ten recommendations."""
    from configs.load import builtin, load

    _run(load(builtin("demo"), override or []), runs)


@app.command()
def run(
    target: RunOrConfig,
    runs: Runs = Path("runs"),
    override: Override = None,
) -> None:
    """Run the whole pipeline: from tables to a published bundle and a report."""
    _run(*config_of_run(target, runs, override))


def _run(config: Any, runs: Path) -> None:
    from pipelines.run import run as run_pipeline

    outcome = run_pipeline(config, runs, progress())
    _show(config, outcome.folder)
    if outcome.published is None:
        lines(("report", outcome.report), ("next", command("publish", outcome.folder, "--policy", "popularity")))
        print(outcome.reason, file=sys.stderr)
        raise typer.Exit(GATE_FAILED)
    recommendations(outcome.published, None, 10)
    lines(
        ("report", outcome.report),
        ("TensorBoard", command("tensorboard", outcome.folder)),
        *published_words(outcome.published),
        ("next", command("recommend", outcome.published, "--user", "ID")),
    )


def _stage_command(name: str, summary: str, following: str) -> None:
    def stage(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
        from pipelines.run import run_until

        work = open_run_of(target, runs, override)
        result = run_until(work, name, progress())
        if (result / "verdicts.json").is_file():
            _judge(work.folder, result / "verdicts.json")
        lines((name, result), ("next", command(following, work.folder)))

    stage.__doc__ = summary
    app.command(name)(stage)


def _judge(run: Path, path: Path) -> None:
    """Exit as a failed gate does if the verdicts are not good enough to publish on."""
    from pipelines.publish import failures
    from pipelines.verdicts import as_json, load_verdicts, passed

    verdicts = load_verdicts(path)
    if not passed(verdicts):
        lines(("next", command("report", run)))
        print(failures([as_json(verdict) for verdict in verdicts]), file=sys.stderr)
        raise typer.Exit(GATE_FAILED)


_stage_command("prepare", "Validate and normalise the tables.", "baselines")
_stage_command("baselines", "Fit and measure the baselines.", "train")
_stage_command("train", "Fit the towers.", "index")
_stage_command("index", "Build and tune the index.", "gate")
_stage_command("gate", "Judge the candidates.", "rank")
_stage_command("rank", "Fit the ranker and judge the list.", "evaluate")
_stage_command("export", "Write the bundle and replay it.", "publish")


@app.command()
def evaluate(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
    """Measure everything on the test requests: the whole leaderboard, slices, and where items are lost."""
    from pipelines.run import run_until

    work = open_run_of(target, runs, override)
    result = run_until(work, "evaluate", progress())
    _show(work.config, work.folder, everyone=True)
    lines(("evaluate", result), ("next", command("report", work.folder)))


@app.command()
def diagnose(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
    """Say what the data is, whether it is sound, and which design it argues for."""
    from pipelines.diagnose import diagnose as diagnose_data
    from pipelines.diagnose import observe, print_diagnosis, write_diagnosis
    from pipelines.run import run_until

    work = open_run_of(target, runs, override)
    prepared = run_until(work, "prepare", progress())
    found = diagnose_data(observe(work.config, prepared))
    obstacle = _obstacle(work.config, prepared)
    if obstacle:
        following = command("diagnose", target, *elsewhere(target, runs))
    else:
        following = command("baselines" if found.advice.design == "popularity" else "run", work.folder)
    page = write_diagnosis(found, work.folder / "diagnosis", following)
    print_diagnosis(found, console())
    lines(("diagnosis", page), *([("mend first", obstacle)] if obstacle else ()), ("next", following))


@app.command()
def publish(
    target: RunOrConfig, policy: Policy = "model", runs: Runs = Path("runs"), override: Override = None
) -> None:
    """Publish the run's bundle as the next version, if the gates passed."""
    from pipelines.run import publish_run

    if policy not in ("model", "popularity"):
        raise UserError(f"--policy: found {policy!r}, expected model or popularity")
    work = open_run_of(target, runs, override)
    version, reason = publish_run(work, policy, progress())
    if version is None:
        print(reason, file=sys.stderr)
        lines(("next", command("report", work.folder)))
        raise typer.Exit(GATE_FAILED)
    lines(*published_words(version), ("next", command("recommend", version, "--user", "ID")))


@app.command()
def report(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
    """Write and show the report of whatever has run."""
    from pipelines.run import report_run

    work = open_run_of(target, runs, override)
    page = report_run(work, progress())
    _show(work.config, work.folder)
    lines(("report", page))


@app.command()
def compare(
    targets: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Runs' folders, the first to beat.")],
    out: Annotated[Path | None, typer.Option(help="The page to write; default: in the first run's report.")] = None,
) -> None:
    """Compare runs with the first: paired differences, slices that got worse, and what was changed."""
    from pipelines.compare import compare as compare_runs
    from pipelines.compare import print_comparison, write_comparison

    found = compare_runs(targets)
    page = write_comparison(found, out or targets[0] / "report" / "compare.html")
    print_comparison(found, console())
    lines(("comparison", page), ("next", found.next_step))


@app.command()
def rolling(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
    """Replay the test window step by step: what staleness costs, and what each refresh buys."""
    from pipelines.rolling import load_rolling, print_rolling
    from pipelines.run import replay_run

    work = open_run_of(target, runs, override)
    result = replay_run(work, progress())
    print_rolling(load_rolling(result), console())
    lines(("rolling", result), ("next", command("report", work.folder)))


@app.command("load-state")
def load_state(
    target: RunOrConfig,
    store: Annotated[str, typer.Argument(help="A path, sqlite:PATH or redis://HOST:PORT/NUMBER.")],
    runs: Runs = Path("runs"),
    override: Override = None,
) -> None:
    """Load a server's store with everyone's history and features, from the tables alone."""
    from pipelines.load_state import load_state as load
    from pipelines.run import run_until

    work = open_run_of(target, runs, override)
    done = load(work.config, run_until(work, "prepare", progress()), store)
    lines(("store", store), ("loaded", f"{done.queries:,} queries as of {done.until}"))


@app.command()
def tensorboard(
    target: RunOrConfig,
    runs: Runs = Path("runs"),
    override: Override = None,
    port: Annotated[int, typer.Option(help="Port on this machine.", min=1, max=65535)] = 6006,
) -> None:
    """Open TensorBoard on a run, or on a search's folder."""
    from pipelines.board import open_board
    from pipelines.run import open_run

    config, root = config_of_target(target, runs, override)
    open_board(target if target.is_dir() else open_run(config, root).folder, port)


@app.command()
def tune(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
    """Search for better settings of the towers on the validation window (needs optuna)."""
    from rich.console import Console

    from pipelines.tune import tune as search

    config, root = config_of_target(target, runs, override)
    outcome = search(config, root, progress())
    from pipelines.tune.outcome import print_outcome

    print_outcome(outcome, Console(highlight=False, width=None if sys.stdout.isatty() else 200))
    lines(
        ("TensorBoard", command("tensorboard", outcome.folder)),
        ("best config", outcome.toml),
        ("next", command("run", outcome.toml, *elsewhere(outcome.toml, root))),
    )


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="movielens-1m or movielens-100k.")],
    out: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path("data"),
) -> None:
    """Download a public data set from its publisher."""
    from pipelines.download import download

    folder = download(name, out)
    lines(("data", folder), ("next", command("run", f"configs/{name}.toml", "--set", f"data.path={folder}")))


def _obstacle(config: Any, prepared: Path) -> str:
    """Why the stages after prepare would refuse its tables; empty where they would not."""
    from pipelines.dataset import load_dataset

    try:
        load_dataset(config, prepared)
    except UserError as error:
        return str(error)
    return ""


def _show(config: Any, folder: Path, everyone: bool = False) -> None:
    """The summary of a run on standard output; everyone: with the whole leaderboard."""
    from pipelines.report import print_summary, summarise
    from pipelines.stage import current_results

    results = current_results(folder)
    print_summary(summarise(config, results), console(), everyone)
