"""A publisher is killed at moments that nobody chose."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from serving.manifest import BundleError, verify, versions
from tests.bench.harness import Row
from tests.faults.scene import Scene, calling, failed
from tests.serving.server.running import Running

_OVER = 1.1  # some should be killed when all is done but the process's own end

# says when it begins: Python and its libraries take longer to start than a small bundle to publish
_CODE = """
import sys
from pathlib import Path
from pipelines.publish import publish
print("begins", flush=True)
publish(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def measure(scene: Scene, kills: int = 20, seed: int = 0) -> Iterator[Row]:
    """Kill publishers of the other bundle, each after another part of the time that one takes, and then let one end."""
    rng = random.Random(seed)
    torn = unanswered = stuck = placed = left = 0
    with scene.served("kills") as (running, model):
        under_way = calling(running, callers=2, rate=20)
        number, spent = 2, _published(scene, model, 2)
        running.ready(number)
        for kill in range(kills):
            _publisher(scene, model, number + 1, _OVER * spent * (kill + rng.random()) / kills)
            torn += _torn(model)
            if versions(model)[-1] > number:  # it came to its end before it was killed
                number, placed = number + 1, placed + 1
            unanswered += not _serves(running, number)
            left = len([*model.glob(".partial-*")])
            _published(scene, model, number + 1)
            number += 1
            stuck += versions(model)[-1] != number or not _serves(running, number)
        outcome = under_way.stop()
        refused = running.metric("twinspire_versions_refused")
    what = f"{kills} publishers killed"
    yield Row(f"{what}: versions that are not whole", torn, "", f"{placed} of them had renamed it", "0", torn == 0)
    yield Row(f"{what}: times that the version served was not the newest", unanswered, "", "", "0", unanswered == 0)
    yield Row(f"{what}: publishers after them that failed", stuck, "", f"beside {left} leftovers", "0", stuck == 0)
    yield Row(f"{what}: versions that the server refused", refused, "", "", "0", refused == 0)
    wrong = failed(outcome) + scene.wrong(outcome)
    yield Row(
        f"{what}: requests that failed, or were of another version", wrong, "", f"of {outcome.calls:,}", "0", wrong == 0
    )


def _published(scene: Scene, model: Path, number: int) -> float:
    """Publish what a version of that number is; seconds that it took."""
    begun = _begun(scene, model, number)
    started = time.perf_counter()
    if begun.wait():
        raise RuntimeError("a publisher failed; its error stands above")
    return time.perf_counter() - started


def _publisher(scene: Scene, model: Path, number: int, seconds: float) -> None:
    """One that is killed so many seconds after it began."""
    begun = _begun(scene, model, number)
    time.sleep(seconds)
    begun.kill()
    begun.wait()


def _begun(scene: Scene, model: Path, number: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _CODE, str(scene.bundle(number)), str(model.parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    return process


def _torn(model: Path) -> int:
    """Versions that are there and not whole."""
    return sum(not _whole(model / str(number)) for number in versions(model))


def _whole(version: Path) -> bool:
    try:
        verify(version)
    except BundleError:
        return False
    return True


def _serves(running: Running, number: int) -> bool:
    """Whether the server comes to answer by that version; an answer of another after that would be wrong."""
    try:
        running.ready(number)
    except AssertionError:
        return False
    return running.ask(user="u1")["version"] == number
