"""The core-ops export of a model: where it stands, and whether it has had the same upserts."""

from __future__ import annotations

from typing import Any

from pipelines.check_server.findings import Finding, named
from pipelines.check_server.needs import Needs, read_needs
from pipelines.publish import core_version, read_manifest
from serving.manifest import BundleError, versions

_COUNTS = ("added", "changed", "removed")  # what two exports of one model must agree in after the same upsert
Counts = tuple[Any, ...]


def read_core(needs: Needs) -> tuple[Needs | None, Finding | None]:
    """The core-ops export of a model whose own has ScaNN's operations, and how it stands; else None."""
    if not needs.scann:
        return None, None
    if (folder := core_version(needs.folder)) is None:
        return None, Finding("core export", "missing", _absent(needs))
    try:
        core = read_needs(folder)
    except BundleError as error:
        return None, Finding("core export", "missing", str(error))
    if core.scann:
        return None, Finding("core export", "missing", f"{folder} holds {named(core.scann)} too")
    apart = _apart(needs, core)
    found = f"{folder}, searcher {core.searcher}" + (f"; {apart}" if apart else "")
    return core, Finding("core export", "cannot tell" if apart else "ok", found)


def _absent(needs: Needs) -> str:
    name = needs.manifest.get("core_export")
    return f"there is none of it in {needs.folder.parent.with_name(name)}" if name else "it was exported without one"


def _apart(first: Needs, core: Needs) -> str:
    """How the upserts of two exports differ, and what to do; empty where they do not.

    Manifests tell how many there were and how many items each concerned, not which: what agrees may yet differ.
    """
    (ours, whole), (its, known) = _upserts(first), _upserts(core)
    same = first.manifest["items"] == core.manifest["items"]
    if not (whole and known):
        if same and all(one == other for one, other in zip(ours, its, strict=False)):
            return "whether it has had the same upserts cannot be told: not every version in between was kept"
        return "it has not had the same upserts"
    if same and ours == its:
        return ""
    if len(ours) == len(its):
        return f"it has not had the same upserts: {len(its)} too, but of other items"
    behind = core if len(its) < len(ours) else first
    said = f"it has not had the same upserts ({len(its)}, the first export {len(ours)})"
    if behind.version != max(versions(behind.folder.parent), default=None):
        return f"{said}: {behind.folder} is not the newest version there"
    return f"{said}: run `twinspire upsert {behind.folder.parent}` too"


def _upserts(needs: Needs) -> tuple[list[Counts], bool]:
    """The counts of each upsert since the export, the newest first; and whether all of them are known, as they are
    where the versions in between are kept."""
    kept = {one.get("id"): one for one in map(read_manifest, needs.folder.parent.glob("[0-9]*"))}
    found, manifest = [], needs.manifest
    while done := manifest.get("upsert"):
        found.append(tuple(done.get(name) for name in _COUNTS))
        if (manifest := kept.pop(done["onto"], {})) == {}:
            return found, False
    return found, True
