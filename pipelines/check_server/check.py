"""The preflight of one export and one target."""

from __future__ import annotations

from pathlib import Path

from pipelines.check_server.binary import check_binary
from pipelines.check_server.core import read_core
from pipelines.check_server.findings import Outcome, Preflight, PreflightError, named
from pipelines.check_server.needs import Needs, described, read_needs
from pipelines.check_server.rest import check_url
from pipelines.check_server.runtime import check_runtime

_MAKE_CORE = 'run again with index.core_ops = true, which exports it a second time, or with index.searcher = "ivf"'


def check_server(bundle: Path, target: str | None = None) -> Preflight:
    """Whether a target can load an export, and which one it can load where not.

    bundle: a version, or a model's folder of versions. target: a URL of TF Serving's REST API, a server's binary or a
    shared library, or None for this machine's own runtime.
    Raises: BundleError, PreflightError.
    """
    needs = read_needs(bundle)
    core, beside = read_core(needs)
    found = _outcome(needs, core, target)
    findings = [described(needs), *found.findings, *([beside] if beside else [])]
    return Preflight(findings, found.loads, found.why, _following(needs, core, found))


def _outcome(needs: Needs, core: Needs | None, target: str | None) -> Outcome:
    if target is None:
        return check_runtime(needs)
    scheme, separator, _ = target.partition("://")
    if separator and scheme not in ("http", "https"):
        raise PreflightError(f"check-server: found {target!r}, expected a URL of http or https, or a file")
    return check_url(target, needs) if separator else check_binary(Path(target), needs, core)


def _following(needs: Needs, core: Needs | None, found: Outcome) -> str:
    """What to do next."""
    second = f"serve the core-ops export {core.folder}" if core else _without_core(needs)
    if found.loads:
        return f"serve {needs.folder}" + (f"; for a server without ScaNN, {second}" if needs.scann else "")
    if found.retry:
        return found.retry
    needed = core.operations if core else needs.operations - needs.scann
    if older := found.lacks & needed:
        wrote = core.tensorflow if core else needs.tensorflow
        return f"use a server that has {named(older)} too: TensorFlow {wrote} or later"
    return second if needs.scann else f"publish {needs.name} again"


def _without_core(needs: Needs) -> str:
    """How to come by a core-ops export: the switch does not help who has set it."""
    name = needs.manifest.get("core_export")
    return f"publish {needs.name} again, with its second export {name}" if name else _MAKE_CORE
