"""What a command is told to work on."""

import pytest

from tests.pipelines import searches
from tests.runs import twinspire


@pytest.mark.parametrize("name", ["run", "train", "publish", "report"])
def test_a_searchs_folder_is_no_run_and_says_what_to_run(name, tmp_path):
    folder = tmp_path / "runs" / "tune-demo"
    searches.run(searches.config(trials=1), folder)
    going = twinspire(name, "runs/tune-demo", cwd=tmp_path)
    (folder / "best.toml").touch()
    over = twinspire(name, "runs/tune-demo", cwd=tmp_path)
    elsewhere = twinspire(name, folder, cwd=tmp_path)
    assert [called.code for called in (going, over, elsewhere)] == [2, 2, 2]
    said = "error: runs/tune-demo is the folder of a search, expected that of a run, or a TOML file: twinspire"
    assert going.err == f"{said} tune runs/tune-demo\n"
    assert over.err == f"{said} run runs/tune-demo/best.toml\n"
    assert elsewhere.err.endswith(f"twinspire run {folder}/best.toml --runs {tmp_path}/runs\n")
