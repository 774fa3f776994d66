"""The command line: parse, call, print, exit. Heavy imports wait until a command needs them."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from configs.errors import UserError
from pipelines import serve
from pipelines.experiment.cli import app as experiments

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Two-stage recommendation: towers, an index, a ranker, and the gates that keep a bad model out.",
)
GATE_FAILED = 3
_INTERRUPTED = 130  # what a shell reports for Ctrl-C

Override = Annotated[list[str] | None, typer.Option("--set", help="Override a key: --set towers.embedding_dim=32")]
Runs = Annotated[Path, typer.Option(help="Folder that holds the runs.")]
RunOrConfig = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its TOML file.")]
Filter = Annotated[list[str] | None, typer.Option(help="Only items that have it: --filter region=eu")]
Policy = Annotated[str, typer.Option(help="What to publish: model, or popularity when it wins.")]


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show results only.")] = False,
) -> None:
    """Options of every command."""
    _state.update(debug=debug, quiet=quiet)


_state: dict[str, bool] = {"debug": False, "quiet": False}


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
    _run(*_config(target, runs, override))


def _run(config: Any, runs: Path) -> None:
    from pipelines.run import run as run_pipeline

    outcome = run_pipeline(config, runs, _progress())
    _show(config, outcome.folder)
    if outcome.published is None:
        _lines(("report", outcome.report), ("next", _command("publish", outcome.folder, "--policy", "popularity")))
        print(outcome.reason, file=sys.stderr)
        raise typer.Exit(GATE_FAILED)
    _recommendations(outcome.published, None, 10)
    _lines(
        ("report", outcome.report),
        ("TensorBoard", _command("tensorboard", outcome.folder)),
        *_published(outcome.published),
        ("next", _command("recommend", outcome.published, "--user", "ID")),
    )


def _stage_command(name: str, summary: str, following: str) -> None:
    def command(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
        from pipelines.run import run_until

        work = _open(target, runs, override)
        result = run_until(work, name, _progress())
        if (result / "verdicts.json").is_file():
            _judge(work.folder, result / "verdicts.json")
        _lines((name, result), ("next", _command(following, work.folder)))

    command.__doc__ = summary
    app.command(name)(command)


def _judge(run: Path, path: Path) -> None:
    """Exit as a failed gate does if the verdicts are not good enough to publish on."""
    from pipelines.publish import failures
    from pipelines.verdicts import as_json, load_verdicts, passed

    verdicts = load_verdicts(path)
    if not passed(verdicts):
        _lines(("next", _command("report", run)))
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

    work = _open(target, runs, override)
    result = run_until(work, "evaluate", _progress())
    _show(work.config, work.folder, everyone=True)
    _lines(("evaluate", result), ("next", _command("report", work.folder)))


@app.command()
def diagnose(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
    """Say what the data is, whether it is sound, and which design it argues for."""
    from pipelines.diagnose import diagnose as diagnose_data
    from pipelines.diagnose import observe, print_diagnosis, write_diagnosis
    from pipelines.run import run_until

    work = _open(target, runs, override)
    prepared = run_until(work, "prepare", _progress())
    found = diagnose_data(observe(work.config, prepared))
    obstacle = _obstacle(work.config, prepared)
    if obstacle:
        following = _command("diagnose", target, *_elsewhere(target, runs))
    else:
        following = _command("baselines" if found.advice.design == "popularity" else "run", work.folder)
    page = write_diagnosis(found, work.folder / "diagnosis", following)
    print_diagnosis(found, _console())
    _lines(("diagnosis", page), *([("mend first", obstacle)] if obstacle else ()), ("next", following))


@app.command()
def publish(
    target: RunOrConfig, policy: Policy = "model", runs: Runs = Path("runs"), override: Override = None
) -> None:
    """Publish the run's bundle as the next version, if the gates passed."""
    from pipelines.run import publish_run

    if policy not in ("model", "popularity"):
        raise UserError(f"--policy: found {policy!r}, expected model or popularity")
    work = _open(target, runs, override)
    version, reason = publish_run(work, policy, _progress())
    if version is None:
        print(reason, file=sys.stderr)
        _lines(("next", _command("report", work.folder)))
        raise typer.Exit(GATE_FAILED)
    _lines(*_published(version), ("next", _command("recommend", version, "--user", "ID")))


@app.command()
def report(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
    """Write and show the report of whatever has run."""
    from pipelines.run import report_run

    work = _open(target, runs, override)
    page = report_run(work, _progress())
    _show(work.config, work.folder)
    _lines(("report", page))


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
    print_comparison(found, _console())
    _lines(("comparison", page), ("next", found.next_step))


@app.command()
def rolling(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
    """Replay the test window step by step: what staleness costs, and what each refresh buys."""
    from pipelines.rolling import load_rolling, print_rolling
    from pipelines.run import replay_run

    work = _open(target, runs, override)
    result = replay_run(work, _progress())
    print_rolling(load_rolling(result), _console())
    _lines(("rolling", result), ("next", _command("report", work.folder)))


@app.command()
def recommend(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a model's folder of versions.")],
    user: Annotated[str | None, typer.Option(help="Whose features and history to use.")] = None,
    k: Annotated[int, typer.Option(help="How many.")] = 10,
    history: Annotated[list[str] | None, typer.Option(help="Item ids, oldest first; replaces the stored ones.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="Item ids that must not be recommended.")] = None,
    filter: Filter = None,
    like: Annotated[
        list[str] | None, typer.Option(help="Chosen by someone new: --like category=film, or an item.")
    ] = None,
    context: Annotated[list[str] | None, typer.Option(help="Request features: --context device=phone")] = None,
    time: Annotated[int | None, typer.Option(help="Moment of the request; default: the end of the data.")] = None,
    relevance: Annotated[
        float | None, typer.Option(help="Weight of scores against diversity, 0 to 1; default: the bundle's.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each place is listed.")] = False,
) -> None:
    """Answer from a published bundle."""
    given = dict(_pair("--context", text, "device=phone") for text in context or [])
    asked = {"likes": like or [], "history": history, "context": given, "time": time, "relevance": relevance}
    _recommendations(bundle, user, k, explain=explain, exclude=exclude or [], filters=_filters(filter), **asked)


@app.command()
def similar(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a model's folder of versions.")],
    item: Annotated[str, typer.Argument(help="Whose neighbours to list.")],
    k: Annotated[int, typer.Option(help="How many.")] = 10,
    exclude: Annotated[list[str] | None, typer.Option(help="Item ids that must not be listed.")] = None,
    filter: Filter = None,
) -> None:
    """List the items nearest to one, from a published bundle."""
    from serving.bundle import load_bundle

    opened = load_bundle(bundle)
    found = opened.similar(item, k, exclude=exclude or [], filters=_filters(filter))
    print(f"{len(found)} items similar to {item}, {opened.state.titles([item])[item]}")
    columns = ("item", "left"), ("title", "left"), ("cosine", "right")
    _places(*columns, rows=[(one.item, one.title, f"{one.score:.3f}") for one in found])


@app.command()
def upsert(
    bundle: Annotated[Path, typer.Argument(help="A model's folder of versions, or its newest version.")],
    items: Annotated[Path | None, typer.Argument(help="Table of the new and changed items.")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="Item ids that must not be recommended any more.")] = None,
    compact: Annotated[bool, typer.Option("--compact", help="Build the index again, of all items.")] = False,
) -> None:
    """Put new, changed and removed items into a published bundle, as its next version."""
    from pipelines.index.words import served_words
    from pipelines.upsert import upsert as publish_items

    if items is None and not remove and not compact:
        raise UserError("upsert: nothing to do; expected a table of items, --remove ID or --compact")
    done = publish_items(bundle, items, remove or [], compact=compact)
    found = done.outcome
    _lines(
        ("items", f"{found.added:,} added, {found.changed:,} with another vector, {found.removed:,} removed"),
        *([("waiting", f"{found.waiting:,} not available yet; upsert them again then")] if found.waiting else []),
        ("index", f"{found.indexed:,} items, and {found.delta:,} searched exactly beside it"),
        *([("built again", served_words(done.recall))] if done.recall else []),
        ("seconds", ", ".join(f"{name} {seconds:.1f}" for name, seconds in done.seconds.items())),
        ("bundle", done.version),
        ("next", _command("recommend", done.version, "--user", "ID")),
    )


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

    work = _open(target, runs, override)
    done = load(work.config, run_until(work, "prepare", _progress()), store)
    _lines(("store", store), ("loaded", f"{done.queries:,} queries as of {done.until}"))


@app.command("check-server")
def check_server(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a model's folder of versions.")],
    target: Annotated[
        str | None, typer.Argument(metavar="[URL|BINARY]", help="A server, or its binary; default: this machine.")
    ] = None,
) -> None:
    """Say whether a server can load a bundle, and which export to use where it cannot."""
    from pipelines.check_server import check_server as check

    found = check(bundle, target)
    _lines(*((one.what, f"{one.status:<11}  {one.detail}") for one in found.findings))
    if not found.loads:
        _lines(("next", found.following))
        print(found.verdict, file=sys.stderr)
        raise typer.Exit(GATE_FAILED)
    _lines(("verdict", found.verdict), ("next", found.following))


@app.command()
def staleness(
    bundle: Annotated[Path, typer.Argument(help="A bundle, or a model's folder of versions.")],
    items: Annotated[Path | None, typer.Argument(help="Today's whole item table.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="A limit: --set freshness.max_age=7d")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything that was found, as JSON.")] = False,
) -> None:
    """Hold the age of a bundle's vectors, the items it lacks and their drift against limits; exit 3 if too stale."""
    import json

    from pipelines import freshness
    from pipelines.staleness import staleness as measure

    found = measure(bundle, items, override or [], progress=_progress())
    checks = freshness.judge(found)
    following = freshness.next_step(found, checks, items)
    if as_json:
        print(json.dumps(freshness.as_json(found, checks), indent=2, allow_nan=False))
    else:
        freshness.print_checks(checks, _console())
        _lines(("bundle", found.version), *([("next", _command(*following))] if following else []))
    if not freshness.fresh(checks):
        print(freshness.failures(checks), file=sys.stderr)
        raise typer.Exit(GATE_FAILED)


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

    config, root = _config(target, runs, override)
    open_board(target if target.is_dir() else open_run(config, root).folder, port)


@app.command()
def tune(target: RunOrConfig, runs: Runs = Path("runs"), override: Override = None) -> None:
    """Search for better settings of the towers on the validation window (needs optuna)."""
    from rich.console import Console

    from pipelines.tune import tune as search

    config, root = _config(target, runs, override)
    outcome = search(config, root, _progress())
    from pipelines.tune.outcome import print_outcome

    print_outcome(outcome, Console(highlight=False, width=None if sys.stdout.isatty() else 200))
    _lines(
        ("TensorBoard", _command("tensorboard", outcome.folder)),
        ("best config", outcome.toml),
        ("next", _command("run", outcome.toml, *_elsewhere(outcome.toml, root))),
    )


for _command_of in (serve.serve, serve.rollback, serve.rollout):
    app.command()(_command_of)
app.add_typer(experiments, name="experiment")


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="movielens-1m or movielens-100k.")],
    out: Annotated[Path, typer.Option(help="Folder to put it in.")] = Path("data"),
) -> None:
    """Download a public data set from its publisher."""
    from pipelines.download import download

    folder = download(name, out)
    _lines(("data", folder), ("next", _command("run", f"configs/{name}.toml", "--set", f"data.path={folder}")))


def _obstacle(config: Any, prepared: Path) -> str:
    """Why the stages after prepare would refuse its tables; empty where they would not."""
    from pipelines.dataset import load_dataset

    try:
        load_dataset(config, prepared)
    except UserError as error:
        return str(error)
    return ""


def _elsewhere(target: Path, runs: Path) -> tuple[str, ...]:
    """The option that says where runs are, where a command on a TOML file needs it."""
    return () if target.is_dir() or runs == Path("runs") else ("--runs", str(runs))


def _open(target: Path, runs: Path, override: list[str] | None) -> Any:
    """The run that a folder or a TOML file names."""
    from pipelines.run import open_run

    return open_run(*_config(target, runs, override))


def _config(target: Path, runs: Path, override: list[str] | None) -> tuple[Any, Path]:
    """The config that a run's folder or a TOML file holds, and the folder of its runs."""
    from configs.load import load
    from pipelines.stage import config_of

    if not target.is_dir():
        return load(target, override or []), runs
    if override:
        raise UserError(f"--set: {target} is a finished config; give the TOML file to change a key")
    return config_of(target), target.resolve().parent


def _progress() -> Any:
    from pipelines.progress import Progress

    return Progress(quiet=_state["quiet"])


def _show(config: Any, folder: Path, everyone: bool = False) -> None:
    """The summary of a run on standard output; everyone: with the whole leaderboard."""
    from pipelines.report import print_summary, summarise
    from pipelines.stage import current_results

    results = current_results(folder)
    print_summary(summarise(config, results), _console(), everyone)


def _console() -> Any:
    from rich.console import Console

    # a pipe has no width of its own, and 80 columns would cut the tables
    return Console(highlight=False, width=None if sys.stdout.isatty() else 100)


def _recommendations(bundle: Path, user: str | None, k: int, *, explain: bool = False, **request: Any) -> None:
    from serving.bundle import Recommendation, load_bundle

    opened = load_bundle(bundle)
    if explain and "because" not in opened.manifest["signatures"]["recommend"]["outputs"]:
        why = "popularity does not" if opened.manifest["policy"] != "model" else "older versions did not; export again"
        raise UserError(f"--explain: {opened.folder} says no reasons, as {why}")
    if user is None and not request:
        user = opened.state.any_query()
    found = opened.recommend(user, k, **request)
    who = f"for {user}" if user is not None else "for an anonymous query"
    known = user is not None and opened.state.query(user) is not None
    print(f"{len(found)} recommendations {who}{'' if known else ' (nothing stored of it)'}")
    scores = ("score", "retrieval") if explain else ("score",)
    titles = opened.state.titles([one.because for one in found]) if explain else {}

    def said(one: Recommendation) -> str:
        reason = f"because of {titles.get(one.because, one.because)}" if explain and one.because else ""
        return ", ".join(filter(None, ["from popularity" if one.filled else "", reason]))

    columns = ("item", "left"), ("title", "left"), *((name, "right") for name in scores), ("", "left")
    rows = [(one.item, one.title, *(f"{getattr(one, name):.3f}" for name in scores), said(one)) for one in found]
    _places(*columns, rows=rows)


def _published(version: Path) -> list[tuple[str, Any]]:
    """Where a version stands, and its second export if it has one."""
    from pipelines.publish import core_version

    core = core_version(version)
    said = f"{core}  (core operations alone: for a TF Serving that cannot load ScaNN's)"
    return [("bundle", version), *([("second export", said)] if core else [])]


def _places(*columns: tuple[str, Any], rows: Iterable[tuple[str, ...]]) -> None:
    """A list as a table, its places numbered; columns are a name and a side each."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for column, side in (("", "right"), *columns):
        table.add_column(column, justify=side)
    for place, row in enumerate(rows, 1):
        table.add_row(str(place), *row)
    Console(highlight=False, markup=False).print(table)


def _lines(*pairs: tuple[str, Any]) -> None:
    for name, value in pairs:
        print(f"{name + ':':<13} {value}")


def _command(*words: Any) -> str:
    """A command that can be pasted into a shell, whatever its paths hold."""
    return shlex.join(["twinspire", *map(str, words)])


def _pair(option: str, text: str, example: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{option}: found {text!r}, expected key=value, e.g. {example}")
    return key, value


def _filters(given: list[str] | None) -> dict[str, list[str]]:
    """Values by filter; of one that is named twice an item may have either."""
    found: dict[str, list[str]] = {}
    for name, value in (_pair("--filter", text, "region=eu") for text in given or []):
        found.setdefault(name, []).append(value)
    return found


def main() -> None:
    """Entry point: a mendable error is one line and exit 2; Ctrl-C leaves a run that goes on where it stopped."""
    sys.unraisablehook = _unraisable
    try:
        app()
    except SystemExit as done:
        if done.code == _INTERRUPTED:
            print("stopped; run the same command again: it goes on from what is finished", file=sys.stderr)
        raise
    except (UserError, OSError) as error:
        _fail(str(error), 2)
    except Exception as error:
        _fail(f"unexpected {type(error).__name__}: {error} (twinspire --debug ... shows where)", 1)


def _unraisable(found: Any) -> None:
    """Python drops what is raised while an object is deleted. A Ctrl-C that came just then is raised again, later."""
    if issubclass(found.exc_type, KeyboardInterrupt):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    else:
        sys.__unraisablehook__(found)


def _fail(message: str, code: int) -> None:
    if _state["debug"]:
        raise
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
