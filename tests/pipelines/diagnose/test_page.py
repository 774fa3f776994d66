from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pipelines.diagnose import Diagnosis, diagnose, fragment, page, plots, print_diagnosis, write_diagnosis
from tests.browser import look
from tests.pipelines.diagnose.worlds import DAY, START, observed

HOSTILE = '<script>alert("x")</script> \x1b[2J $a_b$'
_VOID = {"meta", "link", "br"}


class _Reader(HTMLParser):
    """Checks that tags nest, and collects tags, ids and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.ids, self.text = [], [], [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


@pytest.fixture(scope="module")
def found() -> Diagnosis:
    """A log with everything there is to show, and names that mean harm."""
    rng = np.random.default_rng(0)
    events, items, queries = 8_000, 200, 600
    query = rng.integers(0, queries, events)
    item = query % 4 + 4 * np.minimum(rng.geometric(0.05, events) - 1, 49)
    time = START + rng.integers(0, 60 * DAY, events)
    features = (
        {"name": "side", "table": "queries", "kind": "category"},
        {"name": "sold", "table": "items", "kind": "number"},
        {"name": "sent", "table": "events", "kind": "number"},
    )
    return diagnose(
        observed(
            query,
            item,
            time,
            items={"sold": np.bincount(item, minlength=items).astype(float)},
            queries={"side": np.where(np.arange(queries) % 4 > 1, HOSTILE, "plain").astype(object)},
            context={"sent": time + 2.0 * DAY},
            features=features,
            kinds=np.where(rng.random(events) < 0.2, HOSTILE, "view"),
            ratings=rng.integers(1, 6, events),
            data={"segment": "side"},
        )
    )


def test_the_page_is_well_formed_and_loads_nothing(found: Diagnosis) -> None:
    html = page(found, "twinspire run runs/w-1")
    read = _Reader(html)
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))
    assert "script" not in read.tags
    assert '<script>alert("x")</script>' in read.text
    assert not re.search(r"(https?:)?//[a-z]", html)
    assert "twinspire run runs/w-1" in read.text
    assert "#0102" not in html  # every colour is the page's own
    assert page(found, "twinspire run runs/w-1") == html


def test_the_page_says_once_that_the_test_window_was_read(found: Diagnosis) -> None:
    text = _Reader(page(found, "twinspire run runs/w-1")).text
    assert text.count("is read from the whole log, the test window too") == 1


def test_it_needs_no_model_and_no_baseline_that_is_slow_to_import() -> None:
    heavy = "{'tensorflow', 'implicit', 'lightfm', 'surprise'}"
    called = [sys.executable, "-c", f"import pipelines.diagnose, sys; print({heavy} & set(sys.modules))"]
    assert subprocess.run(called, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_every_plot_is_shown(found: Diagnosis) -> None:
    drawn = plots(found)
    assert set(drawn) == {"ratings", "lengths", "newcomers", "contest", "drift", "concentration", "days", "hours"}
    assert _Reader(str(fragment(found))).tags.count("svg") == len(drawn)


def test_what_has_no_numbers_has_no_plot() -> None:
    small = diagnose(observed([0, 0, 1], [0, 1, 1], [1, 2, 3], clock=False))
    assert set(plots(small)) == {"concentration"}
    assert _Reader(page(small, "twinspire run x")).open == []


def test_the_text_fits_a_hundred_columns_and_holds_no_control_characters(found: Diagnosis) -> None:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    print_diagnosis(found, console)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert "What it argues for: collaborative" in text
    assert re.search(r"set +feature sold \(items\): check it", text)
    assert re.search(r"! +`sent` \(events\) reads as times, and 100.00% of 8,000", text)


def test_the_json_has_every_number(found: Diagnosis, tmp_path: Path) -> None:
    written = write_diagnosis(found, tmp_path / "new", "twinspire run x")
    assert written == tmp_path / "new" / "diagnosis.html"
    values = json.loads((tmp_path / "new" / "diagnosis.json").read_text())
    assert values["tastes"]["right"]["mean"] == found.tastes.right.mean
    assert values["feedback"]["ratings"]["counts"] == list(found.feedback.ratings.counts)
    assert values["popularity"]["drift"]["half"] is None  # NaN, which JSON lacks
    assert [column["name"] for column in values["leaks"]["columns"]] == ["sent", "side", "sold"]


@pytest.mark.parametrize("width", [500, 1_100])
def test_in_a_browser_nothing_overflows_and_no_figure_is_missing(found: Diagnosis, tmp_path: Path, width: int) -> None:
    file = tmp_path / "page.html"
    file.write_text(page(found, "twinspire run runs/w-1"), encoding="utf-8")
    seen = look(file, tmp_path, width, 3_000)
    assert seen.overflowing == seen.requests == seen.errors == ()
    assert len(seen.figures) == 8
    assert all(size > 10 for sizes in seen.figures.values() for size in sizes)
