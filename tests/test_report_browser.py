"""The report and the comparison as a person sees them, in headless Chromium."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipelines.compare import compare, write_comparison
from pipelines.report import report
from tests.browser import Seen, chromium, look, photograph
from tests.conftest import Demo
from tests.pipelines.compare.runs import make_folder
from tests.pipelines.report import runs

DESKTOP, PHONE = (1280, 800), (390, 844)
LONG = "W" * 150 + ' <b onclick="x">&amp;</b> ' + "\N{CJK UNIFIED IDEOGRAPH-6F22}" * 60 + " $1$ \N{GRINNING FACE}"
FIGURES = (  # parts of the labels of what every finished run shows
    "NDCG@{list_k} of every contender",
    "recall@{k} of every contender",
    "NDCG@{list_k} of the final list by history",
    "recall@{k} of the towers by history",
    "How many held-out items are left",
    "perfect ranking would make",
    "Candidates gate: lifts by slice",
    "Scores by the towers",
    "Scores by the ranker",
    "Share of the events on the most popular items",
    "Validation recall",
)


@pytest.fixture(autouse=True, scope="module")
def _browser() -> None:
    chromium()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pages of a hand-made run with names that are markup, far too long or not Latin, and of its comparison."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "HOSTILE", LONG)
        folder = tmp_path_factory.mktemp("hostile")
        runs.write_tables(folder)
        config = runs.make_config(folder)
        first = make_folder(folder / ("first-" + "w" * 80), config, final=0.05, early=-0.05)  # much to tell
        second = make_folder(folder / "second", runs.make_config(folder, towers={"dropout": 0.2}))
        page = report(config, {path.name: path for path in first.iterdir() if path.is_dir()}, folder / "out")
    return page, write_comparison(compare([first, second]), folder / "out" / "compare.html")


def _sound(seen: Seen, figures: tuple[str, ...]) -> None:
    assert seen.overflowing == ()
    assert seen.errors == ()
    assert seen.requests == ()
    assert all(width > 50 and height > 30 for width, height in seen.figures.values()), seen.figures
    for part in figures:
        assert any(part in label for label in seen.figures), part


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_hostile_names_stay_in_their_boxes(hostile, tmp_path, size) -> None:
    page, compared = hostile
    seen = look(page, tmp_path, *size)
    _sound(seen, tuple(part.format(k=runs.K, list_k=runs.LIST_K) for part in FIGURES))
    if size == DESKTOP:
        assert seen.bottoms["summary"] <= DESKTOP[1], "the summary does not fit one screen"
    _sound(look(compared, tmp_path, *size), ("NDCG@2 of every run",))


@pytest.mark.slow
def test_report_of_a_real_run_is_whole_on_a_desktop_and_a_phone(demo: Demo, tmp_path) -> None:
    page = demo.run / "report" / "report.html"
    assert page.stat().st_size < 2_000_000
    for size in (DESKTOP, PHONE):
        seen = look(page, tmp_path, *size)
        _sound(seen, tuple(part.format(k=100, list_k=10) for part in FIGURES))
    desktop = look(page, tmp_path, *DESKTOP)
    assert desktop.bottoms["summary"] <= DESKTOP[1], "the summary does not fit one screen"
    light, dark = (
        photograph(page, tmp_path / f"{name}.png", *DESKTOP, dark=name == "dark").read_bytes()
        for name in ("light", "dark")
    )
    assert light != dark


def test_what_is_wrong_with_a_page_is_seen(tmp_path) -> None:
    page = tmp_path / "broken.html"
    page.write_text(
        '<!doctype html><body><div id="wide" style="width:2000px">wide</div>'
        '<p style="width:5rem;overflow:hidden;white-space:nowrap">far too long for its box, and cut off</p>'
        '<div class="plot" aria-label="empty"><svg viewBox="0 0 9 9"></svg></div>'
        '<div class="plot" aria-label="cut"><svg viewBox="0 0 90 90" width="90"><path d="M0 0h90v90z"/>'
        '<text x="60" y="50">far too long</text></svg></div>'
        '<img src="https://example.invalid/x.png"><script>console.error("wrong"); nothing();</script></body>'
    )
    seen = look(page, tmp_path, *PHONE)
    assert [label for label, size in seen.figures.items() if not all(size)] == ["empty"]
    assert any(line.startswith("the page by") for line in seen.overflowing)
    assert any("for its box" in line for line in seen.overflowing)
    assert any(line.startswith("text.") for line in seen.overflowing)
    assert seen.requests == ("https://example.invalid/x.png",)
    assert any("nothing is not defined" in line for line in seen.errors)
    assert any("wrong" in line for line in seen.errors)
    shutil.rmtree(tmp_path / "profile")
