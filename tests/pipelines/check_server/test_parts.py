"""The parts that need neither a server nor a graph: versions, CPU features, and the process that loads."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipelines.check_server.cpu import cpu_features
from pipelines.check_server.runtime import in_child
from pipelines.check_server.versions import compared
from tests.pipelines.check_server.exports import needs


@pytest.mark.parametrize(
    ("found", "status"),
    [
        ("2.20.0", "ok"),
        ("2.20.1", "ok"),
        ("2.21.0-rc1", "ok"),
        ("2.9.3", "cannot tell"),
        ("1.15.0", "cannot tell"),
        ("3.0.0", "cannot tell"),
    ],
)
def test_later_versions_of_the_same_major_load_it(found, status):
    assert compared(found, "2.20.0").status == status


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("processor : 0\nflags\t\t: fpu sse4_2 avx fma avx2\n", "ok", "avx, fma"),
        ("processor : 0\nflags\t\t: fpu sse4_2 avx avx2 fma4\n", "missing", "lacks fma,"),
        ("processor : 0\nFeatures : neon\n", "cannot tell", "lists no flags"),
    ],
)
def test_cpu_features(tmp_path, text, status, said):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    found = cpu_features(path)
    assert found.status == status
    assert said in found.detail
    assert cpu_features(tmp_path / "nowhere").status == "cannot tell"


class Deadly:
    """Kills the process that unpickles it, as an illegal instruction would."""

    def __reduce__(self):
        return os.abort, ()


def test_a_process_that_dies_or_hangs_is_reported():
    assert in_child(Deadly(), golden=True) == "the process that loaded it died: SIGABRT"
    assert in_child(needs(Path("/nowhere")), golden=True, timeout=0.01).startswith("it did not answer within")
