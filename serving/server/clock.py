"""The moment of a request that names none, on the events' time axis of the version that answers."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Literal, NamedTuple

from serving.server.version import Version
from serving.tfserving.models import NotServed

_log = logging.getLogger("twinspire.clock")


class _Axis(NamedTuple):
    clock: bool  # whether its moments are seconds since 1970, and not an order alone
    end: int  # of the data


class Clock:
    """ "wall": seconds since 1970; "data": the end of the version's data. Events that have an order and no clock always
    take the end of the data.

    What is known of the latest version's time axis is kept in a file, for when none is loaded yet.
    """

    def __init__(self, kind: Literal["wall", "data"], path: Path) -> None:
        self._kind, self._path = kind, path
        self._latest = _read(path)

    def now(self, version: Version | None) -> int:
        """The moment. Raises: NotServed where there is no version and never was one: nobody knows yet whether moments
        are seconds, and one beyond all others could not be taken back."""
        axis = _axis(version) if version is not None else self._latest
        if axis is None:
            raise NotServed("time: nothing is said, and no version was loaded yet, whose data says what times are")
        return int(time.time()) if self._kind == "wall" and axis.clock else axis.end

    def keep(self, version: Version) -> None:
        """Keep what is known of a version's time axis. What cannot be written costs the next start, not this server."""
        self._latest = _axis(version)
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            partial.write_text(json.dumps(self._latest._asdict()))
            os.replace(partial, self._path)
        except OSError as error:
            _log.error("the time axis could not be kept in %s: %s", self._path, error)


def _axis(version: Version) -> _Axis:
    clock = version.bundle.config.data.events.time is not None
    return _Axis(clock, int(version.manifest["data"]["end"]))


def _read(path: Path) -> _Axis | None:
    try:
        said = json.loads(path.read_text())
        return _Axis(bool(said["clock"]), int(said["end"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        _log.error("%s cannot be read: %r", path, error)
        return None
