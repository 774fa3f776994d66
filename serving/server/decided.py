"""What was decided of a model's versions, as it could be read last.

A copy stays in the server's `state` folder, so that a server which starts beside a file that cannot be read, or before
the disk is there, serves nothing that was withdrawn.
"""

from __future__ import annotations

import logging
from pathlib import Path

from serving.manifest import versions
from serving.rollout import ROLLOUT, Rollout, RolloutError, read_rollout, write_rollout
from serving.server.metrics import Metrics

_KEPT = "rollouts"  # in the state folder: a folder for each model
_log = logging.getLogger("twinspire.versions")


class Decided:
    """The rollout of one model.

    rollout: None where neither the file nor a copy of it could ever be read: any version may have been withdrawn;
    wrong: what is wrong with the file now, "" for nothing.
    """

    def __init__(self, model: Path, state: Path, metrics: Metrics) -> None:
        self._model, self._kept, self._metrics = model, state / _KEPT / model.resolve().name, metrics
        self._copied = self._copy()
        self.rollout = self._copied
        self.wrong = ""

    def read(self) -> None:
        """Read the file; where that cannot be, or nothing is there of the model, what was decided before stands."""
        before = _there(self._model)
        try:
            found = read_rollout(self._model)
        except RolloutError as error:
            self._failed(str(error))
            return
        self.wrong = ""
        self._metrics.unreadable.set(0)
        if before and _there(self._model):  # what came or went just now may have been read as no file
            self.rollout = found
            if found != self._copied:
                self._keep(found)

    def _failed(self, why: str) -> None:
        if why != self.wrong:  # once, not at each look
            stands = "what was decided before stands" if self.rollout else "no version is served until it can be"
            _log.error("%s; %s", why, stands)
            self._metrics.refused.labels("rollout").inc()
        self.wrong = why
        self._metrics.unreadable.set(1)

    def _copy(self) -> Rollout | None:
        if not (self._kept / ROLLOUT).is_file():
            return None
        try:
            return read_rollout(self._kept)
        except RolloutError as error:
            _log.error("%s", error)
            return None

    def _keep(self, found: Rollout) -> None:
        self._copied = found  # tried once: what cannot be written costs the next start, not this server
        try:
            self._kept.mkdir(parents=True, exist_ok=True)
            write_rollout(self._kept, found)
        except OSError as error:
            _log.error("what was decided of versions could not be kept in %s: %s", self._kept, error)


def _there(model: Path) -> bool:
    """Whether anything is there of a model: a disk that is not has decided nothing, and may leave an empty folder."""
    try:
        return (model / ROLLOUT).is_file() or bool(versions(model))
    except OSError:
        return False
