"""What building an index takes, said before it is built, and refused where the machine has not got it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from configs.stages import Index
from serving.searchers import kind_of

# bytes at the peak of a build, times those of the vectors it is given, and of what is left of it: the best so far stays
# beside another layout
_BESIDE = {"exact": 2.1, "ivf": 3.4, "scann": 2.7}
_KEPT = {"exact": 1.0, "ivf": 1.1, "scann": 1.3}
_FILTERED = 1.05  # the vectors once more beside the index that is kept, to search it under filters
_LEARNED_ON = 250_000  # items at most, of which ScaNN holds three copies meanwhile
_SECONDS = {"exact": 0.0, "ivf": 40.0, "scann": 15.0}  # for a million items of 64 numbers, on two cores
_SHARDS = (1, 2, 4, 8, 16)  # tried in turn: more save little, as what is left of each stays
_MEMINFO = Path("/proc/meminfo")
_CGROUPS = Path("/proc/self/cgroup")
_CGROUP = Path("/sys/fs/cgroup")


class DoesNotFit(UserError):
    """An index needs more memory than there is."""


@dataclass(frozen=True)
class Estimate:
    """What building and tuning an index of a kind over so many items takes, in so many shards: bytes beside the
    vectors, and seconds for each layout that is built, of which tuning searches besides."""

    kind: str
    items: int
    width: int
    nbytes: int
    seconds: float
    shards: int = 1

    @property
    def words(self) -> str:
        """In one line."""
        parts = f" in {self.shards} shards" if self.shards > 1 else ""
        return f"about {_gigabytes(self.nbytes)} beside the vectors{parts}, and {self.seconds:,.0f} s for each layout"


def estimate(
    kind: str,
    items: int,
    width: int,
    builds: int,
    then: str | None = None,
    shards: int = 1,
    filtered: bool = False,
) -> Estimate:
    """For `items` vectors of `width` float32; kind as `build_searcher` has it, builds: layouts tried at most; then: a
    second searcher that is built while the first one is held; shards: parts that each is built in; filtered: whether
    recall is measured under filters too."""
    kind = kind_of(kind, items)
    shards = 1 if kind == "exact" else shards
    vectors = 4 * items * width
    held = _KEPT[kind] if builds > 1 else 0.0
    seconds = _SECONDS[kind] * items * width / (1e6 * 64)
    sample = 3 * 4 * min(items // shards, _LEARNED_ON) * width if kind == "scann" else 0
    second = round((_KEPT[kind] + _building(then, shards)) * vectors) if then else 0
    first = round((_building(kind, shards) + held) * vectors) + sample
    under_filters = round((_KEPT[kind] + _FILTERED) * vectors) if filtered and kind != "exact" else 0
    return Estimate(kind, items, width, max(first, second, under_filters), seconds, shards)


def _building(kind: str, shards: int) -> float:
    """Times the vectors' bytes: the last shard while it is built, and what is left of the others."""
    if kind == "exact":  # has none
        return _BESIDE[kind]
    return (_BESIDE[kind] + (shards - 1) * _KEPT[kind]) / shards


def fitting(asked: Index, items: int, width: int, then: str | None, filtered: bool, free: int) -> Estimate:
    """What building the index that is asked for takes, in as few shards as fit where no number of them is asked for.

    then, filtered: as `estimate` has them; free: bytes. Raises: DoesNotFit.
    """
    wanted = [
        estimate(asked.searcher, items, width, asked.builds, then, shards, filtered)
        for shards in ((asked.shards,) if asked.shards else _SHARDS)
    ]
    found = next((one for one in wanted if one.nbytes <= free), wanted[-1])
    refuse_what_does_not_fit(found, free, "index.shards = 0, " if asked.shards else "")
    return found


def refuse_what_does_not_fit(wanted: Estimate, free: int, remedy: str = "") -> None:
    """`free`: bytes; remedy: a setting that may help too. Raises: DoesNotFit where the build needs more."""
    if wanted.nbytes > free:
        raise DoesNotFit(
            f"index: {wanted.kind} over {wanted.items:,} items of {wanted.width} numbers needs {wanted.words}; "
            f"{_gigabytes(free)} are free: set {remedy}index.core_ops = false, index.builds = 1 or a smaller "
            "towers.embedding_dim, or take a larger machine"
        )


def free_memory() -> int:
    """Bytes that this process may still take: what the machine has left, or the control group that it is in."""
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    left = 1024 * int(fields["MemAvailable"].split()[0])
    for folder, most, used in _groups():
        if (folder / most).is_file():
            left = min(left, _left(folder, most, used))
    return left


def _groups() -> Iterator[tuple[Path, str, str]]:
    """Folders of this process's control group and those above it, and their files of the most and of what is used."""
    for line in _CGROUPS.read_text().splitlines() if _CGROUPS.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        root = _CGROUP / controllers
        inside = root / path.lstrip("/")
        yield from ((folder, *names) for folder in (inside, *inside.parents) if folder.is_relative_to(root))


def _left(folder: Path, most: str, used: str) -> int:
    """What a group leaves; what it keeps of files that nobody reads now counts as free."""
    limit = (folder / most).read_text().strip()
    if limit == "max":
        return sys.maxsize
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    idle = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    return max(0, int(limit) - int((folder / used).read_text()) + idle)


def _gigabytes(nbytes: int) -> str:
    return f"{nbytes / 1e9:.1f} GB"
