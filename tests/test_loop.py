"""Once round: a run is published, events are posted and logged, and the next run is made of them too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from configs.load import load
from pipelines.progress import Progress
from pipelines.run import open_run, publish_run
from serving.bundle import Bundle, load_bundle
from serving.logs import EventLog
from serving.store import Event, Stored, merge, open_store
from tests.odd_data import item_ids, write_sessions
from tests.runs import twinspire

pytestmark = pytest.mark.slow

# popularity is as good as any model to go round with, and needs no training
QUICK = ("content", "user_neighbours", "neighbours", "ease", "als", "bpr", "lightfm", "blends")


def run(home: Path, *overrides: str) -> tuple[Path, Bundle]:
    """A run of the sessions, published as popularity: its folder, and the bundle."""
    settings = [
        *(f"baselines.{name}=false" for name in QUICK),
        "baselines.trials=1",
        "gate.k=20",
        "index.candidates=60",
    ]
    config = load(home / "odd.toml", [*settings, f"publish.root={home / 'bundles'}", *overrides])
    work = open_run(config, home / "runs")
    version, reason = publish_run(work, "popularity", Progress(quiet=True))
    assert version is not None, reason
    return work.folder, load_bundle(version)


async def stored(store: str, query: str, *events: Event) -> Stored | None:
    """What a store knows of a query, after events."""
    opened = await open_store(store, read=60, write=60)
    await opened.add(events)
    known = await opened.get(query)
    await opened.close()
    return known


def test_what_is_posted_is_served_at_once_and_learned_in_the_next_run(tmp_path):
    (tmp_path / "odd.toml").write_text(write_sessions(tmp_path))
    logged = tmp_path / "logs" / "events"
    logged.mkdir(parents=True)
    reads_log = f"data.events.logged={logged}"
    _, first = run(tmp_path, reads_log)
    end, events = first.manifest["data"]["end"], first.manifest["data"]["events"]
    star, *others = reversed([one.item for one in first.recommend(None, 150, context={"load": 1.0})])

    # a server takes what a newcomer does, and hundreds who take what nobody liked
    taken = [(item, end + 10 + place) for place, item in enumerate(others[:3])]
    context = {"channel": "kiosk", "load": 1.5}
    posted = [Event("new one", item, time, "view", context=context) for item, time in taken]
    posted += [Event(f"fan {n}", star, end + n, "buy", context=context) for n in range(400)]
    log, store = EventLog(first.config, logged), f"sqlite:{tmp_path / 'store.sqlite'}"
    assert log.append(posted) == 403
    known = merge(first.state.query("new one"), asyncio.run(stored(store, "new one", *posted)))
    assert list(zip(known.history, known.history_time, strict=True)) == taken
    log.close()

    # the next run is the same command
    folder, second = run(tmp_path, reads_log)
    assert (second.folder.name, second.manifest["data"]["events"]) == ("2", events + 403)
    state = second.state.query("new one")
    assert list(zip(state.history, state.history_time, strict=True)) == taken
    assert second.recommend(None, 1, context=context)[0].item == star
    assert star not in {one.item for one in second.recommend("fan 7", 20, context=context)}
    assert set(item_ids()) >= {star, *others}

    # and its tables alone would have told the store
    called = twinspire("load-state", folder, store, check=True)
    assert f"1,101 queries as of {end + 399}" in called.out
    known = asyncio.run(stored(store, "new one"))
    assert (list(known.events), known.loaded.until) == ([], end + 399)
    assert known.loaded.state == state
    assert merge(state, known) == state
