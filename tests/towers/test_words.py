"""Words of texts in scripts with and without spaces, as Python reads them; that the graph does too is said in
test_features."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest

from towers import words as rule
from towers.words import tower_words, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("この赤い靴", ["この", "の赤", "赤い", "い靴"]),
        ("靴", ["靴"]),
        ("新しいiPhone15用ケース", ["新し", "しい", "iPhone15", "用ケ", "ケー", "ース"]),
        ("赤い靴、黒い靴。", ["赤い", "い靴", "黒い", "い靴"]),
        ("ｶﾞﾗｽ", ["ｶﾞﾗ", "ﾗｽ"]),  # a sound mark belongs to what it is on
        ("红色 运动鞋 42", ["红色", "运动", "动鞋", "42"]),
        ("𠮷野", ["𠮷野"]),  # beyond the 65,536 first characters
        ("ที่นี่", ["ที่นี่"]),  # two letters with their vowels and tones
        ("สีแดง 42", ["สีแ", "แด", "ดง", "42"]),
        ("ເກີບ", ["ເກີ", "ກີບ"]),
        ("빨간 신발", ["빨간", "신발"]),  # Korean sets spaces
        ("लाल जूते हिन्दी", ["लाल", "जूते", "हिन्दी"]),
        ("نمی\u200cشود क\u094d\u200dष", ["نمی\u200cشود", "क\u094d\u200dष"]),  # a joiner is part of a word
    ],
)
def test_scripts_without_spaces_are_read_as_pairs(text, found):
    assert words(text) == found


def test_scripts_with_spaces_are_read_as_they_are():
    rng = np.random.default_rng(0)
    letters = [*map(chr, range(0x20, 0x300)), *map(chr, range(0x400, 0x483))]
    for _ in range(200):
        text = "".join(rng.choice(letters, 50))
        assert words(text) == re.findall(r"\w+", text.replace("\u00ad", ""))


@pytest.mark.parametrize("read", [words, tower_words])
def test_what_is_not_seen_leaves_no_trace(read):
    assert read("\ufefftitle co\u00adop 赤\u2060い 禰\U000e0100 \u202bגל\u202c") == [
        *("title", "coop", "赤い", "禰", "גל")
    ]


@pytest.mark.parametrize("read", [words, tower_words])
def test_symbols_and_controls_stand_between_words(read):
    assert read("🧥coat\x85brand™x 50€ \u309b") == ["coat", "brand", "x", "50"]
    assert read("👩\u200d💻 ❤\ufe0f \u0301e\u0301") == ["e\u0301"]  # a mark needs a letter
    assert read("a\u200bb") == ["a", "b"]


def test_towers_read_lower_case_and_join_what_punctuation_parts():
    assert tower_words("Don't DON\u2019T https://a.example/1?b=2 Красный") == [
        *("dont", "dont", "httpsaexample1b2", "красный")
    ]
    assert tower_words("赤い-靴") == ["赤い", "靴"]


def test_marks_are_all_that_unicode_knows_of_these_scripts():
    letters, marks = (re.compile(f"[{held}]") for held in (rule._UNSPACED, rule._MARKS))
    for code in range(0x20000):
        if letters.match(chr(code)) and unicodedata.category(chr(code)).startswith("M"):
            assert marks.match(chr(code)), hex(code)
        if letters.match(chr(code)) and unicodedata.category(chr(code))[0] in "NPZ":
            assert chr(code) == "\u3007", hex(code)
