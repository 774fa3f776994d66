"""What a person sees while stages run: one live line, and one line that stays for each finished stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress


class Progress:
    """Progress on standard error, so that standard output holds results only; silent when `quiet`."""

    def __init__(self, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._live = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            # what others print goes its own way: in a notebook, where to show is to flush, the two call each other
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._live.add_task("", visible=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show `name` as running; afterwards a line with its time stays."""
        started = time.perf_counter()
        self._live.reset(self._task, description=name, total=None, visible=True)
        with self._live:
            yield
        self._console.print(f"  [green]done[/]   {name:<10} {time.perf_counter() - started:7.1f} s")

    def cached(self, name: str) -> None:
        """Say that a stage's result is there already."""
        self._console.print(f"  [dim]cached {name}[/]")

    def expect(self, total: int, what: str) -> None:
        """Start counting `total` steps of `what` within the running stage."""
        self._live.reset(self._task, description=what, total=total, visible=True)

    def advance(self, steps: int = 1) -> None:
        """Count steps done."""
        self._live.advance(self._task, steps)

    def say(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"         {text}", markup=False, soft_wrap=True)
