"""What ran out is named in one line, as libraries really say it, and nothing else is taken for it."""

import errno
import shutil

import numpy as np
import pytest

from configs.errors import DataError
from pipelines.shortages import DiskFull, OutOfMemory, naming_disk, shortage

ASKED = "OOM when allocating tensor with shape[51200,3000] and type float on {}/device:CPU:0 by allocator cpu"
STACK = "Graph execution error:\n\nDetected at node mul defined at (most recent call last):\n  File x, line 1\n"


class ResourceExhaustedError(Exception):
    """What TensorFlow calls it, for disks too."""

    __module__ = "tensorflow.python.framework.errors_impl"


class OutOfMemoryException(Exception):
    """What DuckDB calls it."""

    __module__ = "_duckdb"


def _raised(error, folder):
    with naming_disk(folder):
        raise error


def test_a_tensor_that_memory_had_no_room_for_is_named_without_the_stack():
    told = shortage(ResourceExhaustedError(STACK + ASKED.format("/job:localhost/replica:0/task:0")))
    assert isinstance(told, OutOfMemory)
    assert str(told).startswith(
        "memory ran out: no room for a tensor of [51200,3000] float on CPU:0; lower train.batch"
    )
    assert "\n" not in str(told)


def test_an_array_that_memory_had_no_room_for_is_named():
    with pytest.raises(MemoryError) as raised:
        np.empty(1 << 57)
    assert str(shortage(raised.value)).startswith("memory ran out: Unable to allocate 1.00 EiB for an array")
    assert str(shortage(MemoryError())).startswith("memory ran out; lower train.batch")


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOMEM, "Cannot allocate memory"),  # os.fork, mmap
        OutOfMemoryException("Out of Memory Error: failed to allocate data of size 1.0 GiB"),
    ],
)
def test_whoever_asked_for_memory_is_named_and_what_helps_each_stage(error):
    told = shortage(error)
    assert isinstance(told, OutOfMemory)
    assert str(told).startswith(f"memory ran out: {error}; lower train.batch")
    for key in ("ranker.batch", "baselines.max_items", "trend.bucket", "index.shards"):
        assert key in str(told)


def test_a_full_disk_is_named_whoever_wrote(tmp_path):
    with pytest.raises(OSError, match="requested and") as cut_off:  # numpy, which says no more
        np.zeros(1 << 17).tofile("/dev/full")
    tensors = ResourceExhaustedError("/run/weights.data-00000; No space left on device [Op:SaveV2]")
    wrapped = DataError("data: the tables cannot be read: IO Error: No space left on device")
    copied = shutil.Error([("a", "b", str(OSError(errno.ENOSPC, "No space left on device", "b")))])
    for error in (cut_off.value, tensors, wrapped, copied):
        assert isinstance(shortage(error), DiskFull)
        with pytest.raises(DiskFull) as raised:
            _raised(error, tmp_path)
        assert str(raised.value) == f"no space left on {tmp_path}; free some and run the same command again"
        assert shortage(raised.value) is raised.value
    named = OSError(errno.ENOSPC, "No space left on device", "runs/report/index.html")
    moved = OSError(errno.EDQUOT, "Disk quota exceeded", "a/b", None, "runs/report/b")
    for error, where in ((named, "runs/report"), (moved, "runs/report")):
        assert str(shortage(error)).startswith(f"no space left on {where};")
        with pytest.raises(DiskFull, match=f"^no space left on {where};"):
            _raised(error, tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("scores: got NaN"),
        OSError(errno.EACCES, "Permission denied", "runs"),
        FileNotFoundError("/data/out of memory/events.csv"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "/data/No space left on device/events.csv"),
        KeyError("failed to allocate"),
        RuntimeError("out of memory"),
        ResourceExhaustedError("Too many open files"),
        DataError("data: the tables cannot be read: Out of Memory Error"),  # in words already
    ],
)
def test_what_is_no_shortage_stays_what_it_is(error, tmp_path):
    assert shortage(error) is None
    with pytest.raises(type(error)) as raised:
        _raised(error, tmp_path)
    assert raised.value is error
