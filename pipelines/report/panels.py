"""How slices are put into panels: one for each dimension, those with the most that is worse first."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.evaluation.sliced import SliceResult, SliceResults
from pipelines.report.wording import metric_name

_GROUPS = {
    ("final list", "requests"): "What groups of queries are shown",
    ("final list", "targets"): "Which items are shown to those who take them",
    ("towers", "requests"): "What the towers retrieve for groups of queries",
    ("towers", "targets"): "Which items the towers retrieve",
}


@dataclass(frozen=True)
class Panel:
    """Slices of one dimension; name: of its figure."""

    name: str
    label: str
    rows: tuple[SliceResult, ...]

    @property
    def worse(self) -> int:
        """How many of its slices are surely worse."""
        return sum(row.against.status == "worse" for row in self.rows)


def rows(results: SliceResults) -> list[SliceResult]:
    """All slices, surely worse ones first, then by difference."""
    return sorted((row for row in results.rows if row.slice != "all"), key=_order)


def panels(results: SliceResults) -> dict[str, list[Panel]]:
    """Panels by the title of their group, slices in their own order; panels with the most that is worse come first."""
    found: dict[str, list[Panel]] = {}
    for (contender, of), title in _GROUPS.items():
        kept = [row for row in results.rows if (row.contender, _of(row)) == (contender, of) and row.slice != "all"]
        if not kept:
            continue
        metric = metric_name(kept[0].metric)
        group = [
            Panel(
                f"slices-{contender.replace(' ', '-')}-{of}-{place}",
                f"{metric} of the {contender} by {dimension}; the values are in the table below",
                tuple(row for row in kept if row.dimension == dimension),
            )
            for place, dimension in enumerate(dict.fromkeys(row.dimension for row in kept))
        ]
        found[f"{title}: {metric}"] = sorted(group, key=lambda one: -one.worse)
    return found


def _of(row: SliceResult) -> str:
    return "requests" if row.of == "newcomers" else row.of


def _order(row: SliceResult) -> tuple[bool, bool, float]:
    status = row.against.status
    return status != "worse", status == "too few to tell", row.against.difference.mean
