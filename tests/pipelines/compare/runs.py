"""Hand-made runs as a command would find them: a folder with a config and a link for each finished stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from configs.schema import Config
from tests.pipelines.report.runs import make_run


def make_folder(folder: Path, config: Config, **numbers: Any) -> Path:
    """A whole run in `folder`, its results beside it; `numbers` as in `make_run`."""
    results = make_run(folder.with_name(f"{folder.name}-results"), config, **numbers)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config.model_dump(mode="json")))
    for name, path in results.items():
        (path / "made-from.json").write_text("{}")
        (folder / name).symlink_to(path)
    return folder
