"""TensorBoard's event files, written without importing TensorFlow (TensorBoard's own writer imports it)."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path
from types import TracebackType

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.image.metadata import create_summary_metadata
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util.tensor_util import make_tensor_proto

_NAME = "events.out.tfevents"  # files that hold it in their name are read, whether finished or not


class EventFile:
    """A new event file in `folder`; what was added is on disk when `add` returns."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # by name in order of time, which is how TensorBoard reads the files of one folder
        self.path = folder / f"{_NAME}.{time.time_ns()}.{os.getpid()}"
        self._file = RecordWriter(self.path.open("xb"))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, summary: Summary, step: int = 0) -> None:
        """Write a summary, such as `tensorboard.summary.v1.scalar_pb` makes."""
        self._write(Event(wall_time=time.time(), step=step, summary=summary))

    def _write(self, event: Event) -> None:
        self._file.write(event.SerializeToString())
        self._file.flush()

    def __enter__(self) -> EventFile:
        return self

    def __exit__(self, *raised: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._file.close()


def image_summary(tag: str, png: bytes) -> Summary:
    """A PNG as TensorBoard's image plugin reads it: width, height and the file as strings."""
    if png[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"{tag}: expected the bytes of a PNG, found {png[:8]!r}")
    width, height = struct.unpack(">II", png[16:24])
    tensor = make_tensor_proto([b"%d" % width, b"%d" % height, png], dtype=np.object_)
    summary = Summary()
    summary.value.add(tag=tag, metadata=create_summary_metadata(None, ""), tensor=tensor)
    return summary


def forget_others(folder: Path, kept: Path) -> None:
    """Delete the event files of `folder` but one: what a stage writes again replaces what it wrote before."""
    for path in folder.glob(f"{_NAME}.*"):
        if path != kept:
            path.unlink(missing_ok=True)
