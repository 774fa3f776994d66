"""Binaries: real ones of this installation, and small files that are one by their first bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.check_server import binary
from pipelines.check_server.binary import check_binary, missing
from pipelines.check_server.findings import PreflightError
from serving.runtime import scann_library
from tests.pipelines.check_server.exports import SEARCH, needs

ELF = b"\x7fELF\0"


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_literals_are_found_across_chunks_and_at_the_ends(tmp_path, monkeypatch):
    """Literals of two to four bytes against chunks of five: every way to lie across a border comes up."""
    monkeypatch.setattr(binary, "_CHUNK", 5)
    file = write(tmp_path / "file", b"ab\0xcd\0yyef\0gh")
    literals = {name: name.encode() for name in ("ab\0", "\0xc", "cd\0y", "ef", "f\0gh", "gh", "ghi", "ba", "dc")}
    assert missing(file, literals) == {"ghi", "ba", "dc"}


def test_names_are_whole_strings(tmp_path):
    server = write(
        tmp_path / "server", ELF + b"AddV2\0Mul\0Sub\0" + b"ScatterMax\0" + b"MinLength\0" + SEARCH.encode() + b"\0"
    )
    found = check_binary(server, needs(operations=("AddV2", "Mul", "Sub", SEARCH)), None)
    assert (found.loads, found.lacks) == (True, frozenset())
    assert found.findings[0].detail == "all 4 are named in it"
    found = check_binary(server, needs(operations=("AddV2", "Mul", "Max", SEARCH)), None)  # a linker may merge tails
    assert found.loads is True
    assert found.findings[0].detail == "all 4 are named in it, Max at the end of other strings alone"
    found = check_binary(server, needs(operations=("AddV2", "Mul", "Min", SEARCH)), None)
    assert (found.loads, found.lacks) == (False, {"Min"})
    assert found.findings[0].detail == "1 of 4 are not in it: Min"


def test_scanns_own_library_registers_them_by_name():
    library = scann_library()
    assert library is not None
    assert missing(library, {name: name.encode() for name in (SEARCH, "Scann>TensorsToScann", "Scann>Nonsense")}) == {
        "Scann>Nonsense"
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is not there; expected a server's URL, or a file"),
        (b"", "begins with b'', expected a binary of Linux"),
        (b"#!/bin/sh\n", "begins with b'#!/b', expected a binary of Linux"),
        (ELF + b"hello\0", "names 0 of 2 core operations, expected a server that holds TensorFlow"),
    ],
)
def test_what_is_no_server(tmp_path, content, said):
    path = tmp_path / "server"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PreflightError) as raised:
        check_binary(path, needs(operations=("AddV2", "Mul", SEARCH)), None)
    assert str(raised.value).startswith(f"check-server: {path} {said}")


def test_what_is_there_and_no_file(tmp_path):
    for path, kind in ((tmp_path, "a folder"), (Path("/dev/null"), "not a regular file")):
        with pytest.raises(PreflightError, match=f"{path} is {kind}; expected a server's URL, or a file$"):
            check_binary(path, needs(), None)
    with pytest.raises(PreflightError, match=r"cannot be read: File name too long$"):
        check_binary(tmp_path / ("x" * 300), needs(), None)


def script(path: Path, text: str) -> Path:
    """A program that answers --version, as TF Serving's does."""
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] || exit 9\n{text}\n')
    path.chmod(0o755)
    return path


def test_the_version_that_a_program_says(tmp_path):
    says = 'echo "TensorFlow ModelServer: {0}-rc1+dev.sha.abc"; echo "TensorFlow Library: {0}"'
    newer = binary._version(script(tmp_path / "newer", says.format("2.21.1")), needs())
    assert (newer.status, newer.detail) == ("ok", "2.21.1; 2.20.0 wrote the export")
    older = binary._version(script(tmp_path / "older", says.format("2.9.3")), needs())
    assert (older.status, older.detail.partition(",")[0]) == ("cannot tell", "2.9.3 is older than 2.20.0")


def test_programs_that_say_no_version(tmp_path, monkeypatch):
    monkeypatch.setattr(binary, "_PATIENCE", 0.2)
    failing = binary._version(script(tmp_path / "failing", "echo no room >&2; exit 4"), needs())
    slow = binary._version(script(tmp_path / "slow", "exec sleep 5"), needs())
    data = binary._version(write(tmp_path / "data", b"x"), needs())
    broken = write(tmp_path / "broken", ELF)
    broken.chmod(0o755)
    found = [failing, slow, data, binary._version(broken, needs())]
    assert {finding.status for finding in found} == {"cannot tell"}
    details = [finding.detail for finding in found]
    assert details[0] == "it did not say its version: no room"
    assert "within 0.2 seconds" in details[1]
    assert "neither executable nor a shared library" in details[2]
    assert details[3] == "it cannot be run here: Exec format error"
