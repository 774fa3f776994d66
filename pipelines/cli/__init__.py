"""The command line: parse, call, print, exit. Heavy imports wait until a command needs them.

runs.py       commands on runs
bundles.py    commands on published bundles
serving.py    the server, and which versions it serves
words.py      what they share
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer

from configs.errors import UserError
from pipelines.cli import bundles, runs, serving
from pipelines.cli.words import settings
from pipelines.experiment.cli import app as experiments
from pipelines.shortages import shortage

_INTERRUPTED = 130  # what a shell reports for Ctrl-C

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Two-stage recommendation: towers, an index, a ranker, and the gates that keep a bad model out.",
)
for _part in (runs, bundles, serving):
    app.add_typer(_part.app)
app.add_typer(experiments, name="experiment")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show results only.")] = False,
) -> None:
    """Options of every command."""
    settings.update(debug=debug, quiet=quiet)


def main() -> None:
    """Entry point: a mendable error is one line and exit 2; Ctrl-C leaves a run that goes on where it stopped."""
    sys.unraisablehook = _unraisable
    try:
        app()
    except SystemExit as done:
        if done.code == _INTERRUPTED:
            print("stopped; run the same command again: it goes on from what is finished", file=sys.stderr)
        raise
    except Exception as error:
        told = shortage(error) or error
        if isinstance(told, (UserError, OSError)):
            _fail(str(told), 2)
        _fail(f"unexpected {type(error).__name__}: {error} (twinspire --debug ... shows where)", 1)


def _unraisable(found: Any) -> None:
    """Python drops what is raised while an object is deleted. A Ctrl-C that came just then is raised again, later."""
    if issubclass(found.exc_type, KeyboardInterrupt):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.01)
    else:
        sys.__unraisablehook__(found)


def _fail(message: str, code: int) -> None:
    if settings["debug"]:
        raise
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)
