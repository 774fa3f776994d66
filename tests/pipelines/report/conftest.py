"""One hand-made run where the model wins, shared by the tests that only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.schema import Config
from tests.pipelines.report.runs import make_config, make_run, write_tables


@pytest.fixture(scope="package")
def won(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, dict[str, Path]]:
    folder = tmp_path_factory.mktemp("won")
    write_tables(folder)
    config = make_config(folder)
    return config, make_run(folder / "run", config)
