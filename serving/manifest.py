"""The manifest: what a bundle is, and a sha256 of every file, so that a damaged or mixed one is refused.

A model's folder holds versions, each in a folder named by its number; the manifest is written last.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Set
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from configs.errors import UserError
from configs.load import digest

MANIFEST = "manifest.json"
_NUMBER = re.compile("0|[1-9][0-9]*")
Files = Mapping[str, Mapping[str, Any]]  # sha256 and bytes by path


class BundleError(UserError):
    """A bundle cannot be used: it is missing, changed, incomplete, or of another version."""


def versions(model: Path) -> list[int]:
    """Version numbers under a model's folder, ascending."""
    if not model.is_dir():
        return []
    return sorted(int(path.name) for path in model.iterdir() if _NUMBER.fullmatch(path.name) and path.is_dir())


def newest(path: Path) -> Path:
    """`path` itself when it is a version, else its newest version. Raises: BundleError."""
    if (path / MANIFEST).is_file():
        return path
    if found := versions(path):
        return path / str(found[-1])
    raise BundleError(f"bundle: {path} is no bundle; expected a folder with {MANIFEST}, or one with numbered versions")


def seal(folder: Path, facts: Mapping[str, Any], known: Files = MappingProxyType({})) -> None:
    """Write the manifest of a finished folder: `facts`, size and sha256 of every file, and a hash of all that.

    known: what `described` said already of some of the files.
    """
    files = {**described(folder, set(known)), **known}
    sealed = {**facts, "files": dict(sorted(files.items()))}
    (folder / MANIFEST).write_text(json.dumps({**sealed, "id": _identity(sealed)}, indent=1, allow_nan=False) + "\n")


def described(folder: Path, but: Set[str] = frozenset()) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file by its path from the folder, but for the manifest and those of the paths `but`."""
    files = {str(path.relative_to(folder)): path for path in _files(folder)}
    return {name: _described(path) for name, path in files.items() if name not in but}


def verify(folder: Path) -> dict[str, Any]:
    """The manifest, after every file was held against it. Raises: BundleError that names the first difference."""
    manifest = manifest_of(folder)
    hold_against(folder, manifest)
    return manifest


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest, held against its own hash alone. Raises: BundleError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        identity, found = _identity(manifest), manifest.get("id")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _unreadable(folder, error) from None
    if identity != found:
        raise BundleError(f"bundle: {folder / MANIFEST} was changed: found id {found!r}, expected {identity!r}")
    return manifest


def hold_against(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Hold every file against what a manifest says. Raises: BundleError that names the first difference."""
    try:
        expected = {name: (said["sha256"], said["bytes"]) for name, said in manifest["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise _unreadable(folder, error) from None
    found = {str(path.relative_to(folder)): path for path in _files(folder)}
    for name, (_, size) in expected.items():  # sizes first: a folder that is being copied costs no reading of gigabytes
        if name not in found:
            raise BundleError(f"bundle: {folder} lacks {name}, which its manifest lists")
        if (actual := found[name].stat().st_size) != size:
            raise BundleError(f"bundle: {found[name]} was changed: found {actual} bytes, expected {size}")
    if extra := sorted(set(found) - set(expected)):
        raise BundleError(f"bundle: {folder} holds {extra[0]}, which its manifest does not list")
    for name, (sha256, size) in expected.items():
        described = _described(found[name])
        if (described["sha256"], described["bytes"]) != (sha256, size):
            raise BundleError(
                f"bundle: {found[name]} was changed: found sha256 {described['sha256'][:12]}... of "
                f"{described['bytes']} bytes, expected {sha256[:12]}... of {size}"
            )


def _unreadable(folder: Path, error: Exception) -> BundleError:
    return BundleError(f"bundle: {folder / MANIFEST} cannot be read: {error!r}")


def seal_id(folder: Path) -> str | None:
    """The id of a bundle by its manifest; None where there is none to read."""
    try:
        return json.loads((folder / MANIFEST).read_text())["id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def stamp(folder: Path) -> str:
    """What changes when a file of a folder comes, goes, or is written or replaced, without reading any: for who waits
    for a change. Not when contents were made, which a copy keeps; and a file that is gone may leave its number to
    another one."""
    found = []
    for path in sorted(folder.rglob("*")):
        with suppress(OSError):  # gone meanwhile
            said = path.stat()
            found.append((str(path), said.st_ctime_ns, said.st_ino, said.st_size))
    return digest(found)


def _identity(manifest: Mapping[str, Any]) -> str:
    """Hash of everything a manifest says but its id."""
    said = {key: value for key, value in manifest.items() if key != "id"}
    return digest(json.loads(json.dumps(said)))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _described(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}
