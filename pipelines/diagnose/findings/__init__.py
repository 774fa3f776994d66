"""The diagnosis in sentences, each with its number; the same in the terminal and on the page."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.diagnose.diagnosis import Diagnosis
from pipelines.diagnose.findings.base import Finding as Finding
from pipelines.diagnose.findings.base import Level as Level
from pipelines.diagnose.findings.feedback import feedback
from pipelines.diagnose.findings.histories import histories
from pipelines.diagnose.findings.leaks import leaks
from pipelines.diagnose.findings.popularity import popularity
from pipelines.diagnose.findings.problem import problem
from pipelines.diagnose.findings.texts import texts
from pipelines.diagnose.findings.timing import timing

_SECTIONS = (
    ("problem", "Is this a recommendation problem?", problem),
    ("feedback", "What is the feedback?", feedback),
    ("histories", "What is known of those who ask?", histories),
    ("popularity", "How does popularity move?", popularity),
    ("timing", "Are times and rows sound?", timing),
    ("texts", "Do texts say what items have in common?", texts),
    ("leaks", "Do features give the future away?", leaks),
)


@dataclass(frozen=True)
class Section:
    """key: name of the part; title: the question it answers."""

    key: str
    title: str
    findings: tuple[Finding, ...]


def sections(found: Diagnosis) -> tuple[Section, ...]:
    """All parts but the advice, in the order of reading."""
    return tuple(Section(key, title, tuple(say(found))) for key, title, say in _SECTIONS)
