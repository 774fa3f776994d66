"""What a server writes down, where the disk does not let it."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from configs.load import parse
from configs.serving import Logs
from serving.logs import EarlyLog
from serving.server.journal import EARLY, EVENTS, Journal
from serving.server.metrics import Metrics
from serving.store import Event
from tests.serving.small import CONFIG, END

ROWS = 10  # a log has room for ten times as many


def early(folder: Path, files: int, each: int) -> None:
    for number in range(files):
        log = EarlyLog(folder / EARLY)
        log.append([Event(f"u{number}", f"i{place}", END) for place in range(each)])
        log.close()


def dropped(metrics: Metrics) -> float:
    return metrics.dropped.labels(EVENTS)._value.get()


@pytest.fixture
def blocked(tmp_path):
    """A folder of logs whose events cannot be written."""
    (tmp_path / EVENTS).write_text("a file stands here")
    early(tmp_path, files=4, each=60)
    return tmp_path


def test_early_events_stay_where_they_are_until_the_log_can_be_written(blocked, monkeypatch):
    monkeypatch.setattr("serving.server.journal._AGAIN", 0.01)
    for mended in (False, True):
        metrics = Metrics()
        journal = Journal(Logs(folder=str(blocked), rows=ROWS, seconds=0.05), metrics)
        journal.serve(parse(CONFIG))
        time.sleep(0.2)
        assert len([*(blocked / EARLY).iterdir()]) == 4
        if mended:
            (blocked / EVENTS).unlink()
            end = time.monotonic() + 30
            while [*(blocked / EARLY).iterdir()]:
                assert time.monotonic() < end
                time.sleep(0.02)
        journal.close()
    found = [(row["user"], row["item"]) for row in pq.read_table(blocked / EVENTS).to_pylist()]
    assert sorted(found) == sorted((f"u{number}", f"i{place}") for number in range(4) for place in range(60))
    assert dropped(metrics) == 0


def test_events_that_cannot_be_written_by_the_end_are_counted(blocked, caplog):
    metrics = Metrics()
    journal = Journal(Logs(folder=str(blocked), rows=ROWS, seconds=60), metrics)
    journal.serve(parse(CONFIG))
    journal.add([Event("u", f"i{place}", END) for place in range(130)])
    assert dropped(metrics) == 30
    journal.close()
    assert dropped(metrics) == 130
    assert "100 of 100 rows are lost" in caplog.text
