"""What processes took of the machine, by `/proc`; and those that answer calls by turns with others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

Ask = Callable[[int], None]


def cpu_seconds(*pids: int) -> float:
    """Of the processor, that they took since they were born."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # in user mode and in the kernel
    return ticks / os.sysconf("SC_CLK_TCK")


def resident(*pids: int) -> int:
    """Bytes of memory that they hold of their own: without pages of files, which all processes share."""
    return sum(_status(pid, "RssAnon") for pid in pids)


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


class Turn:
    """A process of `python -m module arguments` whose `take_turns` times calls when it is its turn."""

    def __init__(self, module: str, *arguments: object) -> None:
        command = [sys.executable, "-m", module, *map(str, arguments)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def take(self, calls: int) -> np.ndarray:
        """Seconds of each of so many calls. Raises: RuntimeError where the process ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{calls}\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("["):
                return np.array(json.loads(line))
        raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}; its error stands above")

    def end(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def take_turns(timed: Callable[[int], list[float]]) -> None:
    """Be such a process: `timed` makes so many calls, and says what each took."""
    for line in sys.stdin:
        print(json.dumps(timed(int(line))), flush=True)
