"""A replay at each event, looked at by month: the figures by hand, and what is said of them."""

from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from pipelines.baselines.popularity import Popularity
from pipelines.evaluation.bootstrap import intervals
from pipelines.evaluation.metrics import at_depths
from pipelines.rolling import load_rolling, print_rolling, rolling_plot, sentences
from pipelines.rolling.contenders import popularity, towers
from pipelines.rolling.replay import answer
from pipelines.rolling.results import save_rolling
from pipelines.rolling.steps import steps_of
from tests.pipelines.rolling.worlds import QUIET, Recent, dataset, replayed
from tests.world import DAY

NAME = "popularity 7d"
BLOCKS, ITEMS, QUERIES = 4, 800, 24
BY_MONTH = {"rolling": {"step": "1d", "each_event": True, "k": 20, "by": "month"}, "data.seen_items": "keep"}
FULL = (("towers", ("histories", "index")), (NAME, ("counts",)))


def _data():
    """Queries stay with their block until the end of January; in February all take what is popular for ten days."""
    rng = np.random.default_rng(0)
    events = []
    for day in range(90):  # from 2023-12-09
        for query in range(QUERIES if day < 83 else 5):  # in March few are left
            own = rng.integers(0, 20, 2) * BLOCKS + query % BLOCKS
            mine = [int(item) for item in own] if day < 54 else [800 - 8 * (day // 10) + int(rng.integers(0, 8))]
            events += [(query, item, day + rng.random()) for item in mine]
    return dataset(events, 31, BY_MONTH, available=[0] * ITEMS)  # the test cut is 2024-01-09


def _contenders(data):
    return [towers(data, Recent(data.n_items, BLOCKS, data.trend.columns)), popularity(data, Popularity(7 * DAY, NAME))]


@pytest.fixture(scope="module")
def data():
    return _data()


@pytest.fixture(scope="module")
def replay(data):
    replay = replayed(data, _contenders(data), NAME)
    return replace(replay, min_queries=10)


def test_months_hold_all_events_and_their_means(data, replay):
    answered = list(answer(data, steps_of(data), _contenders(data), QUIET))
    assert replay.metrics == ("recall@20", "ndcg@5")
    assert [span.start for span in replay.spans][1:] == [1_706_745_600, 1_709_251_200]  # February, March
    log = data.log
    asked = (log.time >= data.cuts.test.moment).sum()  # everyone has a past, and the same may be taken again
    assert replay.requests == asked == sum(len(one.asked.requests) for one in answered)
    found = {
        variant: [
            (
                one.step.start.moment,
                one.asked.requests.query,
                at_depths(one.lists[variant], one.asked.requests.targets, [20]),
            )
            for one in answered
        ]
        for variant in FULL
    }
    apart, query, start = [], [], []
    for ours, theirs in zip(*found.values(), strict=True):
        apart.append(ours[2]["recall@20"] - theirs[2]["recall@20"])
        query.append(ours[1])
        start.append(np.full(len(ours[1]), ours[0]))
    apart, query, start = map(np.concatenate, (apart, query, start))
    for span, point in zip(replay.spans, replay.against.by_step["recall@20"], strict=True):
        inside = (start >= span.start) & (start < span.end)
        (expected,) = intervals(apart[inside][None], seed=data.config.seed, cluster=query[inside])
        assert point == expected
        assert span.requests == inside.sum()
        assert point.n == len(np.unique(query[inside]))


def test_the_months_in_which_popularity_wins_are_told(replay):
    january, february, march = replay.against.by_step["recall@20"]
    assert january.low > 0.5  # blocks are known, and nothing is popular
    assert february.high < 0  # towers that stand still know nothing of it
    assert march.n == 5
    said = sentences(replay)[-1]
    assert said.startswith(
        f"towers against {NAME} by month, everything but the towers refreshed, recall@20: surely above in 1, "
        "surely below in 1, too few to tell in 1; least in 2024-02, -0."
    )


def test_the_terminal_shows_a_line_a_month(replay):
    out = StringIO()
    print_rolling(replay, Console(file=out, width=100))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    assert "3 months in steps of 1 day" in text
    assert "Each event of a query with a past is asked for" in " ".join(text.split())
    for month, verdict in (("2024-01", "above"), ("2024-02", "below"), ("2024-03", "too few to tell")):
        (line,) = [line for line in text.splitlines() if line.strip().startswith(month)]
        assert line.strip().endswith(verdict)


def test_the_picture_shows_towers_less_popularity(replay):
    text = rolling_plot(replay, "recall@20")
    ElementTree.fromstring(text)
    assert f"towers less {NAME}, both refreshed" in text
    assert "weeks since the test cut, at the start of the month" in text


def test_results_by_month_are_read_as_they_were_written(replay, tmp_path):
    save_rolling(replay, tmp_path)
    assert load_rolling(tmp_path) == replay


def test_each_history_is_encoded_once(data):
    class Counting(Recent):
        def of(self, requests):
            read.append(len(requests))
            return super().of(requests)

    read: list[int] = []
    contenders = [towers(data, Counting(data.n_items, BLOCKS, data.trend.columns))]
    answered = list(answer(data, steps_of(data)[:5], contenders, QUIET))
    assert sum(read) == 2 * sum(len(one.asked.requests) for one in answered)  # as of the event, and as of the cut
