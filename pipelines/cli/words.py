"""What commands share: their common options, how they find a run, and how they print."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from configs.errors import UserError

GATE_FAILED = 3

Override = Annotated[list[str] | None, typer.Option("--set", help="Override a key: --set towers.embedding_dim=32")]
Runs = Annotated[Path, typer.Option(help="Folder that holds the runs.")]
RunOrConfig = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder, or its TOML file.")]
Filter = Annotated[list[str] | None, typer.Option(help="Only items that have it: --filter region=eu")]

settings: dict[str, bool] = {"debug": False, "quiet": False}  # of the command that runs


def elsewhere(target: Path, runs: Path) -> tuple[str, ...]:
    """The option that says where runs are, where a command on a TOML file needs it."""
    return () if target.is_dir() or runs == Path("runs") else ("--runs", str(runs))


def open_run_of(target: Path, runs: Path, override: list[str] | None) -> Any:
    """The run that a folder or a TOML file names."""
    from pipelines.run import open_run

    return open_run(*config_of_run(target, runs, override))


def config_of_run(target: Path, runs: Path, override: list[str] | None) -> tuple[Any, Path]:
    """As `config_of_target`, but for a search's folder: it holds the config before tuning. Raises: UserError."""
    from pipelines.tune import BEST, is_search

    if is_search(target):
        best = target / BEST
        following = command("run", best, *elsewhere(best, target.parent)) if best.is_file() else command("tune", target)
        raise UserError(f"{target} is the folder of a search, expected that of a run, or a TOML file: {following}")
    return config_of_target(target, runs, override)


def config_of_target(target: Path, runs: Path, override: list[str] | None) -> tuple[Any, Path]:
    """The config that a run's folder or a TOML file holds, and the folder of its runs."""
    from configs.load import load
    from pipelines.stage import config_of

    if not target.is_dir():
        return load(target, override or []), runs
    if override:
        raise UserError(f"--set: {target} is a finished config; give the TOML file to change a key")
    return config_of(target), target.resolve().parent


def progress() -> Any:
    """What long work says, unless the command is to be quiet."""
    from pipelines.progress import Progress

    return Progress(quiet=settings["quiet"])


def console(width: int = 100) -> Any:
    """Standard output, as wide as tables need."""
    from rich.console import Console

    # a pipe has no width of its own, and 80 columns would cut the tables
    return Console(highlight=False, width=None if sys.stdout.isatty() else width)


def published_words(version: Path) -> list[tuple[str, Any]]:
    """Where a version stands, and its second export if it has one."""
    from pipelines.publish import core_version

    core = core_version(version)
    said = f"{core}  (core operations alone: for a TF Serving that cannot load ScaNN's)"
    return [("bundle", version), *([("second export", said)] if core else [])]


def places(*columns: tuple[str, Any], rows: Iterable[tuple[str, ...]]) -> None:
    """A list as a table, its places numbered; columns are a name and a side each."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    for column, side in (("", "right"), *columns):
        table.add_column(column, justify=side)
    for place, row in enumerate(rows, 1):
        table.add_row(str(place), *row)
    Console(highlight=False, markup=False).print(table)


def lines(*pairs: tuple[str, Any]) -> None:
    """Names and values, one pair a line."""
    for name, value in pairs:
        print(f"{name + ':':<13} {value}")


def command(*words: Any) -> str:
    """A command that can be pasted into a shell, whatever its paths hold."""
    return shlex.join(["twinspire", *map(str, words)])


def pair(option: str, text: str, example: str) -> tuple[str, str]:
    """Key and value of an option such as `--filter region=eu`. Raises: UserError."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"{option}: found {text!r}, expected key=value, e.g. {example}")
    return key, value


def filters(given: list[str] | None) -> dict[str, list[str]]:
    """Values by filter; of one that is named twice an item may have either."""
    found: dict[str, list[str]] = {}
    for name, value in (pair("--filter", text, "region=eu") for text in given or []):
        found.setdefault(name, []).append(value)
    return found
