"""A server's binary, or a shared library that it loads: the operations named in it, and its TensorFlow."""

from __future__ import annotations

import mmap
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pipelines.check_server.cpu import cpu_features
from pipelines.check_server.findings import Finding, Outcome, PreflightError, named
from pipelines.check_server.needs import Needs
from pipelines.check_server.versions import compared

_ELF = b"\x7fELF"
_LIBRARY = re.compile(r"\.so(\.[0-9]+)*$")
_PATIENCE = 120  # seconds; a library of a gigabyte on a cold disk takes its time
_VERSION = re.compile(r"TensorFlow Library: (\d+\.\d+\S*)")  # as tensorflow_model_server --version prints it
_ASK = "import ctypes, sys; f = ctypes.CDLL(sys.argv[1]).TF_Version; f.restype = ctypes.c_char_p; print(f().decode())"
_CHUNK = 1 << 24  # bytes


def check_binary(path: Path, needs: Needs, core: Needs | None) -> Outcome:
    """What a binary tells of itself. Raises: PreflightError."""
    _require_elf(path)
    wanted = needs.operations | (core.operations if core else frozenset())
    unsure = missing(path, {name: b"\0" + name.encode() + b"\0" for name in wanted})
    absent = missing(path, {name: name.encode() + b"\0" for name in unsure})
    plain = wanted - needs.scann
    if 2 * len(absent & plain) > len(plain):
        raise PreflightError(
            f"check-server: {path} names {len(plain - absent)} of {len(plain)} core operations, expected a server that "
            "holds TensorFlow; where it links it as a shared library, name that (libtensorflow_cc.so.2)"
        )
    lacking = absent & needs.operations
    findings = [_operations(needs, lacking, unsure), _version(path, needs)]
    if needs.scann:
        findings.append(cpu_features())
    bad = [finding for finding in findings if finding.status == "missing"]
    why = f"{path} cannot load it: {bad[0].detail}" if bad else f"{path} has every operation that it needs"
    return Outcome(findings, not bad, why, absent)


def missing(path: Path, literals: Mapping[str, bytes]) -> frozenset[str]:
    """The names whose literals stand nowhere in a file.

    An operation is registered under a C string, so one whose name is not in a binary is not in it. The reverse is not
    quite sure: an optimiser may name what nobody registered, and a linker lets a string stand at the end of another.
    """
    left = dict(literals)
    overlap = max(map(len, left.values()), default=0)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for start in range(0, len(content), _CHUNK):
            chunk = content[max(0, start - overlap) : start + _CHUNK]
            left = {name: literal for name, literal in left.items() if literal not in chunk}
            if not left:
                break
    return frozenset(left)


def _require_elf(path: Path) -> None:
    try:
        if not path.is_file():
            kind = "not there" if not path.exists() else "a folder" if path.is_dir() else "not a regular file"
            raise PreflightError(f"check-server: {path} is {kind}; expected a server's URL, or a file")
        with path.open("rb") as file:
            found = file.read(len(_ELF))
    except OSError as error:
        raise PreflightError(f"check-server: {path} cannot be read: {error.strerror}") from None
    if found != _ELF:
        raise PreflightError(
            f"check-server: {path} begins with {found!r}, expected a binary of Linux (ELF), such as "
            "tensorflow_model_server or libtensorflow_cc.so.2"
        )


def _operations(needs: Needs, lacking: frozenset[str], unsure: frozenset[str]) -> Finding:
    count = len(needs.operations)
    if not lacking:
        ends = unsure & needs.operations
        only = f", {named(ends)} at the end of other strings alone" if ends else ""
        return Finding("operations", "ok", f"all {count} are named in it{only}")
    return Finding("operations", "missing", f"{len(lacking)} of {count} are not in it: {named(lacking)}")


def _version(path: Path, needs: Needs) -> Finding:
    """By asking it, in a process of its own: what stands in a file does not say which of its numbers is meant."""
    if _LIBRARY.search(path.name):
        command, pattern = [sys.executable, "-c", _ASK, str(path.resolve())], re.compile(r"^(\d+\.\d+\S*)$", re.M)
    elif os.access(path, os.X_OK):
        command, pattern = [str(path.resolve()), "--version"], _VERSION
    else:
        return Finding("TensorFlow", "cannot tell", "it is neither executable nor a shared library (.so)")
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, text=True, errors="replace", timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return Finding("TensorFlow", "cannot tell", f"it did not say its version within {_PATIENCE} seconds")
    except OSError as error:
        return Finding("TensorFlow", "cannot tell", f"it cannot be run here: {error.strerror}")
    if found := pattern.search(done.stdout):
        return compared(found[1], needs.tensorflow)
    said = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit {done.returncode}"]
    return Finding("TensorFlow", "cannot tell", f"it did not say its version: {said[0]}")
