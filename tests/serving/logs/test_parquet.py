"""Rows become whole files, whatever happens to the disk or the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from serving.logs.parquet import LogCounts, ParquetLog

SCHEMA = pa.schema([("n", pa.int64()), ("text", pa.string())])
ROOT = Path(__file__).resolve().parents[3]
NEVER = 3600.0


def rows(start: int, end: int) -> list[tuple[int, str]]:
    return [(n, f"row {n}") for n in range(start, end)]


def found(folder: Path) -> list[int]:
    """What a reader finds that takes all files, as they are."""
    return sorted(n for file in folder.glob("*.parquet") for n in pq.read_table(file, schema=SCHEMA)["n"].to_pylist())


def eventually(holds, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.01)


@pytest.fixture
def log(tmp_path):
    log = ParquetLog(tmp_path / "log", SCHEMA, rows=100, seconds=NEVER)
    yield log
    log.close()


def test_nothing_is_no_file(tmp_path, log):
    assert log.flush()
    log.close()
    assert not (tmp_path / "log").exists()


def test_flush_writes_what_waits_once(tmp_path, log):
    assert log.append(rows(0, 3)) == 3
    assert log.counts == LogCounts(0, 3, 0, 0)
    assert found(tmp_path / "log") == []
    assert log.flush()
    assert log.flush()
    assert log.counts == LogCounts(3, 0, 0, 0)
    (file,) = (tmp_path / "log").iterdir()
    assert pq.read_table(file).to_pylist() == [{"n": n, "text": f"row {n}"} for n in range(3)]


def test_a_file_is_written_when_there_are_rows_enough(tmp_path, log):
    log.append(rows(0, 99))
    time.sleep(0.05)
    assert found(tmp_path / "log") == []
    log.append(rows(99, 250))
    eventually(lambda: found(tmp_path / "log") == list(range(250)))
    sizes = sorted(pq.read_metadata(file).num_rows for file in (tmp_path / "log").iterdir())
    assert sizes == [250]  # none waits for others


def test_and_when_it_is_time(tmp_path):
    log = ParquetLog(tmp_path / "log", SCHEMA, rows=100, seconds=0.05)
    log.append(rows(0, 2))
    eventually(lambda: found(tmp_path / "log") == [0, 1])
    log.close()


def test_closing_writes_what_waits(tmp_path):
    log = ParquetLog(tmp_path / "log", SCHEMA, rows=100, seconds=NEVER)
    log.append(rows(0, 7))
    log.close()
    assert found(tmp_path / "log") == list(range(7))


def test_closing_counts_what_cannot_be_written(tmp_path):
    (tmp_path / "log").write_text("a file stands here")
    log = ParquetLog(tmp_path / "log", SCHEMA, rows=100, seconds=NEVER)
    log.append(rows(0, 7))
    log.close()
    counts = log.counts
    assert (counts.written, counts.waiting, counts.dropped) == (0, 0, 7)


def test_logs_one_after_the_other_take_no_name_twice(tmp_path):
    for number in range(20):
        log = ParquetLog(tmp_path, SCHEMA, rows=100, seconds=NEVER)
        log.append(rows(number, number + 1))
        log.close()
        del log
    assert found(tmp_path) == list(range(20))


def test_a_reader_never_sees_half_a_file(tmp_path):
    log, seen, done = ParquetLog(tmp_path, SCHEMA, rows=200, seconds=0.01), [], threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.append(len(found(tmp_path)))

    reader = threading.Thread(target=read)
    reader.start()
    for start in range(0, 2_000, 10):
        log.append(rows(start, start + 10))
        time.sleep(0.001)
    log.close()
    done.set()
    reader.join()
    assert seen == sorted(seen)
    assert found(tmp_path) == list(range(2_000))
    assert not list(tmp_path.glob(".*"))


def test_a_folder_that_cannot_be_written_costs_no_row_until_too_many_wait(tmp_path, log):
    (tmp_path / "log").write_text("a file stands here")
    assert log.append(rows(0, 10)) == 10
    assert not log.flush()
    assert log.counts == LogCounts(0, 10, 0, 1)
    assert log.append(rows(10, 1_200)) == 990  # ten times `rows` wait
    assert log.append(rows(1_200, 1_201)) == 0
    counts = log.counts
    assert (counts.waiting, counts.dropped) == (1_000, 201)
    (tmp_path / "log").unlink()
    eventually(log.flush)
    assert found(tmp_path / "log") == list(range(1_000))
    assert log.append(rows(5_000, 5_001)) == 1


def test_a_full_disk_is_counted_and_leaves_no_half_file(tmp_path):
    """The shell's limit on the size of a file stands for the disk that is full."""
    code = (
        "import sys, resource, signal, pyarrow as pa\n"
        "from pathlib import Path\n"
        "from serving.logs.parquet import ParquetLog\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "folder = Path(sys.argv[1])\n"
        "log = ParquetLog(folder, pa.schema([('n', pa.int64()), ('text', pa.string())]), rows=5000, seconds=3600)\n"
        "log.append([(n, str(n * 7919)) for n in range(5)])\n"
        "assert log.flush()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "log.append([(n, str(n * 7919)) for n in range(5, 3000)])\n"
        "assert not log.flush()\n"
        "assert (log.counts.written, log.counts.waiting, log.counts.failures) == (5, 2995, 1), log.counts\n"
        "assert not [file for file in folder.iterdir() if file.name.startswith('.')]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "log.close()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=ROOT)
    assert found(tmp_path) == list(range(3_000))


def test_rows_that_are_none_of_this_log_are_dropped_and_the_next_are_written(tmp_path, log):
    log.append([("no number", "x")])
    assert log.flush()
    assert log.counts == LogCounts(0, 0, 1, 0)
    log.append(rows(0, 1))
    assert log.flush()
    assert found(tmp_path / "log") == [0]


def test_a_process_that_is_killed_loses_what_waited_and_nothing_else(tmp_path):
    code = (
        "import sys, time, pyarrow as pa\n"
        "from pathlib import Path\n"
        "from serving.logs.parquet import ParquetLog\n"
        "schema = pa.schema([('n', pa.int64()), ('text', pa.string())])\n"
        "log = ParquetLog(Path(sys.argv[1]), schema, rows=20, seconds=3600)\n"
        "n = 0\n"
        "while True:\n"
        "    log.append([(n, 'x')])\n"
        "    n += 1\n"
        "    print(n, log.counts.waiting, flush=True)\n"
        "    time.sleep(.001)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for _ in range(300):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        last = [line for line in process.stdout if line.endswith("\n")]
    there = found(tmp_path)
    assert there == list(range(len(there)))
    if last:
        given, waiting = map(int, last[-1].split())
        assert len(there) >= given - waiting
