"""The gate stage: candidate recall of the refitted towers against the best popularity, overall and by slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from configs.schema import Config
from pipelines.candidates import retrieve
from pipelines.dataset import Dataset, load_dataset
from pipelines.evaluation.compared import strongest_popularity
from pipelines.evaluation.metrics import per_request
from pipelines.evaluation.ranking import rank
from pipelines.evaluation.results import Results, load_results, save_results
from pipelines.evaluation.slices import only, request_slices, target_slices
from pipelines.index.item_index import load_index
from pipelines.index.overlap import overlap_by_row
from pipelines.progress import Progress
from pipelines.stage import Inputs
from pipelines.tables import Candidates
from pipelines.train import REFITTED, load_towers
from pipelines.verdicts import Verdict, level_verdict, lift_verdict, passed, save_verdicts, slice_verdict
from towers.backend import tf

NAME = "candidates"


def gate(config: Config, inputs: Inputs, out: Path, progress: Progress) -> None:
    """Write the candidates of the test requests, their metrics, and the verdicts; failing is a result, no error."""
    dataset = load_dataset(config, inputs["prepare"])
    vectors = load_towers(dataset, inputs["train"], REFITTED, dataset.cuts.test)
    index, requests = load_index(inputs["index"]), dataset.test_requests
    depth = max(config.index.candidates, config.gate.k)
    found = retrieve(index.searcher, index.rows, vectors.of(requests), requests, depth, dataset.filter_seen)
    exact = rank(vectors.score, requests, depth, dataset.eligible(dataset.cuts.test), dataset.filter_seen)
    results = {
        name: Results.of(c, requests.targets, *dataset.depths)
        for name, c in (("towers", found), ("towers, exact search", exact))
    }
    verdicts = list(judge(dataset, found, exact, load_results(inputs["baselines"] / "results.npz")))
    save_results(results, out / "results.npz")
    save_verdicts(verdicts, out / "verdicts.json")
    np.savez(out / "candidates.npz", items=found.items, scores=found.scores)
    _write_board(dataset, verdicts, results["towers"], out / "tensorboard")
    progress.say(summary(verdicts, config.gate.floors.min_users))


def judge(
    dataset: Dataset, found: Candidates, exact: Candidates, baselines: Mapping[str, Results]
) -> Iterator[Verdict]:
    """Overall lift, searcher against exact search, then a few slices of requests and of targets.

    They stay few, and are named before anything is seen: each is held against its floor at 95 %, unadjusted, so every
    further slice would be one more chance to stop a good model by luck. The evaluate stage looks at the many.
    """
    floors, k = dataset.config.gate.floors, dataset.config.gate.k
    requests, metric = dataset.test_requests, f"recall@{k}"
    rival = strongest_popularity(baselines, metric)
    ours, theirs = per_request(found, requests.targets, k)["recall"], baselines[rival].metrics[metric]
    lift = f"{metric} lift over {rival}"
    yield lift_verdict(NAME, lift, ours, theirs, floors.lift, floors.min_users)
    yield level_verdict(
        NAME, "searcher recall against exact", overlap_by_row(found.items, exact.items), floors.searcher_recall
    )
    for name, rows in request_slices(dataset, requests).items():
        yield slice_verdict(NAME, lift, name, ours[rows], theirs[rows], floors.slice_lift, floors.min_users)
    popular = Candidates(baselines[rival].items, np.zeros_like(baselines[rival].items, np.float32), rival)
    for name, kept in target_slices(dataset, dataset.cuts.test).items():
        targets = only(requests.targets, kept)
        some = targets.lengths > 0
        if some.any():
            of_ours, of_theirs = (per_request(c, targets, k)["recall"][some] for c in (found, popular))
            yield slice_verdict(NAME, lift, name, of_ours, of_theirs, floors.slice_lift, floors.min_users)


def summary(verdicts: list[Verdict], min_users: int) -> str:
    """One line: whether the gate passed, the overall lift, and how many checks failed; `min_users` as in the floors."""
    failed, first = sum(verdict.status == "fail" for verdict in verdicts), verdicts[0]
    if failed:
        state = "FAILED"
    elif passed(verdicts):
        state = "passed"
    else:
        state = f"CANNOT TELL from {first.n} requests, expected at least {min_users} (gate.floors.min_users)"
    return (
        f"gate {state}: {first.metric} {first.value:+.1%} [{first.low:+.1%}, {first.high:+.1%}], "
        f"{failed} of {len(verdicts)} checks failed"
    )


def _write_board(dataset: Dataset, verdicts: list[Verdict], towers: Results, folder: Path) -> None:
    """Candidate recall on the test requests, overall and by slice, and every verdict's value."""
    metric = f"recall@{dataset.config.gate.k}"
    recall = towers.metrics[metric]
    board = tf.summary.create_file_writer(str(folder))
    with board.as_default():
        tf.summary.scalar(f"test {metric}/all", recall.mean(), step=0)
        for name, rows in request_slices(dataset, dataset.test_requests).items():
            tf.summary.scalar(f"test {metric}/{name}", recall[rows].mean(), step=0)
        for verdict in verdicts:
            tf.summary.scalar(f"gate/{verdict.metric}/{verdict.slice}", verdict.value, step=0)
    board.close()
