"""Publishing: a gated bundle becomes the next version under its model's folder, whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import UserError
from configs.load import parse
from serving.bundle import MANIFEST, Bundle, BundleError, check_golden, verify, versions


class GateFailed(UserError):
    """A gate failed, so nothing was published."""


def publish(bundle: Path, root: Path) -> Path:
    """Copy `bundle` to `root/<name>/<next version>`; the newest version stays where it is if it is the same, with or
    without items that were upserted since.

    Before the rename that makes it visible, the copy is held against its manifest and must answer its golden
    requests. Raises: GateFailed, BundleError.
    """
    manifest = verify(bundle)
    if not manifest["publishable"]:
        raise GateFailed(f"publish: nothing was published: {failures(manifest['verdicts'])}")
    model = root / parse(manifest["config"], str(bundle / MANIFEST)).name  # a checked name: it becomes a path
    model.mkdir(parents=True, exist_ok=True)
    if (existing := versions(model)) and _is_whole(model / str(existing[-1]), manifest["id"]):
        return model / str(existing[-1])
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=model))
    try:
        shutil.copytree(bundle, partial, dirs_exist_ok=True)
        check_golden(Bundle(partial, verify(partial)))
        return _rename(partial, model)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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


def _rename(partial: Path, model: Path) -> Path:
    """Give the copy the next free number; another publisher may take one in between."""
    number = max(versions(model), default=0)
    while True:
        number += 1
        target = model / str(number)
        try:
            partial.rename(target)
        except OSError:
            if not target.exists():
                raise
        else:
            return target
