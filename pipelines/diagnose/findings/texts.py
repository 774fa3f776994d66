"""Whether texts say what items have in common."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.diagnose import words
from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.findings.base import Finding
from pipelines.diagnose.texts import TextWords
from pipelines.look.numbers import percent


def texts(found: Diagnosis) -> Iterator[Finding]:
    """What each text feature of items shares, or that there is none."""
    if not found.texts:
        yield Finding("note", "No text of items is listed as a feature.")
    for one in found.texts:
        yield _text(one)


def _text(one: TextWords) -> Finding:
    if not one.items:
        return Finding("warning", f"`{one.name}` holds no word of any item.")
    shared = (
        f"{percent(one.sharing)} of the {words.plural(one.items, 'item')} that have `{one.name}` share a word of it"
    )
    if one.named:
        return Finding(
            "warning",
            f"{percent(one.alone)} of the words in `{one.name}` are in one item only; {shared} with another item. Such "
            "words (codes, links, names) say nothing of new items: give it words that items have in common.",
        )
    return Finding("good" if one.connects else "note", f"{shared} with another item.")
