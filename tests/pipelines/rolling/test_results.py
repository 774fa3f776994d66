"""What is made of the metrics: curves and slopes by hand, the sentences, the table, the picture, the file."""

from dataclasses import replace
from io import StringIO
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from configs.errors import DataError
from pipelines.baselines.popularity import Popularity
from pipelines.evaluation.bootstrap import Interval
from pipelines.evaluation.metrics import at_depths
from pipelines.rolling import headline, load_rolling, print_rolling, rolling_plot, sentences
from pipelines.rolling.contenders import popularity, towers
from pipelines.rolling.replay import answer
from pipelines.rolling.results import save_rolling
from pipelines.rolling.steps import check_data, steps_of
from tests.pipelines.rolling.worlds import QUIET, Recent, dataset, replayed
from tests.world import DAY

NAME = 'popularity 1d by "a & b"'
DAYS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 17, 18, 19]  # days 15 and 16 are empty


def _data(queries=40):
    """Every query takes three items a day, of its own block and of what is popular on the day."""
    rng = np.random.default_rng(0)
    events = []
    for day in DAYS:
        for query in range(queries):
            mine = rng.choice(np.arange(query % 4, 80, 4), 2, replace=False)
            events += [(query, item, day + rng.random()) for item in (*mine, day * 4 + rng.integers(4))]
    return dataset(events, 12, {"rolling": {"step": "1d"}})


def _contenders(data):
    return [towers(data, Recent(80, 4, data.trend.columns)), popularity(data, Popularity(DAY, name=NAME))]


@pytest.fixture(scope="module")
def data():
    return _data()


@pytest.fixture(scope="module")
def replay(data):
    return replayed(data, _contenders(data), NAME)


def test_curves_and_slopes_by_hand(data, replay):
    answered = list(answer(data, steps_of(data), _contenders(data), QUIET))
    variants = (NAME, ()), (NAME, ("histories", "counts"))
    found = [
        np.stack([at_depths(one.lists[name], one.asked.requests.targets, [10])["recall@10"] for name in variants])
        for one in answered
    ]
    stale, fresh = np.concatenate(found, axis=1)
    curve, *_ = replay.of(NAME)
    assert curve.overall["recall@10"].mean == pytest.approx(stale.mean())
    assert curve.overall["recall@10"].n == replay.queries == 40  # the unit is the query
    for number, part in enumerate(found):
        point = curve.by_step["recall@10"][number]
        assert (point is None) == (part.shape[1] == 0) == (number in (3, 4))
        if point is not None:
            assert point.mean == pytest.approx(part[0].mean())
    gain = replay.staleness(NAME)
    assert gain.overall["recall@10"].mean == pytest.approx((fresh - stale).mean())
    query = np.concatenate([one.asked.requests.query for one in answered])
    age = np.repeat(np.arange(len(found)), [part.shape[1] for part in found])
    slope, _ = np.polyfit(age[age > 0], (fresh - stale)[age > 0], 1)
    found = gain.per_unit["recall@10"]
    assert found.mean == pytest.approx(slope)
    low, high = _slopes_of_resampled_queries(query[age > 0], age[age > 0], (fresh - stale)[age > 0])
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.15 * (high - low))
    assert [span.age for span in replay.spans] == list(range(8))
    assert replay.requests == len(stale)


def _slopes_of_resampled_queries(query, age, value):
    rng, slopes = np.random.default_rng(0), []
    for _ in range(1000):
        rows = np.concatenate([np.flatnonzero(query == one) for one in rng.choice(np.unique(query), 40)])
        slopes.append(np.polyfit(age[rows], value[rows], 1)[0])
    return np.quantile(slopes, [0.025, 0.975])


def test_the_pairs_that_are_compared(replay):
    pairs = {(one.refreshed, one.base_refreshed) for one in replay.differences if one.contender == NAME}
    assert pairs == {
        (("histories",), ()),
        (("histories", "counts"), ("histories",)),
        (("histories", "counts"), ()),
    }
    within = [one for one in replay.differences if one.contender == one.base_contender == "towers"]
    assert len(within) == 5
    between = [(one.refreshed, one.base_refreshed) for one in replay.differences if one.between]
    assert between == [((), ()), (("histories", "index"), ("histories", "counts"))]


def test_results_are_read_as_they_were_written(replay, tmp_path):
    save_rolling(replay, tmp_path)
    assert load_rolling(tmp_path) == replay


GROWING = Interval(0.002, 0.001, 0.003, 9)


def _saying(replay, recall, ndcg, slope=GROWING):
    """The replay with every difference replaced."""
    metrics = {"recall@10": recall, "ndcg@5": ndcg}
    by_step = {name: (Interval(0, 0, 0, 9), SURE, None, WORSE) for name in metrics}
    per_unit = None if slope is None else dict.fromkeys(metrics, slope)
    differences = (replace(one, overall=metrics, by_step=by_step, per_unit=per_unit) for one in replay.differences)
    return replace(replay, spans=replay.spans[:4], differences=tuple(differences))


SURE, UNSURE, WORSE = (
    Interval(0.012, 0.004, 0.02, 9),
    Interval(0.001, -0.01, 0.012, 9),
    Interval(-0.02, -0.03, -0.01, 9),
)


def test_sentences_say_what_is_bought_what_it_costs_and_what_may_be_chance(replay):
    said = sentences(_saying(replay, SURE, WORSE))
    assert said[0] == headline(_saying(replay, SURE, WORSE))
    start = (
        "towers: with nothing refreshed since the test cut gains 0.020 [0.010, 0.030] NDCG@5 and loses 0.012 "
        "[0.004, 0.020] recall@10"
    )
    course = "; of recall@10 0.012 after 1 day and -0.020 after 3 days, "
    assert said[0] == f"{start}{course}0.0020 [0.0010, 0.0030] more each day"
    shrinking, flat = Interval(-0.002, -0.003, -0.001, 9), Interval(0.001, -0.001, 0.003, 9)
    assert headline(_saying(replay, SURE, WORSE, shrinking)) == f"{start}{course}0.0020 [0.0010, 0.0030] less each day"
    assert headline(_saying(replay, SURE, WORSE, flat)) == f"{start}{course}no trend that can be told from chance"
    assert headline(_saying(replay, SURE, WORSE, None)) == start
    bought = "buys 0.012 [0.004, 0.020] recall@10 and costs 0.020 [0.010, 0.030] NDCG@5"
    assert f"towers: refreshing the index every 1 day {bought}" in said
    assert f"towers: refreshing histories every 1 day on top of index {bought}" in said
    assert f"{NAME}: refreshing its counts every 1 day on top of histories {bought}" in said
    assert said[-2].startswith(f"towers against {NAME}, nothing refreshed on both sides, gains 0.012")
    said = sentences(_saying(replay, UNSURE, SURE))
    assert "after" not in said[0]
    assert said[1].endswith(
        "buys 0.012 [0.004, 0.020] NDCG@5 (not to be told from chance: +0.001 [-0.010, +0.012] recall@10)"
    )
    said = sentences(_saying(replay, UNSURE, UNSURE))
    (nothing,) = (text for text in said if "its counts" in text)
    assert nothing.endswith(
        "buys nothing that can be told from chance: +0.001 [-0.010, +0.012] recall@10, +0.001 [-0.010, +0.012] NDCG@5"
    )


def test_the_table_keeps_to_100_columns_and_says_everything(replay):
    out = StringIO()
    print_rolling(replay, Console(file=out, width=100))
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    for expected in ("8 steps of 1 day", f"{replay.requests} requests of 40 queries", NAME, "histories + counts"):
        assert expected in text
    (empty,) = [line for line in text.splitlines() if line.startswith("4 ")]
    assert "2023-12-24" in empty
    assert empty.split()[3:] == ["0", "0", "0", *["\N{EN DASH}"] * 4]


def test_names_from_data_cannot_break_the_table(replay):
    wild = "popularity 1d by \x1b[31m" + "x" * 80
    renamed = {NAME: wild, "towers": "towers"}
    curves = tuple(replace(curve, contender=renamed[curve.contender]) for curve in replay.curves)
    differences = tuple(
        replace(one, contender=renamed[one.contender], base_contender=renamed[one.base_contender])
        for one in replay.differences
    )
    out = StringIO()
    print_rolling(replace(replay, chosen=wild, curves=curves, differences=differences), Console(file=out, width=100))
    assert "\x1b" not in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= 100


@pytest.mark.parametrize("metric", ["recall@10", "ndcg@5"])
def test_the_picture_holds_every_curve_and_is_sound_xml(replay, metric):
    text = rolling_plot(replay, metric)
    assert text.startswith("<svg")
    ElementTree.fromstring(text)
    for label in ("nothing", "histories", "index", "histories + index", "histories + counts", "&amp; b"):
        assert label in text
    assert "days since the test cut" in text
    assert "#0102" not in text


def test_a_window_in_which_no_one_can_be_asked():
    events = [(0, 0, 0.0), (0, 1, 11.2), (0, 2, 11.7), (1, 3, 12.5), (2, 1, 15.0)]
    data = dataset(events, 12)
    with pytest.raises(DataError, match="in none of the 10 steps does a query with a past take something new"):
        check_data(data)
