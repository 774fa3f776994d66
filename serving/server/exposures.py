"""What becomes of a list that was answered: counted, logged as an exposure, and held against the shadow version's."""

from __future__ import annotations

from collections.abc import Sequence

from serving.logs import Exposure
from serving.server.api import RecommendAnswer
from serving.server.journal import Journal
from serving.server.metrics import Metrics
from serving.server.recommend import FALLBACK, MODEL, Asked
from serving.server.shadow import Shadow
from serving.server.version import Version


class Exposures:
    """Writes down every list that somebody sees."""

    def __init__(self, journal: Journal, metrics: Metrics) -> None:
        self._journal, self._metrics, self._shadow = journal, metrics, Shadow(metrics)

    def add(
        self, answer: RecommendAnswer, asked: Asked, propensities: Sequence[float] | None, shadow: Version | None
    ) -> None:
        """Write an answer down, unless it was asked for as a look that nobody sees.

        propensities: how likely each item was in its place, None where chance had no say; shadow: who is asked too.
        """
        if answer.source == FALLBACK:
            self._metrics.fallbacks.labels(answer.reason).inc()
        if not asked.request.shown:
            return
        for experiment, arm in answer.arms.items():
            self._metrics.exposures.labels(experiment, arm).inc()
        items = [one.item for one in answer.items]
        self._journal.shown(
            Exposure(
                request=answer.request,
                query=asked.request.user,
                time=asked.time,
                model=answer.model,
                version=answer.version,
                source=answer.source,
                items=items,
                scores=[one.score for one in answer.items],
                seconds=answer.seconds,
                reason=answer.reason or "",
                arms=answer.arms,
                propensities=propensities,
            )
        )
        if answer.source == MODEL:  # else there is nothing to compare with
            self._shadow.ask(shadow, asked, items)
