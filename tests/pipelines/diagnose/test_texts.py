"""Texts whose words are in one item only are told from those that items share, whatever the script."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.diagnose import Observed, diagnose
from pipelines.diagnose.rules import RULES
from pipelines.diagnose.texts import TextWords, texts
from tests.pipelines.diagnose.test_findings import line
from tests.pipelines.diagnose.worlds import DAY, START, observed

ITEMS = 200
TEXT = {"name": "about", "table": "items", "kind": "text"}


def _told(about: list[str], **settings: int) -> Observed:
    rng = np.random.default_rng(0)
    log = rng.integers(0, 100, 4_000), rng.integers(0, ITEMS, 4_000), START + rng.integers(0, 60 * DAY, 4_000)
    return observed(*log, items={"about": about}, features=(TEXT | settings,), n_items=ITEMS)


def test_words_by_hand():
    about = ["red shoe", "Red, red hat", "blue", "", *[""] * (ITEMS - 4)]
    # of red shoe, red hat and blue, each once an item, red alone is in two
    assert texts(_told(about)) == (TextWords("about", items=3, sharing=2 / 3, alone=3 / 5),)


def test_words_beyond_the_length_are_not_read():
    about = [f"{item} red shoe" for item in range(ITEMS)]
    assert texts(_told(about, length=1))[0].sharing == 0
    assert texts(_told(about, length=2))[0].sharing == 1


@pytest.mark.parametrize("about", ["SKU-{}", "https://shop.example/p/{}", "{}"], ids=["codes", "links", "numbers"])
def test_names_of_items_warn_and_place_nothing(about):
    found = _told([about.format(item) for item in range(ITEMS)])
    said = line(found, "texts", "about")
    assert said.level == "warning"
    assert "100.0% of the words in `about` are in one item only; 0.0% of the 200 items" in said.text
    assert _content(found).holds is False


@pytest.mark.parametrize(
    "about",
    [
        "この{}靴は新しい商品番号{}で、軽くて丈夫です。",
        "{} shoe, number {}, light and lasting",
        "รองเท้า{}คู่ใหม่ {} เบาและทนทาน",
    ],
    ids=["Japanese", "English", "Thai"],
)
def test_descriptions_are_good_in_any_script(about):
    found = _told([about.format(["赤い", "red", "แดง"][item % 3], item) for item in range(ITEMS)])
    said = line(found, "texts", "about")
    assert said.level == "good"
    assert "100.0% of the 200 items that have `about` share a word of it with another item" in said.text
    assert _content(found).holds is True


def test_no_word_and_no_text_are_said():
    assert line(_told([""] * ITEMS), "texts", "holds no word of any item").level == "warning"
    assert _content(_told([""] * ITEMS)).holds is False
    assert line(observed([0, 0, 1], [0, 1, 1], [START] * 3), "texts", "No text of items").level == "note"


def _content(found: Observed):
    return next(one for one in diagnose(found).advice.answers if one.question == RULES["content"].question)
