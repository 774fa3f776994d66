"""The notebooks run as they stand, from an empty folder, and store no outputs."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import Demo

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_stored(path: Path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_publishes(path: Path, tmp_path: Path, demo: Demo):
    """Its settings are those of the demo that tests share, so that no stage is worked out twice."""
    done = Path(shutil.copytree(demo.home / "runs" / ".stages", tmp_path / "runs" / ".stages"))
    stages = {path.name for path in done.iterdir()}
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "bundles" / "demo" / "1" / "manifest.json").is_file()
    assert {path.name for path in done.iterdir()} == stages
