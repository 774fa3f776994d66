"""Training curves out of TensorBoard's event files, read without importing TensorFlow."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary

Curve = tuple[tuple[int, float], ...]
"""(step, value) by step."""


def curves(folder: Path) -> dict[str, Curve]:
    """Scalars by tag. A step that was written twice (after a resume) has its later value."""
    found: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        for event in _events(path):
            for value in event.summary.value:
                scalar = _scalar(value)
                if scalar is not None:
                    found.setdefault(value.tag, {})[event.step] = scalar
    return {tag: tuple(sorted(points.items())) for tag, points in sorted(found.items())}


def _events(path: Path) -> Iterator[Event]:
    """Events of a file up to where it ends or is cut off. A record is its length, a checksum, data, a checksum."""
    with path.open("rb") as file:
        while len(header := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", header[:8])
            data = file.read(length)
            if len(data) < length:
                return
            try:
                yield Event.FromString(data)
            except DecodeError:
                return
            file.read(4)


def _scalar(value: Summary.Value) -> float | None:
    if value.HasField("simple_value"):
        return float(value.simple_value)
    if value.metadata.plugin_data.plugin_name != "scalars":
        return None
    if len(value.tensor.tensor_content) == 4:
        return float(struct.unpack("<f", value.tensor.tensor_content)[0])
    return float(value.tensor.float_val[0]) if len(value.tensor.float_val) else None
