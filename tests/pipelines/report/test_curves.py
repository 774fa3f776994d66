from __future__ import annotations

import pytest

from pipelines.report.curves import curves
from tests.pipelines.report.runs import write_board


def test_reads_scalars_up_to_where_the_file_was_cut_off(tmp_path) -> None:
    write_board(tmp_path / "board")
    found = curves(tmp_path / "board")
    assert found["towers/loss"] == ((1, 3.0), (2, 2.5), (3, pytest.approx(2.2)))
    assert found["refit/loss"] == ((1, pytest.approx(2.4)), (2, pytest.approx(2.1)))


def test_no_folder_no_curves(tmp_path) -> None:
    assert curves(tmp_path / "board") == {}


@pytest.mark.slow
def test_reads_what_tensorflow_writes(tmp_path) -> None:
    from towers.backend import tf

    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        tf.summary.scalar("towers/recall", 0.25, step=1)
        tf.summary.text("config", "not a scalar", step=0)
    assert curves(tmp_path) == {"towers/recall": ((1, 0.25),)}
