"""`twinspire rolling` on a finished demo, as a person would run it."""

import pytest

from pipelines.report.curves import curves
from pipelines.rolling import load_rolling
from tests.conftest import Demo
from tests.runs import twinspire


@pytest.mark.slow
def test_the_command_replays_a_finished_run(demo: Demo):
    called = twinspire("rolling", demo.run, cwd=demo.home, check=True)
    for expected in (
        "Rolling replay of the test window: 10 steps",
        "histories + index",
        "towers: with nothing refreshed",
    ):
        assert expected in called.out
    assert max(map(len, called.out.splitlines()[:-2])) <= 100
    replay = load_rolling(demo.run / "rolling")
    assert replay.metrics == ("recall@100", "ndcg@10")
    assert replay.requests > 1000
    assert len(replay.contenders) == 4
    levels = {curve.by_step["recall@100"][0].mean for curve in replay.of("towers")}
    assert len(levels) == 1  # everything is as of the test cut when the first step begins
    assert replay.staleness(replay.chosen).overall["recall@100"].low > 0  # the demo's items fade
    boards = {path.name: curves(path) for path in (demo.run / "rolling" / "tensorboard").iterdir()}
    assert len(boards) == len(replay.curves)
    everything = replay.of("towers")[-1]
    shown = boards["towers-histories-+-index"]["rolling/recall@100"]
    assert [value for _, value in shown] == pytest.approx([one.mean for one in everything.by_step["recall@100"]])
    assert twinspire("rolling", demo.run, cwd=demo.home, check=True).err.count("cached") == 4
