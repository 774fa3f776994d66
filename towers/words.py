"""How a text falls into words, also where a script sets no spaces between them (Japanese, Chinese, Thai, ...).

There a sentence would be one word that no other item has. Its characters are set apart as overlapping pairs, as search
engines do, which needs no dictionary: 赤い靴 is read as 赤い and い靴. All other text parts at what is no letter, mark
or digit, and what is not seen (a byte order mark, a soft hyphen) is taken out first.

The rule is a list of regular expressions that Python's `re` and TensorFlow's RE2 read alike, so that the baselines and
the served graph find the same words. Its classes are spelled out from `unicodedata`: `re` has none, and those of RE2
are of another version of Unicode.
"""

from __future__ import annotations

import functools
import re
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
)
_UNIT = f"[{_UNSPACED}][{_MARKS}]*"

_APART = (  # ab 赤い靴 -> ab \v赤い靴\f -> ab \v赤 赤い い靴 靴\f -> ab 赤い い靴; a character on its own stays
    (f"((?:{_UNIT})+)", "\v\\1\f"),
    (f"({_UNIT})", r"\1 \1"),
    (f"\v{_UNIT} | {_UNIT}\f", " "),
)

# punctuation that towers take out without a trace, so that don't is dont and a link is one word
_STRIPPED = r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~'""" + "\u2018\u2019]"

_SPACE, _JOINERS = 0x200B, (0x200C, 0x200D)  # of no width, by which some scripts part words and shape letters
_SELECTORS = (*range(0x180B, 0x180E), 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))  # another look alone
_TAKEN_FOR = {_SPACE: "Z", **dict.fromkeys(_JOINERS, "M"), **dict.fromkeys(_SELECTORS, "f")}


def words(text: str) -> list[str]:
    """Runs of letters, marks, digits and "_" in the order of the text, in its own case."""
    return _word().findall(_apart(text))


def tower_words(text: str) -> list[str]:
    """The words that towers read of a text, in lower case."""
    return _word().findall(re.sub(_STRIPPED, "", _apart(text.replace("İ", "i").lower())))


def rewrites() -> tuple[tuple[str, str], ...]:
    """Regular expression and rewrite of each step, to be applied everywhere and in this order, that leave of a text in
    lower case its `tower_words` with spaces between."""
    return (
        *_apart_steps(),
        (_STRIPPED, ""),
        (f"[^{_held('LMN')}]+", " "),
        (f"(^| )[{_held('M')}]+", " "),  # what joined two emoji is no word
    )


def _apart(text: str) -> str:
    if text.isascii():
        return text
    for pattern, rewrite in _apart_steps():
        text = re.sub(pattern, rewrite, text)
    return text


@functools.cache
def _apart_steps() -> tuple[tuple[str, str], ...]:
    return ((f"[{_held('f')}]", ""), *_APART)


@functools.cache
def _word() -> re.Pattern[str]:
    """A letter, digit or "_", and all that follows with the marks, without which Hindi and Thai are torn at vowels."""
    return re.compile(f"[{_held('LN')}_][{_held('LMN')}_]*")


def _held(kinds: str) -> str:
    """The characters of these kinds, as a class of a pattern holds them."""
    spans = (match.span() for match in re.finditer(f"[{kinds}]+", _kinds()))
    return "".join(f"{chr(start)}-{chr(end - 1)}" for start, end in spans)


@functools.cache
def _kinds() -> str:
    """The kind of each character: L letter, M mark, N digit, f what is not seen, any other what stands between words.

    It takes a tenth of a second, which no import should wait for.
    """
    kinds = [*map(_kind, range(0x40000)), *["n"] * 0xA0000, *map(_kind, range(0xE0000, 0xE1000))]
    for code, kind in _TAKEN_FOR.items():
        kinds[code] = kind
    return "".join(kinds)


def _kind(code: int) -> str:
    category = unicodedata.category(chr(code))
    return category[1] if category[0] == "C" else category[0]
