"""Every file of a bundle is damaged, and must be refused."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.bench.harness import Row
from tests.faults.scene import Scene, calling, failed
from tests.serving.server.running import Running


def flip(file: Path, rng: random.Random) -> None:
    """Another value of one bit, or one where there is none."""
    found = bytearray(file.read_bytes() or b"\0")
    found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    file.write_bytes(found)


def cut(file: Path, rng: random.Random) -> None:
    """Without some of its end; an empty file, which has none, gets a byte."""
    found = file.read_bytes()
    file.write_bytes(found[: rng.randrange(len(found))] if found else b"\0")


def lose(file: Path, rng: random.Random) -> None:
    """Not there."""
    file.unlink()


DAMAGES: dict[str, Callable[[Path, random.Random], None]] = {"bit flip": flip, "truncation": cut, "deletion": lose}


def measure(scene: Scene, flips: int = 3, seed: int = 0) -> Iterator[Row]:
    """Publish the other bundle with one file damaged, again and again; flips: of each file, at other places."""
    rng, served = random.Random(seed), 0
    tried = dict.fromkeys(DAMAGES, 0)
    with scene.served("damage") as (running, model):
        under_way = calling(running, callers=1, rate=20)
        files = sorted(path.relative_to(scene.even) for path in scene.even.rglob("*") if path.is_file())
        for name, damage in DAMAGES.items():
            for file in files * (flips if name == "bit flip" else 1):
                refused = running.metric("twinspire_versions_refused", reason="damaged")
                _publish_damaged(scene, model, lambda path, do=damage: do(path, rng), file)
                tried[name] += 1
                served += not _refused(running, refused + 1)
                shutil.rmtree((model / "2").rename(model / ".gone"))
                running.until(lambda: len(running.status()["versions"]) == 1, "the next")
        outcome = under_way.stop()
    total = sum(tried.values())
    what = f"{len(files)} files of a bundle, {', '.join(f'{count} x {name}' for name, count in tried.items())}"
    yield Row(f"{what}: refused", total - served, "", f"of {total}", "all", served == 0)
    wrong = failed(outcome) + scene.wrong(outcome) + sum(version != 1 for _, version, _, _, _ in outcome.answers)
    yield Row(
        "meanwhile, requests that the old version did not answer", wrong, "", f"of {outcome.calls:,}", "0", wrong == 0
    )


def _publish_damaged(scene: Scene, model: Path, damage: Callable[[Path], None], file: Path) -> None:
    partial = Path(shutil.copytree(scene.even, model / ".partial-2"))
    damage(partial / file)
    partial.rename(model / "2")


def _refused(running: Running, times: float) -> bool:
    """Whether it comes to be refused, and is not served."""
    state = {"state": ""}

    def over() -> bool:
        state.update(next((one for one in running.status()["versions"] if one["number"] == 2), {}))
        return state["state"] in ("END", "AVAILABLE")

    running.until(over, "a word on version 2")
    counted = running.metric("twinspire_versions_refused", reason="damaged") == times
    return state["state"] == "END" and counted and running.client.get("/readyz").json()["version"] == 1
