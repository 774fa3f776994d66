"""What TensorBoard shows of a report."""

import io

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipelines.evaluation.funnel import FATES, Funnel, Funnels
from pipelines.look.raster import png
from pipelines.look.svg import ACCENT, INK, SETTINGS
from pipelines.report.board import funnel_text
from pipelines.report.plots.funnel import funnel_figure


def test_the_funnel_is_a_table_whose_rows_add_up():
    rows = (Funnel("requests", "all", "all", (1, 2, 3, 0, 4, 5, 6)), Funnel("items", "category", "a|b", (0,) * 7))
    text = funnel_text(Funnels(100, 10, 0, 0, rows, None)).splitlines()
    assert text[0] == "| slice | held out | " + " | ".join(FATES) + " |"
    assert text[2] == "| all | 21 | 1 | 2 | 3 | 0 | 4 | 5 | 6 |"
    assert text[3].startswith("| a b | 0 |")
    assert {line.count("|") for line in text} == {len(FATES) + 3}


def test_a_plot_for_the_page_becomes_a_picture_in_the_pages_colours():
    funnel = Funnel("requests", "all", "all", (1, 2, 3, 0, 4, 5, 6))
    pixels = np.array(Image.open(io.BytesIO(png(funnel_figure(funnel, 100, 10)))).convert("RGB")).reshape(-1, 3)
    colours = {tuple(colour) for colour in np.unique(pixels, axis=0).tolist()}
    assert (0x1D, 0x5F, 0xC4) in colours  # the bars
    assert (0x1C, 0x24, 0x30) in colours  # words
    assert not {tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in (INK, ACCENT)} & colours


def test_faint_parts_keep_how_faint_they_are():
    with matplotlib.rc_context(SETTINGS):
        figure = Figure()
        bar = figure.subplots().bar([0], [1], color=ACCENT, alpha=0.5)[0]
    png(figure)
    assert bar.get_facecolor()[3] == 0.5


@pytest.mark.slow
def test_a_run_shows_its_decision_and_funnel(demo):
    (events,) = (demo.run / "report" / "tensorboard").glob("events.*")
    found = EventAccumulator(str(events)).Reload().Tags()
    assert "decision/verdict" in found["tensors"]
    assert {"decision/ndcg@10", "funnel/ceilings", "funnel/left after each stage"} <= {
        *found["images"],
        *found["tensors"],
    }
