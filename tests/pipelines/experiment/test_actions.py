from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from configs.errors import DataError
from pipelines.experiment.actions import write_actions
from pipelines.experiment.logs import reading
from tests.pipelines.experiment.logged import DAY, call, did, shown, write

LISTS = [
    shown("a", 0, None, ["i1", "i2"], propensities=[0.5, 0.25]),
    shown("a", 3 * DAY, None, ["i2"], propensities=[0.75]),
    shown("b", 0, None, ["i1"]),
    shown(None, 0, None, ["i1"], propensities=[1.0]),
]
DONE = [
    did("a", 100, "i2"),
    did("a", 200, "i2", kind="buy"),  # earns once
    did("a", 2 * DAY, "i1"),  # too late for its list
    did("a", 3 * DAY - 1, "i2"),  # too early for the second
    did("b", 1, "i1"),
]


def test_a_row_for_each_place_and_what_it_earned(tmp_path: Path) -> None:
    out = tmp_path / "actions.parquet"
    assert write_actions(reading(write(tmp_path / "logs", LISTS, DONE), window=DAY), out) == (3, 2)
    found = pd.read_parquet(out)
    assert found["item"].tolist() == ["i1", "i2", "i2"]
    assert found["place"].tolist() == [0, 1, 0]
    assert found["propensity"].tolist() == [0.5, 0.25, 0.75]
    assert found["reward"].tolist() == [0, 1, 0]
    assert write_actions(reading(tmp_path / "logs", window=3 * DAY, kinds=("buy",)), out) == (3, 2)
    assert pd.read_parquet(out)["reward"].tolist() == [0, 1, 0]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_from_logs_to_an_estimate(tmp_path: Path) -> None:
    lists = [shown(f"u{n}", n, None, ["i1"], propensities=[0.5]) for n in range(40)]
    logs = write(tmp_path / "logs", lists, [did(f"u{n}", n + 5) for n in range(0, 40, 4)])
    out = tmp_path / "actions.parquet"
    assert "40 rows" in call("actions", logs, "--out", out).output
    pd.read_parquet(out).assign(new=1.0).to_parquet(out)
    assert "new     IPS          0.5000" in call("off-policy", out, "--policy", "new").output


def test_rewards_need_events(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no events beside the exposures"):
        write_actions(reading(write(tmp_path, LISTS), window=DAY), tmp_path / "out.parquet")
