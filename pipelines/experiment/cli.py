"""`twinspire experiment`: plan a test, analyse its logs, and ask a log about a policy that was not served."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from configs.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Plan A/B tests, analyse their logs, and estimate policies off-line.")
_UNSOUND = 3  # as a gate that failed

Events = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Files of events, more than once if need be; default: LOGS/events."),
]
Columns = Annotated[
    Path | None, typer.Option("--run", metavar="RUN", help="A run's folder or TOML file: it names the events' columns.")
]
Window = Annotated[str | None, typer.Option(help="What counts after a unit's first exposure: 7d; default: everything.")]
Json = Annotated[bool, typer.Option("--json", help="Everything that was found, as JSON.")]


@app.command()
def power(
    logs: Annotated[Path | None, typer.Argument(metavar="[LOGS]", help="A server's logs, to measure from.")] = None,
    mean: Annotated[float | None, typer.Option(help="Without logs: the metric's level.")] = None,
    variance: Annotated[float | None, typer.Option(help="Of a unit; default: that of a share.")] = None,
    weekly: Annotated[int | None, typer.Option(help="Without logs: new units a week, in all arms.")] = None,
    effect: Annotated[str | None, typer.Option(help="Say how many units find it: 0.01, or 2% of the level.")] = None,
    at: Annotated[float, typer.Option("--power", help="Chance to find an effect.", min=0.5, max=0.999)] = 0.8,
    metric: Annotated[str, typer.Option(help="Of the logs.")] = "conversion",
    events: Events = None,
    run: Columns = None,
    window: Window = None,
    as_json: Json = False,
) -> None:
    """Say how small an effect 1, 2 and 4 weeks find, or how many units an effect takes."""
    from pipelines.experiment import planning
    from pipelines.experiment.metrics import metric as known
    from pipelines.experiment.text import plan_as_json, print_plan

    if logs is not None:
        asked = known(metric)
        traffic = planning.measured(_reading(logs, events, run, window, (asked.kind,)), asked)
        if not traffic:
            raise UserError(f"power: {logs} holds less than a week; expected one at least, or --mean and --weekly")
    elif mean is None or weekly is None:
        raise UserError("power: expected logs to measure from, or --mean and --weekly")
    else:
        traffic = planning.given(mean, variance, weekly)
    planned = planning.plan(traffic, at)
    found = planning.needed(effect, traffic, at) if effect is not None else None
    if as_json:
        print(json.dumps(plan_as_json(planned, found), indent=2, allow_nan=False))
        return
    print_plan(planned, _console())
    print(f"found with {at:.0%} power, two-sided 5%, half of the units in each arm, one value for each unit")
    if found is not None:
        said = f"{found.fixed:,} units in each arm at one look ({found.weeks:.1f} weeks), {found.sequential:,} at any"
        print(f"a difference of {found.effect:.4g} takes {said}")


@app.command()
def analyze(
    logs: Annotated[Path, typer.Argument(metavar="LOGS", help="A server's logs, or exposures: a folder or a glob.")],
    experiment: Annotated[str | None, typer.Option(help="Which one; default: the only one.")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="The first decides: --metric events:purchase")] = None,
    guardrail: Annotated[
        list[str] | None, typer.Option(help="And how much worse it may be: --guardrail seconds=10%")
    ] = None,
    events: Events = None,
    run: Columns = None,
    control: Annotated[str, typer.Option(help="The arm that others are compared with.")] = "control",
    server: Annotated[Path | None, typer.Option(help="The server's TOML, for the shares; default: equal.")] = None,
    window: Window = None,
    before: Annotated[str, typer.Option(help="Length of the pre-period that CUPED adjusts for.")] = "14d",
    planned: Annotated[
        int, typer.Option(help="Units planned: the sequential interval is tightest there.", min=2)
    ] = 10_000,
    one_look: Annotated[
        bool, typer.Option("--one-look", help="This is the one look that was planned: the fixed interval decides.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare the arms of an experiment; exit 3 if they are not as large as they should be."""
    from pipelines.experiment import metrics as known
    from pipelines.experiment.analysis import Plan, analyse
    from pipelines.experiment.logs import read
    from pipelines.experiment.text import as_json as told
    from pipelines.experiment.text import print_analysis
    from pipelines.experiment.verdict import verdict

    asked = [known.metric(text) for text in metric or ["conversion"]]
    rails = [known.guardrail(text) for text in (known.GUARDRAILS if guardrail is None else guardrail)]
    kinds = [one.kind for one in (*asked, *(rail.metric for rail in rails))]
    log = read(_reading(logs, events, run, window, kinds, before), experiment)
    shares = _shares(server, str(log.experiment)) if server is not None else None
    found = analyse(log, Plan(asked, rails, control, shares, planned, one_look))
    said = verdict(found)
    if as_json:
        print(json.dumps(told(found, said), indent=2, allow_nan=False))
    else:
        print_analysis(found, said, _console())
        print(f"{'next:':<13} {said.next_step}")
    if not found.balance.sound:
        raise typer.Exit(_UNSOUND)


@app.command()
def actions(
    logs: Annotated[Path, typer.Argument(metavar="LOGS", help="A server's logs, or exposures: a folder or a glob.")],
    out: Annotated[Path, typer.Option(help="The Parquet table to write.")],
    events: Events = None,
    run: Columns = None,
    kind: Annotated[str | None, typer.Option(help="Only events of this kind earn.")] = None,
    within: Annotated[str, typer.Option(help="How long after a list an event with its item earns 1.")] = "1d",
) -> None:
    """Write the table that off-policy reads, but for the policy's column: a row for each place of lists that were
    logged with propensities."""
    from pipelines.experiment.actions import write_actions

    rows, skipped = write_actions(_reading(logs, events, run, within, (kind,)), out)
    print(f"{'actions:':<13} {rows:,} rows in {out}; {skipped:,} lists without propensities or query left out")
    print(f"{'next:':<13} add a column with the policy's probability of each item at its place, then")
    print(f"{'':<13} twinspire experiment off-policy {out} --policy COLUMN")


@app.command("off-policy")
def off_policy(
    actions: Annotated[Path, typer.Argument(metavar="ACTIONS", help="A Parquet table with a row for each action.")],
    policy: Annotated[str, typer.Option(help="The column with the policy's probability of the action.")] = "target",
    clip: Annotated[float | None, typer.Option(help="Largest weight; default: as they are.", min=1)] = None,
    as_json: Json = False,
) -> None:
    """Estimate what a policy would earn, by IPS, SNIPS and, with a model's estimates, doubly robust.

    Columns: query, reward, propensity and the policy's; for doubly robust also estimate (a model's, of the row's
    reward) and value (the mean of its estimates under the policy).
    """
    from pipelines.experiment import off_policy as estimates
    from pipelines.experiment.text import print_value, value_as_json

    found = estimates.off_policy(estimates.read_actions(actions, policy), policy, clip)
    if as_json:
        print(json.dumps(value_as_json(found), indent=2, allow_nan=False))
    else:
        print_value(found, _console())


def _reading(
    logs: Path, events: list[str] | None, run: Path | None, window: str | None, kinds: Any, before: str = "14d"
) -> Any:
    from configs.load import load
    from pipelines.experiment.logs import COLUMNS, reading
    from pipelines.stage import config_of

    columns = COLUMNS
    if run is not None:
        columns = (config_of(run) if run.is_dir() else load(run)).data.events
    lengths = {"before": _seconds("--before", before), "window": window and _seconds("--window", window)}
    return reading(logs, [Path(one) for one in events or ()], columns=columns, kinds=tuple(kinds), **lengths)


def _seconds(option: str, text: str) -> int:
    from configs.units import duration

    try:
        found = duration(text)
    except ValueError as error:
        raise UserError(f"{option}: {error}") from None
    if found <= 0:
        raise UserError(f"{option}: found {text!r}, expected a length above 0")
    return found


def _shares(server: Path, experiment: str) -> dict[str, float]:
    """Of an experiment's arms, as a server's TOML has them."""
    from configs.load import load_serving

    named = {one.name: one for one in load_serving(server).experiments}
    if experiment not in named:
        found = ", ".join(named) or "none"
        raise UserError(f"--server: {server} has no experiment {experiment!r}; found {found}")
    return {name: arm.share for name, arm in named[experiment].arms.items()}


def _console() -> Any:
    from pipelines.cli.words import console

    return console(140)  # a row says more here than in other tables
