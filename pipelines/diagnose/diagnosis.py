"""Everything that is measured of one data set, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines.diagnose.advice import Advice, advise
from pipelines.diagnose.feedback import Feedback, feedback
from pipelines.diagnose.histories import Histories, histories
from pipelines.diagnose.leaks import Leaks, leaks
from pipelines.diagnose.observed import Observed
from pipelines.diagnose.popularity import Popularity, popularity
from pipelines.diagnose.problem import Problem, problem
from pipelines.diagnose.recency import Contest, contest
from pipelines.diagnose.tastes import Tastes, tastes
from pipelines.diagnose.texts import TextWords, texts
from pipelines.diagnose.timing import Timing, timing
from pipelines.prepare import Account


@dataclass(frozen=True)
class Diagnosis:
    """The data of one config. clock: times are unix seconds, else order numbers; uncut: why the log cannot be cut
    into windows, "" where it can; tastes and contest are None where it cannot, contest also where nobody comes back.
    """

    name: str
    clock: bool
    uncut: str
    accounts: Mapping[str, Account]
    problem: Problem
    tastes: Tastes | None
    feedback: Feedback
    histories: Histories
    popularity: Popularity
    contest: Contest | None
    timing: Timing
    texts: tuple[TextWords, ...]
    leaks: Leaks
    advice: Advice


def diagnose(observed: Observed) -> Diagnosis:
    """Measure everything, and say what design it argues for."""
    argued_from: dict[str, Any] = {
        "problem": problem(observed),
        "tastes": tastes(observed.dataset) if observed.dataset is not None else None,
        "histories": histories(observed),
        "contest": contest(observed),
        "texts": texts(observed),
        "leaks": leaks(observed),
        "feedback": feedback(observed),
    }
    return Diagnosis(
        name=observed.config.name,
        clock=observed.clock,
        uncut=observed.problem,
        accounts=observed.accounts,
        popularity=popularity(observed),
        timing=timing(observed),
        advice=advise(observed, **argued_from),
        **argued_from,
    )
