"""How the machine's cores are shared out."""

import os

from tests.cores import LIMITS, share_cores, with_every_core


def test_workers_share_the_cores_and_a_process_alone_has_all(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    for workers, threads in (("2", "3"), ("4", "1"), ("9", "1")):
        environment = {"PYTEST_XDIST_WORKER_COUNT": workers, LIMITS[0]: "5"}
        share_cores(environment)
        assert [environment[name] for name in LIMITS] == ["5", threads, threads]
    for alone in ({}, {"PYTEST_XDIST_WORKER_COUNT": "1"}):
        share_cores(alone)
        assert not alone.keys() & {*LIMITS}
    monkeypatch.setenv(LIMITS[1], "1")
    assert not with_every_core().keys() & {*LIMITS}
