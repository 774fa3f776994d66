"""A hand-made run: a small log through the real `prepare`, and results with numbers that are easy to reckon with."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tensorboard.compat.proto.event_pb2 import Event

from configs.load import parse
from configs.schema import Config
from pipelines.dataset import load_dataset
from pipelines.evaluation.results import Results, save_results
from pipelines.evaluation.scoreboard import scoreboard
from pipelines.index import record as searcher_trials
from pipelines.prepare import prepare
from pipelines.report.summary import STAGES
from pipelines.verdicts import CORE_RECALL, Verdict, as_json, save_verdicts
from tests.pipelines.report.evaluated import write_evaluated, write_tuning

HOSTILE = '<script>alert("x")</script> & $\\frac{1}$'
ITEMS, QUERIES, DAYS, K, LIST_K = 12, 60, 35, 5, 2
START, DAY = 1_700_000_000, 86_400


def make_config(folder: Path, clock: bool = True, **sections: Any) -> Config:
    """Tables in `folder`; `sections` replace whole sections of the config."""
    features = [
        {"name": "item_id", "table": "items", "kind": "id"},
        {"name": "region", "table": "queries", "kind": "category"},
    ]
    axis = {"time": "time"} if clock else {"order": "time"}
    data = {
        "source": "tables",
        "path": str(folder),
        "segment": "region",
        "events": {"path": "events.csv", "query": "user", "item": "item", "meaning": f"A visit {HOSTILE}"} | axis,
        "items": {"path": "items.csv", "id": "item_id", "title": "title", "available_from": "from"},
        "queries": {"path": "users.csv", "id": "user"},
    }
    values = {
        "name": "hand-made",
        "data": data,
        "features": features,
        "index": {"candidates": K},
        "rerank": {"pool": K},
        "gate": {"k": K, "list_k": LIST_K, "floors": {"min_users": 30}},
        "baselines": {"windows": ["7d"] if clock else [100]},
    }
    return parse(values | sections)


def write_tables(folder: Path) -> None:
    """Every query takes one item a day in turn; two rows cannot be used; item 11 enters on the last day."""
    rows = [
        (f"u{query}", f"i{(query + day) % (ITEMS - 1)}", START + day * DAY + query * 60)
        for day in range(DAYS)
        for query in range(QUERIES)
        if (query + day) % 5 == 0
    ]
    last = START + DAYS * DAY - 60
    rows += [("u0", "i11", last), ("u1", "i11", last), ("newcomer", "i1", last + 59)]
    rows += [("", "i1", START), ("u1", "nowhere", START)]
    pd.DataFrame(rows, columns=["user", "item", "time"]).to_csv(folder / "events.csv", index=False)
    titles = [HOSTILE] * ITEMS
    starts = [""] * (ITEMS - 1) + [str(START + (DAYS - 1) * DAY)]
    items = pd.DataFrame({"item_id": [f"i{i}" for i in range(ITEMS)], "title": titles, "from": starts})
    items.to_csv(folder / "items.csv", index=False)
    users = pd.DataFrame({"user": [f"u{q}" for q in range(QUERIES)], "region": ["north", HOSTILE] * (QUERIES // 2)})
    users.to_csv(folder / "users.csv", index=False)


def make_run(
    folder: Path, config: Config, final: float = 0.6, popular: float = 0.4, early: float = -0.02
) -> dict[str, Path]:
    """Folders of all stages: final list and best popularity have these mean NDCGs, give or take nothing; early: as in
    `write_evaluated`."""
    stages = {name: folder / name for name in STAGES}
    for path in stages.values():
        path.mkdir(parents=True)
    prepare(config, stages["prepare"])
    dataset = load_dataset(config, stages["prepare"])
    requests = len(dataset.test_requests)
    baselines = {
        "popularity": result(requests, K, popular / 2, 0.3),
        "popularity 7d": result(requests, K, popular, 0.35),
        f"popularity 7d by {HOSTILE}": result(requests, K, popular / 4, 0.35),
        "item-kNN": result(requests, K, 0.1, 0.5),
    }
    save_results(baselines, stages["baselines"] / "results.npz")
    _write(stages["baselines"] / "popularity.json", {"chosen": "popularity 7d"})
    _write(stages["train"] / "fitted.json", {"best_epoch": 2, "best_recall": 0.41, "epochs": 3})
    write_tuning(stages["baselines"], LIST_K)
    write_board(stages["train"] / "tensorboard")
    layout = {"leaves": 100, "dims": 2, "threshold": 0.2}
    trials = (
        searcher_trials.Trial(layout, {"leaves": 10, "reorder": 200}, 0.91, 0.9, 150.0, 1_000_000),
        searcher_trials.Trial(layout, {"leaves": 10, "reorder": 400}, 0.985, 0.981, 210.0, 1_000_000),
        searcher_trials.Trial(layout, {"leaves": 20, "reorder": 400}, 0.985, 0.981, 290.0, 1_000_000),
    )
    held_out = searcher_trials.Interval(0.984, 0.98, 0.988, 500)
    under = (searcher_trials.Filtered("stock", "yes", 70, 0.97, 0.95),)
    tuning = searcher_trials.IndexTuning("scann", K, 0.98, trials, 1, held_out, under)
    searcher_trials.save_index_tuning(tuning, stages["index"])
    of_ivf = (searcher_trials.Trial({"leaves": 40}, {"leaves": 7, "k": K}, 0.982, 0.981, 640.0, 1_000_000),)
    core = searcher_trials.IndexTuning("ivf", K, 0.98, of_ivf, 0, searcher_trials.Interval(0.983, 0.979, 0.987, 500))
    searcher_trials.save_index_tuning(core, stages["index"], core=True)
    towers = result(requests, K, 0.5, 0.55)
    save_results({"towers": towers, "towers, exact search": towers}, stages["gate"] / "results.npz")
    save_verdicts(gate_verdicts(requests), stages["gate"] / "verdicts.json")
    lists = {"towers + ranker": result(requests, K, 0.55, 0.55), "final list": result(requests, LIST_K, final)}
    save_results(lists, stages["rank"] / "results.npz")
    lift = final / popular - 1
    status = "pass" if lift > 0 else "fail"
    ndcg = f"ndcg@{LIST_K} lift over popularity 7d"
    verdict = Verdict("list", ndcg, "all", lift, lift, lift, 0.0, requests, status)
    save_verdicts([verdict], stages["rank"] / "verdicts.json")
    _write(stages["rank"] / "fitted.json", {"epoch": 3, "ndcg": 0.31, "retrieval_ndcg": 0.29})
    scores = scoreboard(baselines, {"towers": towers, **lists}, LIST_K, dataset.eligible(dataset.cuts.test))
    write_evaluated(stages["evaluate"], HOSTILE, K, LIST_K, requests, scores, early)
    write_replay(stages["export"], 1.0)
    return stages


def write_replay(folder: Path, python: float) -> None:
    """An exported bundle's replay, which agrees in Python to this share, of at least .995."""
    (folder / "bundle").mkdir(exist_ok=True)
    _write(folder / "replay.json", {"requests": 512, "python": python, "c_loader": 0.9995})
    checks = [
        Verdict(
            "replay",
            f"ids that agree {how}",
            "all",
            share,
            share,
            share,
            0.995,
            512,
            "pass" if share >= 0.995 else "fail",
        )
        for how, share in (("in Python", python), ("through the C loader", 0.9995))
    ]
    _write(folder / "bundle" / "manifest.json", {"verdicts": [as_json(verdict) for verdict in checks]})


def write_core_replay(folder: Path, c_loader: float, recall: float) -> None:
    """A second export beside it: the share of its ids that agree, of at least .995, and its recall, of at least .95."""
    (folder / "bundle-core").mkdir()
    _write(folder / "replay-core.json", {"requests": 512, "c_loader": c_loader, "candidates": 1.0, "shared": 0.971})
    checks = [
        Verdict(gate, metric, "all", share, share, share, floor, 512, "pass" if share >= floor else "fail")
        for gate, metric, share, floor in (
            ("replay", "ids that agree through the C loader, core operations", c_loader, 0.995),
            ("candidates", CORE_RECALL, recall, 0.95),
        )
    ]
    model = [as_json(verdict) for verdict in (*gate_verdicts(512), *checks)]
    _write(folder / "bundle-core" / "manifest.json", {"verdicts": model})


def result(requests: int, width: int, ndcg: float, recall: float | None = None) -> Results:
    """Constant metrics, but a hit rate that alternates: 1, 0, 1, 0, ... All lists show the first `width` items."""
    metrics = {f"ndcg@{LIST_K}": np.full(requests, ndcg), f"hit_rate@{LIST_K}": np.arange(requests) % 2 == 0}
    if recall is not None:
        metrics[f"recall@{K}"] = np.full(requests, recall)
    items = np.tile(np.arange(width, dtype=np.int32), (requests, 1))
    return Results(items, {name: np.asarray(values, np.float64) for name, values in metrics.items()})


def gate_verdicts(requests: int) -> list[Verdict]:
    """One of each status; a name that is markup; a lift over nothing at all."""
    lift = f"recall@{K} lift over popularity 7d"
    return [
        Verdict("candidates", lift, "all", 0.57, 0.4, 0.7, 0.0, requests, "pass"),
        Verdict("candidates", "searcher recall against exact", "all", 0.985, 0.98, 0.99, 0.95, requests, "pass"),
        Verdict("candidates", lift, "history 1-9", -0.05, -0.08, -0.01, -0.1, 80, "pass"),
        Verdict("candidates", lift, f"region {HOSTILE}", 0.2, -0.3, 0.9, -0.1, 12, "cannot tell"),
        Verdict("candidates", lift, "items without events", float("inf"), 0.0, float("inf"), -0.1, 60, "pass"),
    ]


def write_board(folder: Path) -> None:
    """An event file as TensorBoard's own writer frames it; checksums are left empty."""
    folder.mkdir()
    curves = {"towers/recall": [0.30, 0.41, 0.40], "towers/loss": [3.0, 2.5, 2.2], "refit/loss": [2.4, 2.1]}
    with (folder / "events.out.tfevents.1.host.1.0.v2").open("wb") as file:
        for tag, values in curves.items():
            for step, value in enumerate(values, start=1):
                event = Event(step=step)
                event.summary.value.add(tag=tag, simple_value=value)
                data = event.SerializeToString()
                file.write(struct.pack("<Q", len(data)) + b"\0" * 4 + data + b"\0" * 4)
        file.write(b"\x99")  # killed while writing


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value))
