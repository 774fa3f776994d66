"""The funnel in one line."""

from __future__ import annotations

from pipelines.evaluation.funnel import FATES, Funnels

_FATES = {
    "absent": "not in the catalogue at the cut",
    "filtered": "filtered as taken already",
    "below K": "below {k} even in exact search",
    "missed": "missed by the index",
    "ranked out": "ranked out",
    "reranked out": "reranked out",
    "shown": "shown",
}


def funnel_line(found: Funnels) -> str:
    """Where the held-out items were lost: shares of the first row, which is of everything."""
    everything = found.rows[0]
    parts = [
        f"{_share(count, everything.total)} {_FATES[fate].format(k=found.k)}"
        for fate, count in zip(FATES, everything.counts, strict=True)
        if count
    ]
    return f"Of {everything.total:,} held-out items {', '.join(parts)}."


def _share(count: int, total: int) -> str:
    share = count / total
    return "<0.1%" if share < 0.0005 else f"{share:.1%}"
