"""Dataclasses as JSON: whole, and strict JSON whatever the numbers."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from pydantic import ValidationError

from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.stored import load, save


@dataclass(frozen=True)
class _Kept:
    rows: tuple[Interval, ...]
    named: dict[str, Interval]
    one: Interval | None
    text: str


def test_what_is_saved_is_read_back_and_is_json(tmp_path):
    path = tmp_path / "kept.json"
    kept = _Kept((Interval(1.0, -np.inf, np.inf, 3),), {"a": Interval(1.0, 0.5, 2.0, 3)}, None, "été \ud7ff")
    save(kept, path)
    assert load(_Kept, path) == kept
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_not_a_number_is_kept(tmp_path):
    save(_Kept((), {}, Interval(np.nan, np.nan, np.nan, 0), ""), tmp_path / "kept.json")
    assert np.isnan(load(_Kept, tmp_path / "kept.json").one.low)


def test_something_else_is_refused(tmp_path):
    (tmp_path / "kept.json").write_text('{"rows": 3}')
    with pytest.raises(ValidationError):
        load(_Kept, tmp_path / "kept.json")
