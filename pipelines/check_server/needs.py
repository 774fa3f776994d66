"""What an export needs of a server."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.check_server.findings import Finding
from pipelines.check_server.saved_model import required
from serving.manifest import newest, verify

SCANN = "Scann>"  # what the names of ScaNN's operations begin with


@dataclass(frozen=True)
class Needs:
    """A bundle as a server meets it: its operations and the TensorFlow that wrote it.

    name: what a server calls the model. version: its number, None where the folder's name is none.
    """

    folder: Path
    name: str
    version: int | None
    manifest: dict[str, Any]
    operations: frozenset[str]
    tensorflow: str

    @property
    def searcher(self) -> str:
        """What finds its candidates."""
        return self.manifest["searcher"]

    @property
    def inputs(self) -> dict[str, set[str]]:
        """Names of the inputs of each signature."""
        return {name: set(table["inputs"]) for name, table in self.manifest["signatures"].items()}

    @property
    def scann(self) -> frozenset[str]:
        """Those of its operations that are ScaNN's."""
        return frozenset(name for name in self.operations if name.startswith(SCANN))


def read_needs(path: Path) -> Needs:
    """Of one version, or of the newest under a model's folder. Raises: BundleError."""
    folder = newest(path).resolve()
    manifest = verify(folder)
    operations, tensorflow = required(folder)
    numbered = re.fullmatch("[0-9]+", folder.name) is not None
    return Needs(
        folder=folder,
        name=folder.parent.name if numbered else manifest["name"],
        version=int(folder.name) if numbered else None,
        manifest=manifest,
        operations=operations,
        tensorflow=tensorflow,
    )


def described(needs: Needs) -> Finding:
    """What was read of the export."""
    count = f"{len(needs.operations)} operations"
    kind = f"{len(needs.scann)} of {count} are ScaNN's" if needs.scann else f"{count}, core TensorFlow alone"
    return Finding("export", "ok", f"searcher {needs.searcher}; {kind}; written by TensorFlow {needs.tensorflow}")
