"""TensorBoard's log folders, what is written for it, and what the logs of a real run hold."""

import io
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from configs.errors import UserError
from pipelines.board import gather, log_folders, write_report_board
from pipelines.events import EventFile, image_summary
from pipelines.projector import _safe, write_projector
from pipelines.report.curves import curves
from tests import world
from tests.conftest import Demo


def _stage(run, name):
    """A finished stage of a run, with logs; to its folder in the store."""
    result = run.parent / ".stages" / f"{name}-00"
    (result / "tensorboard").mkdir(parents=True)
    (result / "made-from.json").write_text("{}")
    run.mkdir(exist_ok=True)
    (run / name).symlink_to(f"../.stages/{name}-00")
    return result


def _read(folder):
    """Texts and pictures by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()

    found = {"text": {}, "images": {}}
    for tag in events.Tags()["tensors"]:
        strings = list(events.Tensors(tag)[-1].tensor_proto.string_val)
        found[events.SummaryMetadata(tag).plugin_data.plugin_name][tag] = strings
    return {tag: text.decode() for tag, (text,) in found["text"].items()}, found["images"]


# --- folders --------------------------------------------------------------------------------------------------


def test_only_stages_with_logs_count_and_links_are_resolved(tmp_path):
    run = tmp_path / "runs" / "a"
    store = _stage(run, "train")
    (_stage(run, "prepare") / "tensorboard").rmdir()
    (run / "report" / "tensorboard").mkdir(parents=True)
    assert log_folders(run) == {"train": store / "tensorboard", "report": run / "report" / "tensorboard"}


def test_logs_are_gathered_as_links_that_follow_the_run(tmp_path):
    run = tmp_path / "runs" / "a"
    store = _stage(run, "train")
    _stage(run, "gate")
    for _ in range(2):
        logs = gather(run)
        assert {path.name: path.resolve() for path in logs.iterdir()} == log_folders(run)
    (run / "gate").unlink()
    gather(run)
    assert [path.name for path in logs.iterdir()] == ["train"]
    (tmp_path / "runs").rename(tmp_path / "moved")  # links are relative
    moved = tmp_path / "moved"
    assert (moved / "a" / "tensorboard" / "train").resolve() == moved / ".stages" / store.name / "tensorboard"


def test_a_searchs_own_logs_stay(tmp_path):
    (tmp_path / "tensorboard" / "trial-01").mkdir(parents=True)
    assert [path.name for path in gather(tmp_path).iterdir()] == ["trial-01"]


def test_a_run_without_logs_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no logs yet; run its train stage first"):
        gather(tmp_path)
    assert not list(tmp_path.iterdir())


# --- what the report writes -----------------------------------------------------------------------------------


def test_texts_and_pictures_are_read_back_and_written_again_replace_the_old(tmp_path):
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([1, 2])
    write_report_board(tmp_path, {"decision/verdict": "old", "decision/gone": "old"}, {})
    write_report_board(tmp_path, {"decision/verdict": "# ready\n| ü |"}, {"funnel/lost": figure})
    assert len(list(tmp_path.iterdir())) == 1
    texts, images = _read(tmp_path)
    assert texts == {"decision/verdict": "# ready\n| ü |"}
    width, height, png = images["funnel/lost"]
    picture = Image.open(io.BytesIO(png))
    assert picture.size == (int(width), int(height))
    assert picture.convert("L").getextrema()[0] < 200  # something is drawn
    write_report_board(tmp_path, {}, {"again": png})
    assert _read(tmp_path)[1] == {"again": [width, height, png]}


def test_what_is_no_png_is_refused(tmp_path):
    with pytest.raises(ValueError, match="funnel: expected the bytes of a PNG"):
        image_summary("funnel", b"<svg>")


def test_writing_imports_no_tensorflow(tmp_path):
    code = f"""
import sys
from pathlib import Path
from pipelines.board import write_report_board
write_report_board(Path({str(tmp_path)!r}), {{"a": "b"}}, {{}})
sys.exit("tensorflow" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_was_added_is_on_disk_though_the_file_is_open(tmp_path):
    from tensorboard.plugins.scalar.summary_v2 import scalar_pb

    file = EventFile(tmp_path)
    for step, value in ((1, 0.5), (2, 0.25)):
        file.add(scalar_pb("towers/loss", value), step)
        assert curves(tmp_path)["towers/loss"][-1] == (step, value)


# --- the projector --------------------------------------------------------------------------------------------


def _projected(tmp_path, monkeypatch, most=10_000, titles=None, available=None):
    """Lines of the three files for the world's items, whose content is their own row number."""
    monkeypatch.setattr("pipelines.projector._MOST", most)
    items = world.items()
    if titles is not None:
        items["title"] = titles
    data = world.dataset(world.config(), world.log(), items)
    if available is not None:
        data = replace(data, available=available(data))
    content = np.arange(world.ITEMS)[:, None] + np.array([[0.0, 0.5]])
    write_projector(data, content, data.cuts.test, tmp_path)
    lines = {name: (tmp_path / name).read_text(encoding="utf-8").split("\n") for name in ("items.tsv", "metadata.tsv")}
    assert all(text.pop() == "" for text in lines.values())
    vectors = [[float(number) for number in line.split("\t")] for line in lines["items.tsv"]]
    return data, vectors, [line.split("\t") for line in lines["metadata.tsv"]]


def test_each_vector_has_its_items_line(tmp_path, monkeypatch):
    data, vectors, (header, *rows) = _projected(tmp_path, monkeypatch)
    assert header == ["title", "item", "colour", "genres", "events", "age (days)"]
    assert len(rows) == len(vectors) == world.ITEMS
    past = data.past(data.cuts.test)
    for vector, row in zip(vectors, rows, strict=True):
        item = int(vector[0])
        assert vector == [item, item + 0.5]
        assert row[:4] == [
            f"Item {item}",
            f"i{item:03}",
            f"colour{item % world.BLOCKS}",
            world.items()["genres"][item] or "-",
        ]
        assert int(row[4]) == (past.item == item).sum()
        age = (data.cuts.test.moment - data.available[item]) / world.DAY
        assert float(row[5]) == pytest.approx(age, abs=0.05)


def test_the_most_taken_of_the_items_that_are_there_come_first(tmp_path, monkeypatch):
    def late(data):
        """The item most taken enters after the cut."""
        counts = np.bincount(data.past(data.cuts.test).item, minlength=data.n_items)
        return np.where(np.arange(data.n_items) == counts.argmax(), data.cuts.test.moment + 1, data.available)

    data, vectors, (_, *rows) = _projected(tmp_path, monkeypatch, most=20, available=late)
    counts = np.bincount(data.past(data.cuts.test).item, minlength=data.n_items)
    late_item = int(counts.argmax())
    shown = [int(vector[0]) for vector in vectors]
    assert len(shown) == len(rows) == 20
    assert late_item not in shown
    others = np.delete(counts, late_item)
    assert sorted(counts[shown], reverse=True) == sorted(others, reverse=True)[:20]
    texts, _ = _read(tmp_path)
    assert texts == {"projector": "The projector shows 20 of 149 items: those most taken before the test cut."}


def test_titles_with_odd_characters_keep_a_line_and_a_column_each(tmp_path, monkeypatch):
    safe = {
        "a\tb": "a b",
        "a\nb": "a b",
        "a\r\nb": "a b",
        "": "-",
        " \t ": "-",
        "\x00\x1b[2J": "[2J",
        "a\u2028b\x85c": "a b c",
        "naïve 日本 😀": "naïve 日本 😀",
        "<b>&amp;": "<b>&amp;",
    }
    titles = [list(safe)[n % len(safe)] for n in range(world.ITEMS)]
    _, vectors, (header, *rows) = _projected(tmp_path, monkeypatch, titles=titles)
    assert {len(row) for row in rows} == {len(header)}
    shown = {titles[int(vector[0])]: row[0] for vector, row in zip(vectors, rows, strict=True)}
    assert shown == safe


@given(st.text())
def test_any_text_is_made_one_cell(text):
    safe = _safe(text)
    assert safe
    assert safe.splitlines() == [safe]
    assert "\t" not in safe
    assert re.sub(r"\s", "", safe) in (re.sub(r"[\s\x00-\x1f\x7f-\x9f]", "", text), "-")


def test_the_plugins_own_reader_takes_the_files(tmp_path, monkeypatch):
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
    from tensorboard.plugins.projector.projector_plugin import _read_tensor_tsv_file

    _, vectors, _ = _projected(tmp_path, monkeypatch)
    config = text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), ProjectorConfig())
    (embedding,) = config.embeddings
    assert (tmp_path / embedding.metadata_path).is_file()
    np.testing.assert_allclose(_read_tensor_tsv_file(str(tmp_path / embedding.tensor_path)), vectors)


# --- a real run -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_logs_hold_curves_and_recall_by_slice(demo: Demo):
    train = curves(demo.run / "train" / "tensorboard")
    assert {"towers/loss", "towers/recall", "towers/ndcg", "refit/loss"} <= set(train)
    assert any(tag.startswith("towers/recall by history") for tag in train)
    gate = curves(demo.run / "gate" / "tensorboard")
    assert any(tag.startswith("test recall@100/region") for tag in gate)
    assert "ranker/ndcg" in curves(demo.run / "rank" / "tensorboard")
