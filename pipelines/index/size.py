"""What building an index takes, said before it is built, and refused where the machine has not got it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.errors import UserError
from serving.searchers import kind_of

# bytes at the peak of a build, times those of the vectors it is given, and of what is left of it: the best so far stays
# beside another layout
_BESIDE = {"exact": 2.1, "ivf": 3.4, "scann": 2.7}
_KEPT = {"exact": 1.0, "ivf": 1.1, "scann": 1.3}
_LEARNED_ON = 250_000  # items at most, of which ScaNN holds three copies meanwhile
_SECONDS = {"exact": 0.0, "ivf": 40.0, "scann": 15.0}  # for a million items of 64 numbers, on two cores
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Estimate:
    """What building and tuning an index of a kind over so many items takes: bytes beside the vectors, and seconds for
    each layout that is built, of which tuning searches besides."""

    kind: str
    items: int
    width: int
    nbytes: int
    seconds: float

    @property
    def words(self) -> str:
        """In one line."""
        return f"about {_gigabytes(self.nbytes)} beside the vectors, and {self.seconds:,.0f} s for each layout"


def estimate(kind: str, items: int, width: int, builds: int) -> Estimate:
    """For `items` vectors of `width` float32; kind as `build_searcher` has it, builds: layouts tried at most."""
    kind = kind_of(kind, items)
    vectors = 4 * items * width
    held = _KEPT[kind] if builds > 1 else 0.0
    seconds = _SECONDS[kind] * items * width / (1e6 * 64)
    sample = 3 * 4 * min(items, _LEARNED_ON) * width if kind == "scann" else 0
    return Estimate(kind, items, width, round((_BESIDE[kind] + held) * vectors) + sample, seconds)


def refuse_what_does_not_fit(wanted: Estimate, free: int) -> None:
    """`free`: bytes. Raises: UserError where the build needs more."""
    if wanted.nbytes > free:
        raise UserError(
            f"index: {wanted.kind} over {wanted.items:,} items of {wanted.width} numbers needs {wanted.words}; "
            f"{_gigabytes(free)} are free: set index.builds = 1 or a smaller towers.embedding_dim, or take a larger "
            "machine"
        )


def free_memory() -> int:
    """Bytes that this process may still take: what the machine has left, or the group of processes that it is in."""
    fields = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines())
    left = 1024 * int(fields["MemAvailable"].split()[0])
    try:
        most, used = ((_CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return left  # no control groups, or those of version 1
    return left if most == "max" else min(left, max(0, int(most) - int(used)))


def _gigabytes(nbytes: int) -> str:
    return f"{nbytes / 1e9:.1f} GB"
