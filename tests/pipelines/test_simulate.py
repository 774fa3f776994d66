"""The planted world has the properties that everything measured on it relies on."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from implicit.nearest_neighbours import CosineRecommender
from scipy.sparse import csr_matrix

from pipelines.simulate import CATEGORIES, DAY, DEVICES, EVENTS, START, World, WorldSize, build_world

SMALL = WorldSize(users=400, items=300, events=6_000, days=20, seed=3)


@pytest.fixture(scope="module")
def small() -> World:
    return build_world(SMALL)


@pytest.fixture(scope="module")
def world() -> World:
    return build_world()


@pytest.fixture(scope="module")
def log(world: World) -> pd.DataFrame:
    return world.events()


def index_of(ids: pd.Series) -> np.ndarray:
    return ids.str[1:].astype(int).to_numpy()


class Cut:
    """The default log cut at the .9 quantile of time; ranks released items and leaves out the seen."""

    def __init__(self, world: World, log: pd.DataFrame) -> None:
        shape = (world.size.users, world.size.items)
        self.time = int(log["time"].quantile(0.9))
        self.user, self.item = index_of(log["user_id"]), index_of(log["item_id"])
        self.past = (log["time"] < self.time).to_numpy()
        self.seen = csr_matrix((np.ones(self.past.sum()), (self.user[self.past], self.item[self.past])), shape)
        later = ~self.past
        self.targets = csr_matrix((np.ones(later.sum()), (self.user[later], self.item[later])), shape)
        eligible = np.flatnonzero((self.seen.getnnz(axis=1) > 0) & (self.targets.getnnz(axis=1) > 0))
        self.queries = np.random.default_rng(0).choice(eligible, 1_000, replace=False)
        self.unreleased = world.items["release_time"].to_numpy() > log["time"].max()

    def popularity(self, log: pd.DataFrame, days: float = np.inf) -> np.ndarray:
        recent = self.past & (log["time"] >= self.time - days * DAY).to_numpy()
        counts = np.bincount(self.item[recent], minlength=len(self.unreleased)).astype(np.float32)
        return np.tile(counts, (len(self.queries), 1))

    def quality(self, scores: np.ndarray) -> tuple[float, float]:
        """Mean recall@100 and NDCG@10 of scores [queries, items]."""
        scores = np.where(self.unreleased | (self.seen[self.queries].toarray() > 0), -np.inf, scores)
        top = np.argsort(-scores, axis=1, kind="stable")[:, :100]
        targets = self.targets[self.queries].toarray() > 0
        hits = np.take_along_axis(targets, top, axis=1)
        discount = 1 / np.log2(np.arange(2, 12))
        ideal = np.cumsum(discount)[np.minimum(targets.sum(axis=1), 10) - 1]
        recall = hits.sum(axis=1) / targets.sum(axis=1)
        return float(recall.mean()), float((hits[:, :10] @ discount / ideal).mean())


@pytest.fixture(scope="module")
def cut(world: World, log: pd.DataFrame) -> Cut:
    return Cut(world, log)


def test_same_seed_same_world_and_another_seed_another(small: World) -> None:
    again, other = build_world(SMALL), build_world(WorldSize(400, 300, 6_000, 20, seed=4))
    pd.testing.assert_frame_equal(small.users, again.users)
    pd.testing.assert_frame_equal(small.items, again.items)
    pd.testing.assert_frame_equal(small.events(), again.events())
    assert not small.events().equals(other.events())


def test_a_chunk_does_not_depend_on_how_the_others_were_read(small: World) -> None:
    whole = list(small.event_chunks(5_000, chunk=1_000))
    interleaved = small.event_chunks(5_000, chunk=1_000)
    for expected in whole:
        small.events()
        pd.testing.assert_frame_equal(next(interleaved), expected)


def test_tables_have_the_documented_columns_and_types(world: World, log: pd.DataFrame) -> None:
    assert list(world.users) == ["user_id", "age_band", "region", "signup_time"]
    assert list(world.items) == ["item_id", "title", "category", "price", "release_time"]
    assert list(log) == ["user_id", "item_id", "time", "device", "event"]
    assert {world.users["signup_time"].dtype, world.items["release_time"].dtype, log["time"].dtype} == {
        np.dtype(np.int64)
    }
    assert world.users["user_id"].is_unique
    assert world.items["item_id"].is_unique
    assert (world.items["price"] > 0).all()
    assert set(log["device"]) == set(DEVICES)
    assert set(log["event"]) == set(EVENTS)
    assert not any(table.isna().any(axis=None) for table in (world.users, world.items, log))


def test_default_set_has_the_promised_size_and_no_repeats(log: pd.DataFrame) -> None:
    assert 190_000 <= len(log) <= 210_000
    assert not log.duplicated(["user_id", "item_id"]).any()
    assert 10 <= log["user_id"].value_counts().median() <= 25


def test_nothing_happens_before_its_time(world: World, log: pd.DataFrame) -> None:
    time = log["time"].to_numpy()
    assert (world.users["signup_time"].to_numpy()[index_of(log["user_id"])] <= time).all()
    assert (world.items["release_time"].to_numpy()[index_of(log["item_id"])] <= time).all()
    assert time.min() >= START
    assert time.max() < world.end
    assert log["time"].is_monotonic_increasing


def test_chunks_are_in_time_order_and_add_up() -> None:
    # So many possible pairs that next to no draw repeats one, and the rows can be counted.
    world = build_world(WorldSize(users=50_000, items=5_000))
    chunks = list(world.event_chunks(25_500, chunk=10_000))
    drawn = np.array([10_000, 10_000, 5_500])
    rows = np.array([len(chunk) for chunk in chunks])
    assert (rows <= drawn).all()
    assert (rows >= 0.99 * drawn).all()
    assert pd.concat(chunks)["time"].is_monotonic_increasing
    assert not any(chunk.duplicated(["user_id", "item_id"]).any() for chunk in chunks)


def test_memory_does_not_grow_with_the_number_of_events(small: World) -> None:
    def peak(events: int) -> int:
        tracemalloc.start()
        for chunk in small.event_chunks(events, chunk=5_000):
            del chunk
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(100_000) < 1.5 * peak(10_000)


def test_traffic_follows_the_day_and_the_week(log: pd.DataFrame) -> None:
    hours = (log["time"] // 3_600 % 24).value_counts()
    assert hours.max() > 2 * hours.min()
    weekday = (log["time"] - START) // DAY % 7
    assert (weekday >= 5).mean() > 2 / 7 + 0.02


def test_oracle_beats_popularity_by_a_wide_margin(world: World, log: pd.DataFrame, cut: Cut) -> None:
    popular = [cut.quality(cut.popularity(log)), cut.quality(cut.popularity(log, days=7))]
    recall, ndcg = np.max(popular, axis=0)
    assert 0.1 < recall < 0.3
    oracle_recall, oracle_ndcg = cut.quality(world.true_scores(cut.queries, cut.time))
    assert oracle_recall > 1.7 * recall
    assert oracle_ndcg > 2 * ndcg


def test_knowing_the_whole_window_is_better_still(world: World, cut: Cut) -> None:
    at_cut = cut.quality(world.true_scores(cut.queries, cut.time))
    window = cut.quality(world.true_scores(cut.queries, cut.time, horizon_seconds=world.end - cut.time))
    assert window[0] > at_cut[0] + 0.01
    assert window[1] > at_cut[1]


def test_last_week_is_a_better_guide_than_all_time(log: pd.DataFrame, cut: Cut) -> None:
    assert cut.quality(cut.popularity(log, days=7))[0] > 1.1 * cut.quality(cut.popularity(log))[0]


@pytest.mark.filterwarnings("ignore:Method expects CSR")
def test_taste_can_be_learnt_from_histories(log: pd.DataFrame, cut: Cut) -> None:
    neighbours = CosineRecommender(K=200, num_threads=1)
    neighbours.fit(cut.seen, show_progress=False)
    scores = (cut.seen[cut.queries] @ neighbours.similarity).toarray()
    assert cut.quality(scores)[0] > 1.05 * cut.quality(cut.popularity(log, days=7))[0]


def test_tastes_drift(world: World) -> None:
    pairs = zip(world.taste_start.T[:-1], world.taste_end.T[:-1], strict=True)
    assert 0.8 < np.mean([np.corrcoef(start, end)[0, 1] for start, end in pairs]) < 0.95


def test_popularity_rises_and_fades(world: World, log: pd.DataFrame) -> None:
    born = world.items["release_time"].to_numpy()
    young = np.flatnonzero((born >= START) & (born < START + 40 * DAY))
    item = index_of(log["item_id"])
    age = (log["time"].to_numpy() - born[item])[np.isin(item, young)] // DAY
    per_day = np.bincount(age, minlength=80)
    assert per_day[3:10].mean() > 2 * per_day[0]
    assert per_day[3:10].mean() > 1.7 * per_day[60:80].mean()


def test_scores_are_the_chances_of_what_is_drawn_next(world: World) -> None:
    # Few draws, so that hardly any is a repeat (which the oracle does not know to be dropped).
    drawn = next(world.event_chunks(3_000))
    user, item = index_of(drawn["user_id"]), index_of(drawn["item_id"])
    scores = world.true_scores(user, drawn["time"].to_numpy(), drawn["device"].to_numpy())
    assert scores.dtype == np.float32
    chance = np.exp(scores)
    np.testing.assert_allclose(chance.sum(axis=1), 1, atol=0.1)
    top = np.argsort(-scores, axis=1)[:, :50]
    expected = np.take_along_axis(chance, top, axis=1).sum(axis=1).mean()
    observed = (top == item[:, None]).any(axis=1).mean()
    assert observed == pytest.approx(expected, rel=0.15)


def test_scores_take_one_moment_for_all_or_one_each(small: World) -> None:
    users, time = np.array([5, 0, 7]), START + 10 * DAY
    together = small.true_scores(users, time)
    one_each = small.true_scores(users, np.full(3, time))
    np.testing.assert_array_equal(together, one_each)
    np.testing.assert_allclose(small.true_scores(users[1:2], time)[0], together[1], rtol=1e-5)
    released = small.items["release_time"].to_numpy() <= time
    np.testing.assert_array_equal(np.isfinite(together), np.tile(released, (3, 1)))


def test_an_unknown_device_is_named(small: World) -> None:
    with pytest.raises(ValueError, match=r"device: got \['fridge'\], expected some of \['phone'"):
        small.true_scores(np.array([0, 1]), START, np.array(["tv", "fridge"]))


def test_an_empty_world_is_refused() -> None:
    with pytest.raises(ValueError, match="items: got 0, expected at least 1"):
        WorldSize(items=0)


def test_titles_tell_the_category_and_the_latent(world: World) -> None:
    sample = np.random.default_rng(0).choice(world.size.items, 1_000, replace=False)
    words = world.items["title"].iloc[sample].str.get_dummies(sep=" ").to_numpy(np.float32)
    overlap = words @ words.T
    np.fill_diagonal(overlap, -1)
    nearest = overlap.argmax(axis=1)
    category = world.category[sample]
    assert (category[nearest] == category).mean() > 5 / len(CATEGORIES)

    latent = world.latent[sample, :-1]
    latent = latent / np.linalg.norm(latent, axis=1, keepdims=True)
    similarity = latent @ latent.T
    pairs = np.triu_indices(len(sample), 1)
    assert np.corrcoef(overlap[pairs], similarity[pairs])[0, 1] > 0.4
    # Words say more than the category: they also tell items of one category apart.
    same = category[pairs[0]] == category[pairs[1]]
    assert np.corrcoef(overlap[pairs][same], similarity[pairs][same])[0, 1] > 0.2


def test_user_features_tell_the_segment_but_not_surely(world: World) -> None:
    table = pd.crosstab(world.segment, world.users["age_band"], normalize="index").to_numpy()
    assert ((table.max(axis=1) > 0.5) & (table.max(axis=1) < 0.8)).all()


def test_cold_users_and_items_take_part_in_the_last_tenth(
    world: World, log: pd.DataFrame, cut: Cut, record_property: Callable[[str, object], None]
) -> None:
    later = ~cut.past
    shares = {
        "events_with_cold_items": (world.items["release_time"].to_numpy() >= cut.time)[cut.item[later]].mean(),
        "events_of_cold_users": (~np.isin(cut.user[later], cut.user[cut.past])).mean(),
        "users_signing_up": (world.users["signup_time"] >= cut.time).mean(),
        "items_released": (world.items["release_time"] >= cut.time).mean(),
    }
    for name, share in shares.items():
        record_property(name, float(share))
        assert 0.02 < share < 0.15, name


@pytest.mark.parametrize("by", ["device", "hour"])
def test_context_shifts_the_categories(world: World, log: pd.DataFrame, by: str) -> None:
    context = log["device"] if by == "device" else log["time"] // 3_600 % 24 // 6
    category = world.items["category"].to_numpy()[index_of(log["item_id"])]

    def spread(groups: np.ndarray) -> float:
        """Largest total variation distance between a group's categories and everyone's."""
        share = pd.crosstab(groups, category, normalize="index").to_numpy()
        return float(np.abs(share - share.mean(axis=0)).sum(axis=1).max() / 2)

    shuffled = np.random.default_rng(0).permutation(context.to_numpy())
    assert spread(context.to_numpy()) > 0.1
    assert spread(shuffled) < 0.02
