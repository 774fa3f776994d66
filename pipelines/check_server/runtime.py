"""This machine's own runtime: the bundle is really loaded, and really asked."""

from __future__ import annotations

import multiprocessing
import signal
from importlib.metadata import version
from multiprocessing.connection import Connection

from pipelines.check_server.cpu import cpu_features
from pipelines.check_server.findings import Finding, Outcome, outdated, unregistered
from pipelines.check_server.needs import Needs
from pipelines.check_server.versions import compared
from serving.bundle import Bundle
from serving.golden import check_golden
from serving.manifest import BundleError
from serving.runtime import RuntimeFailure, Session

_PATIENCE = 600.0  # seconds to load a model and to answer


def check_runtime(needs: Needs) -> Outcome:
    """Load the bundle through TensorFlow's C API, the loader that TF Serving uses, with ScaNN's op library and without.

    Each time in a process of its own: an illegal instruction would take this one along, and an operation that has
    been registered stays so.
    """
    findings = [compared(version("tensorflow"), needs.tensorflow)]
    if needs.scann:
        findings.append(cpu_features())
    failed = in_child(needs, golden=True)
    good = "it loads, and answers its golden requests as recorded"
    findings.append(Finding("load", "missing", failed) if failed else Finding("load", "ok", good))
    without = in_child(needs, golden=False) if needs.scann else ""
    if without:
        said = without.partition(" in binary running")[0]
        findings.append(Finding("stock server", "missing", f"without ScaNN's op library: {said}"))
    if failed:
        why = f"this machine cannot load it: {failed}"
        retry = f"use TensorFlow {needs.tensorflow} or later" if outdated(failed) else ""
        return Outcome(findings, False, why, unregistered(failed), retry)
    return Outcome(findings, True, "this machine can load it" + (", a stock server cannot" if without else ""))


def in_child(needs: Needs, golden: bool, timeout: float = _PATIENCE) -> str:
    """What goes wrong when a new process loads a bundle, empty where nothing does; `timeout` in seconds.

    golden: with the op library that its manifest asks for, and its golden requests answered; else without any library.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_report, args=(sender, needs, golden), daemon=True)
    child.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            return f"it did not answer within {timeout:.0f} seconds"
        return receiver.recv()
    except EOFError:
        child.join()
        return f"the process that loaded it died: {_cause(child.exitcode)}"
    finally:
        child.kill()
        child.join()


def _report(sender: Connection, needs: Needs, golden: bool) -> None:
    """Runs in the child."""
    try:
        if golden:
            check_golden(Bundle(needs.folder, needs.manifest))
        else:
            Session(needs.folder, needs.manifest["signatures"]).close()
        sender.send("")
    except (BundleError, RuntimeFailure) as error:
        sender.send(str(error))


def _cause(code: int | None) -> str:
    try:
        return signal.Signals(-(code or 0)).name
    except ValueError:
        return f"exit {code}"
