"""`make bench-sequences DATA=... SEEDS=3`: leave-last-out on the MovieLens 1M sequence file, as many publish it.

Full ranking of 3,416 films for each of 6,040 users, what a user has taken filtered, the event before the last in the
history. Two fits of the same towers: the selected one learned from all but the last two events and was chosen on the
second last, as gSASRec, eSASRec and SASRec+ are; the refitted one went on with all but the last, as HSTU is trained.
The published figures are those of the papers; none is measured here. The configuration is configs/ml-1m-sequences.toml.
Whether the file, the protocol and the metrics are theirs is asked by `make bench-calibration`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipelines.dataset import load_dataset
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import rank_targets
from pipelines.progress import Progress
from pipelines.run import open_run, run_until
from pipelines.train import REFITTED, SELECTED, load_towers
from tests.bench.asked import Asked, spread
from tests.bench.harness import Row, bench

K = 10
Figures = dict[str, tuple[float, float]]  # HR@10 and NDCG@10 by fit
FITS = {SELECTED: "selected, all but the last two events", REFITTED: "refitted, all but the last event"}
PUBLISHED: dict[str, Figures] = {
    SELECTED: {"gSASRec": (0.300, 0.173), "eSASRec": (0.313, 0.177), "SASRec+": (0.321, 0.186)},
    REFITTED: {"HSTU-large": (0.329, 0.189)},
}
GOALS = (0.33, 0.19)


def measure(asked: Asked) -> list[Row]:
    """Fit with every seed, and rank the test requests with both fits."""
    found = [fitted(asked, seed) for seed in asked.seeds]
    return list(_rows(found))


def fitted(asked: Asked, seed: int, *overrides: str) -> Figures:
    """Fit, and rank the test requests with both fits."""
    config = asked.config("ml-1m-sequences", *overrides, seed=seed)
    work = open_run(config)
    folder = run_until(work, "train", Progress())
    dataset = load_dataset(config, work.folder / "prepare")
    requests, eligible = dataset.test_requests, dataset.eligible(dataset.cuts.test)
    figures: Figures = {}
    for which in FITS:
        vectors = load_towers(dataset, folder, which, dataset.cuts.test)
        lists = rank_targets(vectors.score, requests, K, eligible, dataset.filter_seen)
        metrics = per_request(lists, requests.targets, K)
        figures[which] = float(metrics["hit_rate"].mean()), float(metrics["ndcg"].mean())
    return figures


def _rows(found: list[Figures]) -> Iterator[Row]:
    for which, words in FITS.items():
        for place, (metric, goal) in enumerate(zip((f"HR@{K}", f"NDCG@{K}"), GOALS, strict=True)):
            values = [figures[which][place] for figures in found]
            published = ", ".join(f"{name} {of[place]:.3f}" for name, of in PUBLISHED[which].items())
            reference = "; ".join(filter(None, (published, spread(values))))
            mean = float(np.mean(values))
            yield Row(f"{words}: {metric}", mean, "", reference, f"at least {goal}", mean >= goal)


if __name__ == "__main__":
    bench("sequences", lambda: measure(Asked.of("data/ml-1m-sequences")))
