from __future__ import annotations

import os
import platform

from pipelines.report.environment import environment


def test_stages_are_dated_by_their_first_and_last(tmp_path) -> None:
    results = {name: tmp_path / name for name in ("prepare", "rank", "unfinished")}
    for name, moment in (("prepare", 1_700_000_000), ("rank", 1_700_003_660), ("unfinished", None)):
        results[name].mkdir()
        if moment is not None:
            (results[name] / "made-from.json").write_text("{}")
            os.utime(results[name] / "made-from.json", (moment, moment))
    assert environment(results).made == ("2023-11-14 22:13", "2023-11-14 23:14")
    assert environment({}).made is None


def test_says_what_it_runs_on() -> None:
    found = environment({})
    assert found.python == platform.python_version()
    assert found.processor.startswith(f"{os.cpu_count()} x ")
    assert {"tensorflow", "numpy", "scann"} <= set(found.packages)
