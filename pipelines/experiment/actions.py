"""From a server's logs to the table that off-policy estimates read: a row for each place of each list shown."""

from __future__ import annotations

from pathlib import Path

import ibis

from configs.errors import DataError
from pipelines.experiment.logs import Reading, engine, events_table, open_logged
from pipelines.normalise import as_number

_NEEDED = ("request", "query", "time", "items", "propensities")


def write_actions(asked: Reading, out: Path) -> tuple[int, int]:
    """Write request, query, place (from 0), item, propensity and reward: 1 where the query has an event with the item
    within `asked.window` of the list, of the first of `asked.kinds` (all where None), else 0.

    Returns the rows, and the lists that were left out for having no propensities or no query. Raises: DataError.
    """
    if not asked.events or asked.window is None:
        raise DataError(f"{asked.exposures}: found no events beside the exposures; give them as --events GLOB")
    partial = out.with_name(f".{out.name}.partial")
    with engine() as backend:
        table = open_logged(backend, asked.exposures, "exposures", _NEEDED).select(*_NEEDED)
        lists = table.filter(table["propensities"].notnull(), table["query"].notnull())
        places = lists.mutate(
            time=as_number(lists["time"]).cast("int64"), place=ibis.range(0, lists["items"].length()).unnest()
        )
        places = places.mutate(
            item=places["items"][places["place"]], propensity=places["propensities"][places["place"]]
        )
        events = events_table(backend, asked).rename(at="time")
        kind = asked.kinds[0]
        if kind is not None:
            events = events.filter(events["kind"] == kind)
        earned = places.inner_join(events, ["query", "item"])
        earned = earned.filter(earned["at"] >= earned["time"], earned["at"] < earned["time"] + asked.window)
        earned = earned.select("request", "place").distinct().mutate(reward=ibis.literal(1.0))
        rows = places.left_join(earned, ["request", "place"])
        found = rows.select(
            "request", "query", "place", "item", "propensity", reward=rows["reward"].fill_null(0.0)
        ).order_by("request", "place")
        try:
            found.to_parquet(partial)
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
        counts = (frame.count().to_pyarrow().as_py() for frame in (places, table, lists))
        actions, shown, kept = counts
    return actions, shown - kept
