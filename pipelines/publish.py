"""Publishing: a gated bundle becomes the next version under its model's folder, whole or not at all.

A model with a second export, of core operations, has two such folders: `<root>/<name>` and `<root>/<name>-core`. A
version has one number in both. The second export is renamed first: where the first is, the second is.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.errors import UserError
from configs.load import parse
from serving.bundle import Bundle
from serving.golden import check_golden
from serving.manifest import MANIFEST, BundleError, seal_id, verify, versions

BUNDLE, CORE = "bundle", "bundle-core"  # folders of the export stage's result
_PARTIAL, _LEFT_BEHIND = ".partial-", 86_400  # seconds


class GateFailed(UserError):
    """A gate failed, so nothing was published."""


@dataclass(frozen=True)
class _Export:
    """A bundle that is to be the next version in a model's folder."""

    bundle: Path
    manifest: Mapping[str, Any]
    model: Path

    @property
    def newest(self) -> int:
        """The largest number there, 0 where there is none."""
        return max(versions(self.model), default=0)

    @property
    def stands(self) -> bool:
        """Whether the newest version is this bundle, with or without items that were upserted since."""
        return _is_whole(self.model / str(self.newest), self.manifest["id"])

    @property
    def number(self) -> int:
        """What it was published under, where it stands: a number before those of upserts, if that version is kept."""
        own = (number for number in versions(self.model) if seal_id(self.at(number)) == self.manifest["id"])
        return max(own, default=self.newest)

    def at(self, number: int) -> Path:
        """The folder of a version."""
        return self.model / str(number)


def publish(bundle: Path, root: Path, core: Path | None = None) -> Path:
    """Copy `bundle` to `root/<name>/<next version>`, and its second export `core`, where the manifest names one, to
    `root/<name>-core` under the same number; the newest version stays where it is if it is the same, with or without
    items that were upserted since.

    Before the renames that make them visible, the copies are held against their manifests and must answer their golden
    requests. Who is stopped between the two renames publishes again: what is missing gets the number of what is there.
    Raises: GateFailed, BundleError.
    """
    exports = _exports(bundle, root, core)
    if blocking := [one.manifest for one in exports if not one.manifest["publishable"]]:
        raise GateFailed(f"publish: nothing was published: {failures(blocking[-1]['verdicts'])}")
    for one in exports:
        _refuse_stranger(one)
    while (version := _place(exports)) is None:
        pass  # another publisher took the number in between
    return version


@contextmanager
def partial_version(model: Path) -> Iterator[Path]:
    """A folder in a model's own that no server reads, gone afterwards unless it was renamed to a version.

    What a process that was killed left behind goes too, once it is a day old.
    """
    for left in model.glob(f"{_PARTIAL}*"):
        with suppress(FileNotFoundError):  # its owner removes it just now
            if time.time() - left.stat().st_mtime > _LEFT_BEHIND:
                shutil.rmtree(left, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=model))
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def core_name(name: str) -> str:
    """What the second export of a model is called."""
    return f"{name}-core"


def core_version(version: Path) -> Path | None:
    """The newest version of the second export of a published model, whatever items were put into either since; None
    where there is none. Its number may be another, and a version of another export in its folder is passed over."""
    first = read_manifest(version)
    if not (name := first.get("core_export")):
        return None
    folder, of = version.parent.with_name(name), {"name": first["name"], "id": root_id(first)}
    own = (folder / str(number) for number in reversed(versions(folder)))
    return next((one for one in own if read_manifest(one).get("core_of") == of), None)


def read_manifest(version: Path) -> dict[str, Any]:
    """What a version's manifest says, held against nothing; empty where there is none to read."""
    try:
        said = json.loads((version / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def failures(verdicts: Sequence[Mapping[str, Any]]) -> str:
    """The verdicts that stand in the way, in one line."""
    blocking = [v for v in verdicts if v["status"] == "fail" or (v["slice"], v["status"]) == ("all", "cannot tell")]
    return "; ".join(
        f"{v['gate']} gate, {v['slice']}: {v['metric']} is {float(v['value']):+.3f} "
        f"[{float(v['low']):+.3f}, {float(v['high']):+.3f}], floor {float(v['floor']):+.3f} ({v['status']})"
        for v in blocking
    )


def root_id(manifest: Mapping[str, Any]) -> str:
    """The id of the bundle that items were put into first, or of this one where none were."""
    return manifest.get("upsert", {}).get("root", manifest["id"])


def _is_whole(version: Path, identity: str) -> bool:
    """Whether a version is the bundle of that id, or that with items put in since, with not a byte missing."""
    try:
        return root_id(verify(version)) == identity
    except BundleError:
        return False


def _exports(bundle: Path, root: Path, core: Path | None) -> list[_Export]:
    """What is to be published, the second export first. Raises: BundleError where the two are no pair."""
    manifest = verify(bundle)
    name = parse(manifest["config"], str(bundle / MANIFEST)).name  # a checked name: it becomes a path
    first = _Export(bundle, manifest, root / name)
    expected = manifest.get("core_export")
    if core is None or not core.is_dir():
        if expected is None:
            return [first]
        raise BundleError(f"publish: {bundle} has a second export, {expected}: found none, expected {core or CORE}")
    second = _Export(core, verify(core), root / core_name(name))
    found = second.manifest.get("core_of", {}).get("id")
    if (expected, found) != (core_name(name), manifest["id"]):
        raise BundleError(f"publish: {core} is the second export of {found}, expected that of {manifest['id']}")
    return [second, first]


def _refuse_stranger(export: _Export) -> None:
    """A folder may be a first export's or a second one's, as two models may be called `a` and `a-core`.

    Raises: BundleError.
    """
    try:
        there = json.loads((export.at(export.newest) / MANIFEST).read_text())
        found, expected = ((one.get("core_of") or {}).get("name") for one in (there, export.manifest))
    except (OSError, ValueError, AttributeError):
        return
    if found != expected:
        whose = [f"the second export of {name}" if name else "a model of its own" for name in (found, expected)]
        raise BundleError(f"publish: {export.model} holds {whose[0]}, expected {whose[1]}; change the config's name")


def _place(exports: Sequence[_Export]) -> Path | None:
    """Publish what does not stand yet; to the first export's version, or None where a number was taken meanwhile."""
    first, missing = exports[-1], [one for one in exports if not one.stands]
    if not missing:
        return first.at(first.newest)
    placed, number = _numbered(exports, missing)
    with ExitStack() as copies:
        ready = [(copies.enter_context(_checked_copy(one)), one.at(number)) for one in placed]
        if not all(_renamed(copy, target) for copy, target in ready):
            return None
    return first.at(number if first in placed else first.newest)


def _numbered(exports: Sequence[_Export], missing: Sequence[_Export]) -> tuple[Sequence[_Export], int]:
    """What to publish, and under which number: that of the export that stands, or else all of them under the next."""
    for standing in (one for one in exports if one not in missing):
        number = standing.number
        if all(number > one.newest and not one.at(number).exists() for one in missing):
            return missing, number
    number = max(one.newest for one in exports) + 1
    while any(one.at(number).exists() for one in exports):  # a file, which is no version
        number += 1
    return exports, number


@contextmanager
def _checked_copy(export: _Export) -> Iterator[Path]:
    """A copy under a temporary name in the model's folder, which is gone afterwards unless it was renamed."""
    export.model.mkdir(parents=True, exist_ok=True)
    with partial_version(export.model) as partial:
        shutil.copytree(export.bundle, partial, dirs_exist_ok=True)
        check_golden(Bundle(partial, verify(partial)))
        yield partial


def _renamed(copy: Path, target: Path) -> bool:
    """Whether the copy could be given a name that may have been taken meanwhile."""
    try:
        copy.rename(target)
    except OSError:
        if not target.exists():
            raise
        return False
    return True
