"""Recall against queries a second of ScaNN as twinspire builds it, of FAISS and of brute force: two parts of
`make bench-index`, of clustered vectors and of real ones. Run as `python -m tests.bench.index_frontier ITEMS SECONDS
[FILE]`, it prints rows as JSON.

Each index has its settings found on tuning queries: efforts are climbed in steps of 1.4 for every layout and depth, and
around each recall asked for the least effort that reaches it is found by bisection. There the time of the processor
counts, which other work on the machine hardly changes. What is quickest then is measured on held-out queries by the
clock, in batches on one thread, three times by turns; medians count, and nothing is interpolated.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipelines.index.overlap import overlap_by_row
from pipelines.index.truth import best_rows
from pipelines.progress import Progress
from tests.bench import index_peers as peers
from tests.bench.harness import Row
from tests.bench.index_parts import ONE_THREAD, tell
from tests.bench.index_peers import Index
from tests.bench.tradeoff import Point, dominated, fastest, frontier
from tests.bench.vectors import clustered, near

K, TUNING, HELD_OUT, REPEATS = 100, 1_000, 2_000, 3
RECALLS = (0.90, 0.95, 0.979, 0.99, 0.995)
SLACK = 0.05  # speed that may be lacking
_STEP = 1.4  # from one effort to the next
_REFINED = 2  # layouts and depths that are refined for each recall
_LEFT = 2  # settings measured on held-out queries for each recall and margin
_MARGINS = (0, 2)  # standard errors above a recall: what just reaches it here may not do so elsewhere
_FLAT = 0.0005  # gain in recall below which more effort is idle


@dataclass(frozen=True)
class Setting:
    """An index, and how much of it is searched."""

    index: Index
    effort: int
    depth: int

    @property
    def words(self) -> str:
        """In a few words."""
        exactly = f", {self.depth:,} scored exactly" if self.depth else ""
        return f"{self.index.layout}, {self.effort:,} {self.index.unit}{exactly}"


@dataclass(frozen=True)
class Trial(Point):
    """One measurement of a setting: the standard error of its recall, and seconds of the processors in a second."""

    setting: Setting
    error: float
    busy: float


@dataclass(frozen=True)
class Work:
    """Queries [Q, D], what exact search finds for them [Q, k], and whether speed goes by the processor's time."""

    queries: np.ndarray
    truth: np.ndarray
    processor: bool = False

    @classmethod
    def of(cls, queries: np.ndarray, items: np.ndarray, k: int, processor: bool = False) -> Work:
        """With the truth found by scoring all items."""
        return cls(queries, best_rows(queries, items, k), processor)

    def measure(self, setting: Setting) -> Trial:
        """Search for all queries at once."""
        queries, truth = self.queries[: setting.index.queries], self.truth[: setting.index.queries]
        started, used = time.perf_counter(), time.process_time()
        rows, scores = setting.index.search(queries, setting.effort, setting.depth)
        spent, used = time.perf_counter() - started, time.process_time() - used
        found = np.where(np.isnan(scores), -1, np.asarray(rows).astype(np.int64))  # how ScaNN says "nothing"
        recalls = overlap_by_row(found, truth)
        error = float(recalls.std() / np.sqrt(len(recalls)))
        speed = len(queries) / (used if self.processor else spent)
        return Trial(float(recalls.mean()), speed, setting, error, used / spent)


def measure(
    items: np.ndarray, queries: np.ndarray, what: str, seconds: float, progress: Progress, k: int = K
) -> Iterator[Row]:
    """Rows for items [N, D] and queries [Q, D], of which every third tunes; `seconds` bounds the build of a graph."""
    tuning, held_out = queries[::3][:TUNING], np.delete(queries, np.s_[::3], axis=0)[:HELD_OUT]
    progress.say(f"{what}: exact search for {len(tuning) + len(held_out):,} queries")
    choosing, judging = Work.of(tuning, items, k, processor=True), Work.of(held_out, items, k)
    builds: dict[str, list[float]] = {}
    left: dict[str, list[Setting]] = {}
    for peer, indexes in contenders(items, k, seconds, progress).items():
        builds[peer] = []
        trials: list[Trial] = []
        for index in indexes:
            builds[peer].append(index.seconds)
            trials += climbed(index, choosing, trials)
            progress.say(f"{what}: {peer}, {index.layout}: built in {index.seconds:.1f} s, {len(trials)} settings")
        if not trials:
            yield Row(f"{what}: {peer}", 0, "builds", f"not measured: {seconds:g} s were too few to build it")
            continue
        trials += refined(trials, choosing)
        left[peer] = shortlist(trials)
        words = f"{len(builds[peer])} layouts, all cores; {len(trials)} settings tried on {len(tuning):,} queries"
        yield Row(f"{what}: {peer}, builds", sum(builds[peer]), "s", words)
        del trials, indexes
        gc.collect()  # what is not measured any further makes room
    if find_spec("faiss") is None:
        yield Row(f"{what}: FAISS", 0, "builds", "not installed: pip install 'twinspire[baselines]'")
    progress.say(f"{what}: {sum(map(len, left.values()))} settings on {len(held_out):,} held-out queries")
    yield from judged(by_turns(left, judging), what)


def contenders(items: np.ndarray, k: int, seconds: float, progress: Progress) -> dict[str, Iterable[Index]]:
    """Indexes by peer, built as they are asked for."""
    found: dict[str, Iterable[Index]] = {
        peers.OURS: peers.scann_indexes(items, k),
        peers.BRUTE_FORCE: peers.brute_force_indexes(items, k),
    }
    if find_spec("faiss") is not None:
        found[peers.FLAT] = peers.flat_indexes(items, k)
        found[peers.FAST_SCAN] = peers.fast_scan_indexes(items, k)
        found[peers.GRAPH] = peers.graph_indexes(items, k, seconds, progress)
    return found


def climbed(index: Index, work: Work, known: Sequence[Trial]) -> list[Trial]:
    """More and more effort at every depth, until the last recall is reached, more is idle, or what is `known` to reach
    it is quicker."""
    trials: list[Trial] = []
    for depth in index.depths:
        climb: list[Trial] = []
        for effort in ladder(index.efforts):
            climb.append(work.measure(Setting(index, effort, depth)))
            best = fastest([*known, *trials], RECALLS[-1])
            if climb[-1].recall - _MARGINS[-1] * climb[-1].error >= RECALLS[-1]:
                break
            if best is not None and all(trial.speed * (1 + SLACK) < best.speed for trial in climb[-2:]):
                break
            if len(climb) > 3 and climb[-1].recall < climb[-3].recall + _FLAT:
                break
        trials += climb
    return trials


def ladder(efforts: range) -> list[int]:
    """From the least to the most, each 1.4 times the last or one more."""
    steps = [efforts[0]]
    while steps[-1] < efforts[-1]:
        steps.append(min(max(steps[-1] + 1, round(_STEP * steps[-1])), efforts[-1]))
    return steps


def refined(trials: Sequence[Trial], work: Work) -> list[Trial]:
    """For each recall and margin, the least effort that reaches it, of the layouts and depths that seem quickest."""
    found: dict[Setting, Trial] = {trial.setting: trial for trial in trials}

    def tried(setting: Setting) -> Trial:
        if setting not in found:
            found[setting] = work.measure(setting)
        return found[setting]

    for recall, margin in itertools.product(RECALLS, _MARGINS):
        reach = [trial for trial in trials if trial.recall - margin * trial.error >= recall]
        quickest: dict[tuple[int, int], Trial] = {}
        for trial in sorted(reach, key=lambda trial: trial.setting.effort, reverse=True):
            quickest[id(trial.setting.index), trial.setting.depth] = trial  # the least effort comes last
        for trial in sorted(quickest.values(), key=lambda trial: -trial.speed)[:_REFINED]:
            index, depth = trial.setting.index, trial.setting.depth
            below = [step for step in ladder(index.efforts) if step < trial.setting.effort]
            low, high = (below[-1] + 1 if below else trial.setting.effort), trial.setting.effort
            while low < high:
                middle = (low + high) // 2
                one = tried(Setting(index, middle, depth))
                low, high = (low, middle) if one.recall - margin * one.error >= recall else (middle + 1, high)
    return [trial for setting, trial in found.items() if setting not in {trial.setting for trial in trials}]


def shortlist(trials: Sequence[Trial]) -> list[Setting]:
    """The quickest that reach each recall, as measured and with a margin; of those that reach none, the best."""
    chosen: dict[Setting, None] = {}
    for recall, margin in itertools.product(RECALLS, _MARGINS):
        reach = [trial for trial in trials if trial.recall - margin * trial.error >= recall]
        chosen |= dict.fromkeys(trial.setting for trial in sorted(reach, key=lambda trial: -trial.speed)[:_LEFT])
    return list(chosen) or [max(trials, key=lambda trial: trial.recall).setting]


def by_turns(settings: dict[str, list[Setting]], work: Work) -> dict[str, list[Trial]]:
    """Median speed of each setting, by turns, so that a machine that is busy for a while is so for all."""
    order = [one for turn in itertools.zip_longest(*settings.values()) for one in turn if one is not None]
    runs = [[work.measure(setting) for setting in order] for _ in range(REPEATS)]
    medians: dict[str, list[Trial]] = {peer: [] for peer in settings}
    for trials in zip(*runs, strict=True):
        speed, busy = (statistics.median(getattr(trial, name) for trial in trials) for name in ("speed", "busy"))
        one = trials[0]
        medians[one.setting.index.peer].append(Trial(one.recall, speed, one.setting, one.error, busy))
    return medians


def judged(trials: dict[str, list[Trial]], what: str) -> Iterator[Row]:
    """What each peer has to offer at every recall, and whether ours holds its own."""
    ours = trials[peers.OURS]
    rivals = [trial for peer in peers.FAISS for trial in trials.get(peer, [])]
    for recall in RECALLS:
        for peer, tried in trials.items():
            best = fastest(tried, recall)
            reference = f"recall {best.recall:.4f}: {best.setting.words}" if best else "not reached"
            yield Row(f"{what}, recall {recall:g}: {peer}", best.speed if best else 0, "queries/s", reference)
        if rivals:
            yield against(fastest(ours, recall), fastest(rivals, recall), f"{what}, recall {recall:g}")
    if rivals:
        own = [point for point in frontier(ours) if RECALLS[0] <= point.recall <= RECALLS[-1]]
        outdone = len(dominated(own, rivals, SLACK))
        words = f"of {len(own)} on the frontier between {RECALLS[0]:g} and {RECALLS[-1]:g}, by more than {SLACK:.0%}"
        yield Row(f"{what}: settings of ours that FAISS dominates", outdone, "", words, "0", outdone == 0)
    busy = [trial.busy for tried in trials.values() for trial in tried]
    words = f"largest of {len(busy)} settings; the least {min(busy):.2f}, below 1 as far as other work was in the way"
    yield Row(f"{what}: cores at work", max(busy), "", words, f"at most {ONE_THREAD}", max(busy) <= ONE_THREAD)


def against(own: Trial | None, rival: Trial | None, what: str) -> Row:
    """Ours beside the quickest of FAISS."""
    name = f"{what}: ours / the best of FAISS"
    goal = f"at least {1 - SLACK:g}"
    if own is None:
        return Row(name, 0, "times", "ours does not reach it", goal, False)
    if rival is None:
        return Row(name, 0, "times", "no FAISS index reaches it", goal, True)
    ratio = own.speed / rival.speed
    return Row(name, ratio, "times", rival.setting.index.peer, goal, ratio >= 1 - SLACK)


def main(size: str, seconds: str, file: str | None = None) -> None:
    """Print the rows of clustered vectors, or of those in a file."""
    progress = Progress()
    if file is None:
        rng = np.random.default_rng(0)
        items, _ = clustered(rng, int(size))
        queries = near(rng, items[rng.integers(0, len(items), 3 * max(TUNING, HELD_OUT // 2))])
        what = f"{len(items):,} clustered"
    else:
        with np.load(file, allow_pickle=False) as saved:
            items, queries = (np.ascontiguousarray(saved[name], np.float32) for name in ("items", "queries"))
        what = f"{len(items):,} of {Path(file).stem}"
    for row in measure(items, queries, what, float(seconds), progress):
        tell(row)


if __name__ == "__main__":
    main(*sys.argv[1:])
