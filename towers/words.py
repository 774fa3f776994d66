"""How a text falls into words, also where a script sets no spaces between them (Japanese, Chinese, Thai, ...).

There a sentence would be one word that no other item has. Its characters are set apart as overlapping pairs, as search
engines do, which needs no dictionary: 赤い靴 is read as 赤い and い靴. The rule is a list of regular expressions that
Python's `re` and TensorFlow's RE2 read alike, so that the baselines and the served graph find the same words. All other
text passes it as it is.
"""

from __future__ import annotations

import functools
import re
import sys
import unicodedata

_UNSPACED = (  # letters and marks, no digits and no punctuation
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\u3041-\u3096\u3099\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Hiragana, Katakana
    "\u3105-\u312f\u31a0-\u31bf"  # Bopomofo
    "\u0e01-\u0e3a\u0e40-\u0e4e"  # Thai
    "\u0e81-\u0ebd\u0ec0-\u0ece\u0edc-\u0edf"  # Lao
    "\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa76\uaa7a-\uaa7f"  # Myanmar
    "\u1780-\u17d3\u17d7\u17dc\u17dd"  # Khmer
)
_MARKS = (  # of these scripts: vowels and tones that belong to the letter before them
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
    "\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece"
    "\u102b-\u103e\u1056-\u1059\u105e-\u1060\u1062-\u1064\u1067-\u106d\u1071-\u1074\u1082-\u108d\u108f\u109a-\u109d"
    "\ua9e5\uaa7b-\uaa7d"
    "\u17b4-\u17d3\u17dd"
    "\u3099\u309a\uff9e\uff9f"
    "\ufe00-\ufe0f\U000e0100-\U000e01ef"
)
_UNIT = f"[{_UNSPACED}][{_MARKS}]*"

APART = (  # ab 赤い靴 -> ab \v赤い靴\f -> ab \v赤 赤い い靴 靴\f -> ab 赤い い靴; a character on its own stays
    (f"((?:{_UNIT})+)", "\v\\1\f"),
    (f"({_UNIT})", r"\1 \1"),
    (f"\v{_UNIT} | {_UNIT}\f", " "),
)
"""Pattern and rewrite of each step, to be applied everywhere in the text and in this order."""

STRIPPED = r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~'""" + "\u2018\u2019]"
"""Punctuation that towers take out without a trace, so that don't is dont and a link is one word."""

_STEPS = tuple((re.compile(pattern), rewrite) for pattern, rewrite in APART)


def words(text: str) -> list[str]:
    """Runs of letters, marks, digits and "_" in the order of the text, in its own case."""
    return _word().findall(_apart(text))


def tower_words(text: str) -> list[str]:
    """The words that towers read of a text, in lower case. Of symbols (™, emoji) there are none, the graph has them."""
    return _word().findall(re.sub(STRIPPED, "", _apart(text.replace("İ", "i").lower())))


def _apart(text: str) -> str:
    if text.isascii():
        return text
    for pattern, rewrite in _STEPS:
        text = pattern.sub(rewrite, text)
    return text


@functools.cache
def _word() -> re.Pattern[str]:
    """What `\\w` holds and the marks that it leaves out, without which it tears Hindi and Thai at their vowels."""
    marks = (chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("M"))
    return re.compile(f"[\\w{''.join(marks)}\u200c\u200d]+")
