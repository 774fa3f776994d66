"""The popular items of the version that was served last, kept for when none is: a server that starts again beside an
empty folder of models still has something to answer."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from serving.manifest import BundleError
from serving.popular import Popular, read_popular

_log = logging.getLogger("twinspire.spare")


class Spare:
    """Popular items in a file of the server's own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self.popular = read_popular(path)
        except BundleError as error:
            _log.error("%s", error)
            self.popular = None

    def keep(self, popular: Popular | None, file: Path) -> None:
        """Keep these instead, which were read from a file. One that cannot be copied costs the next start, not this
        server."""
        if popular is None or popular is self.popular:
            return
        self.popular = popular
        partial = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            shutil.copyfile(file, partial)  # not written anew: all others would wait for it
            os.replace(partial, self._path)
        except OSError as error:
            _log.error("popular items could not be kept in %s: %s", self._path, error)
