"""The commands around a server: run it, and decide which versions it serves. Heavy imports wait for the command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from configs.errors import UserError
from configs.load import load_serving
from pipelines.cli.words import command, lines

app = typer.Typer()

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A model's folder of versions.")]


@app.command()
def serve(
    model: Model,
    config: Annotated[Path | None, typer.Option(help="TOML file of the server's settings.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen at; default: this machine alone.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    override: Annotated[list[str] | None, typer.Option("--set", help="A key: --set limits.queue=16")] = None,
) -> None:
    """Answer over HTTP for a published model: lists, neighbours, events, TF Serving's interface, and a page."""
    from serving.server.main import serve as run

    given = {"host": host and f'"{host}"', "port": port}
    settings = load_serving(config, [*(override or []), *(f"{k}={v}" for k, v in given.items() if v is not None)])
    folder = _model(model)

    def say(address: str) -> None:
        lines(
            ("model", folder),
            ("page", f"{address}/"),
            ("interface", f"{address}/docs"),
            ("metrics", f"{address}/metrics"),
            ("next", f"curl -s {address}/recommend -d '{{\"k\": 5}}'"),
        )
        sys.stdout.flush()

    run(folder, settings, say)


@app.command()
def rollback(model: Model) -> None:
    """Take the version on trial, or else the one that answers, out of service: the one before answers again."""
    from serving.rollout import roll_back

    gone, then = roll_back(_model(model))
    _said(model, ("withdrawn", gone), *_labels(then))


@app.command()
def rollout(
    model: Model,
    stable: Annotated[str | None, typer.Option(help='A version that stays the one that answers, or "newest".')] = None,
    canary: Annotated[str | None, typer.Option(help='A version for some users, "newest", or "none".')] = None,
    share: Annotated[float, typer.Option(help="Of users whom the canary answers.")] = 0.05,
    shadow: Annotated[str | None, typer.Option(help='A version to compare with, "newest", or "none".')] = None,
    promote: Annotated[bool, typer.Option("--promote", help="The newest version answers everyone.")] = False,
) -> None:
    """Show or change which versions of a model answer whom; servers follow within seconds."""
    from serving.manifest import versions
    from serving.rollout import STABLE, change, plan, read_rollout

    folder = _model(model)
    now = plan(versions(folder), read_rollout(folder))
    wanted: dict[str, Any] = {"stable": None, "canary": None, "shadow": None} if promote else {}
    if stable is not None:
        wanted["stable"] = None if stable == "newest" else _number("--stable", stable)
    if canary is not None:
        wanted["canary"] = None if canary == "none" else {"version": _number("--canary", canary), "share": share}
        if canary == "newest" and stable is None:  # what is published next is on trial, too, and takes nobody's place
            wanted["stable"] = now.labels.get(STABLE)
    if shadow is not None:
        wanted["shadow"] = None if shadow == "none" else _number("--shadow", shadow)
    _said(model, *_labels(change(folder, **wanted) if wanted else now))


def _model(folder: Path) -> Path:
    """A model's folder, also where one of its versions is named. Raises: UserError."""
    from serving.manifest import MANIFEST

    if (folder / MANIFEST).is_file():
        raise UserError(f"{folder} is one version; name the folder of all versions, {folder.parent}")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; expected a model's folder of versions")
    return folder


def _number(option: str, text: str) -> int | str:
    if text == "newest" or text.isdecimal():
        return int(text) if text.isdecimal() else text
    raise UserError(f"{option}: found {text!r}, expected a version's number or newest")


def _labels(plan: Any) -> list[tuple[str, Any]]:
    share = {"canary": f", for {plan.share:.1%} of users"}
    return [(label, f"version {number}{share.get(label, '')}") for label, number in plan.labels.items()]


def _said(model: Path, *pairs: tuple[str, Any]) -> None:
    lines(*pairs, ("next", command("serve", model)))
