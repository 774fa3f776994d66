"""A simulated world of recommendations whose true preferences are known.

It is the embedded default data set, and the yardstick for what is learned from it: `World.true_scores` ranks
the catalogue by what a user would really take next, so the room above popularity can be measured.

How one event comes about:

    time     drawn from traffic with a daily and a weekly cycle
    user     drawn by activity (heavy-tailed) among those who have signed up
    device   drawn by what is in use at the hour
    shown    SHOWN items, most of them by current popularity (it rises and fades with an item's age),
             some explored uniformly over everything released
    picked   one of the shown, by a softmax over utility, less for lower positions
    event    a purchase rather than a click with a probability that grows with utility and falls with price

    utility = taste(user, time) . latent(item) - sensitivity(segment) * log price
              + context(device, hour, category)

All randomness is keyed by (seed, chunk, purpose): a chunk is the same whether or not others were read.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

START = 1_704_067_200  # Monday 2024-01-01 00:00 UTC, unix seconds
HOUR = 3_600
DAY = 24 * HOUR
SLOT = 6 * HOUR  # popularity is held constant within a slot
BLOCK = 4_096  # events whose shown items are scored together: small enough to stay in the processor's cache

DEVICES = np.array(["phone", "tablet", "desktop", "tv"])
EVENTS = np.array(["click", "purchase"])
AGE_BANDS = np.array(["18-24", "25-34", "35-44", "45-54", "55-64", "65+"])
REGIONS = np.array(["north", "east", "south", "west", "centre"])

DIM = 12  # latent dimensions
SEGMENTS = 6
SHOWN = 30  # items shown per event
EXPLORE = 0.1  # share of the shown that ignores popularity
POSITION_BIAS = 0.15  # utility lost per unit of log(1 + position)
TASTE_STRENGTH = 3.5  # standard deviation of taste . latent over users and items
SHARED_TASTE = 0.4  # share of a user's taste variance that comes from the segment
SHARED_LATENT = 0.5  # share of an item's latent variance that comes from the category
TASTE_KEPT = 0.8  # correlation of a user's individual taste at the start and at the end of the span
CONTEXT_STRENGTH = 0.6  # standard deviation of each of the device and hour effects
APPEAL_SPREAD = 0.6  # log standard deviation of base appeal
DECAY = 30.0  # median days over which popularity fades
EVERGREEN = 0.12  # share of items whose popularity does not fade
FADED = 0.03  # what remains of the kernel when an item has faded
PURCHASE_BASE = -5.0  # log odds of a purchase at zero utility and the typical price
PURCHASE_UTILITY = 0.4  # log odds per unit of utility
PURCHASE_PRICE = 0.6  # log odds lost per unit of log price
FEATURE_FIDELITY = 0.6  # probability that age band and region are those typical of the segment
EARLY = 0.6  # share of users and items that are there when the span begins
TITLE_ADJECTIVES = 3
TITLE_NOUNS = 2
TITLE_FIT = 4.0  # how strictly adjectives follow the latent; 0 would draw them blindly
HORIZON_MOMENTS = 12  # moments over which the oracle averages a horizon
RIVAL_STEPS = 8  # fixed-point steps towards probabilities that add up to one
GOLDEN = (np.sqrt(5) - 1) / 2

CATEGORY_NOUNS = {
    "books": "novel memoir atlas anthology thriller poetry paperback biography",
    "music": "album vinyl single concerto playlist soundtrack ballad remix",
    "film": "drama comedy documentary western trilogy sequel animation noir",
    "games": "puzzle strategy arcade quest dice cards simulator adventure",
    "kitchen": "skillet kettle knife blender teapot apron whisk casserole",
    "garden": "trowel planter hose seedling trellis shears compost lantern",
    "sports": "racket jersey kayak dumbbell helmet treadmill snowboard cleats",
    "fashion": "scarf jacket sneakers dress belt sunglasses cardigan boots",
    "beauty": "serum lipstick shampoo perfume balm mascara lotion soap",
    "electronics": "headphones charger camera speaker monitor keyboard drone router",
    "toys": "blocks doll train kite yoyo robot marbles teddy",
    "travel": "suitcase backpack hostel cruise passport hammock itinerary tent",
}
CATEGORIES = np.array(list(CATEGORY_NOUNS))
NOUNS = np.array([nouns.split() for nouns in CATEGORY_NOUNS.values()])  # [categories, nouns]
ADJECTIVES = np.concatenate(
    [
        line.split()
        for line in (
            "amber ancient arctic autumn bold brave bright calm classic clever coastal copper cosmic",
            "cosy crimson crisp curious daring deep delicate eager electric elegant endless fierce floral",
            "folk fresh frosty gentle gilded golden grand hidden honest hollow humble icy indigo",
            "ivory jolly lunar lush marble mellow midnight misty modern neon noble nordic opal",
            "pale playful quiet rapid retro royal rustic silent silver solar stormy velvet",
        )
    ]
)


@dataclass(frozen=True)
class WorldSize:
    """How large a world is and which one.

    Attributes:
        users: how many users sign up before the span ends.
        items: how many items are released before the span ends.
        events: events drawn by default. Repeats of a (user, item) pair are then dropped, so fewer remain.
        days: length of the span, in days.
        seed: two worlds of the same size and seed are identical.
    """

    users: int = 8_000
    items: int = 4_000
    events: int = 240_000
    days: int = 120
    seed: int = 7

    def __post_init__(self) -> None:
        for name in ("users", "items", "events", "days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected at least 1")


@dataclass(frozen=True, eq=False)
class World:
    """Tables that a recommender may read, and the truth behind them, which it may not.

    Row u of `users` is user index u and row i of `items` is item index i; both are in order of arrival.
    U, I, C and D stand for users, items, categories and DIM. A taste's last entry is minus the price
    sensitivity and a latent's last entry the log price (zero at the typical price), so that their product
    is all of utility but its context.

    Attributes:
        size: what the world was built from.
        users: user_id (str), age_band, region (str), signup_time (int64 unix seconds).
        items: item_id, title, category (str), price (float64, currency units), release_time (int64 unix
            seconds).
        segment: [U] segment of each user.
        activity: [U] relative rate of events after signing up.
        taste_start: [U, D + 1] float32, taste when the span begins.
        taste_end: [U, D + 1] float32, taste when it ends; in between it moves on a straight line.
        category: [I] index into CATEGORIES.
        latent: [I, D + 1] float32.
        appeal: [I] base appeal, the height of the popularity curve.
        rise: [I] days over which popularity rises after the release.
        decay: [I] days over which it fades; infinite for evergreens.
        context: [devices, 24, C] float32, utility added to a category on a device at an hour (UTC).
        device_share: [24, devices] probability of each device at an hour.
        traffic: [24 * days + 1] share of all events before each hour of the span.
    """

    size: WorldSize
    users: pd.DataFrame
    items: pd.DataFrame
    segment: np.ndarray
    activity: np.ndarray
    taste_start: np.ndarray
    taste_end: np.ndarray
    category: np.ndarray
    latent: np.ndarray
    appeal: np.ndarray
    rise: np.ndarray
    decay: np.ndarray
    context: np.ndarray
    device_share: np.ndarray
    traffic: np.ndarray

    @property
    def end(self) -> int:
        """Unix second at which the span ends; every event lies in [START, end)."""
        return START + self.size.days * DAY

    def events(self) -> pd.DataFrame:
        """The default data set, sorted by time; of repeats of a (user, item) pair only the first is kept.

        Returns:
            user_id, item_id (str), time (int64 unix seconds), device (of DEVICES), event (of EVENTS).
        """
        log = pd.concat(self.event_chunks(), ignore_index=True)
        return log.drop_duplicates(["user_id", "item_id"], ignore_index=True)

    def event_chunks(self, events: int | None = None, chunk: int = 200_000) -> Iterator[pd.DataFrame]:
        """Draw any number of events over the span, in time order and in bounded memory.

        A chunk covers the next slice of time. Repeats of a (user, item) pair are dropped within a chunk (the
        first is kept) but not between chunks. What is drawn depends on the seed, `events` and `chunk`, never
        on which chunks were read before.

        Args:
            events: events to draw; `size.events` when None.
            chunk: events drawn per chunk; the last may be smaller.

        Yields:
            Tables of at most `chunk` rows, columns as in `events()`.
        """
        total = self.size.events if events is None else events
        for number, first in enumerate(range(0, total, chunk)):
            rng = _rng(self.size.seed, "events", number)
            positions = np.arange(first, min(first + chunk, total))
            # One draw in each of `total` equal parts of the traffic: in order across chunks by construction.
            time = self._time_at((positions + rng.random(len(positions))) / total)
            yield self._draw_chunk(time, rng)

    def true_scores(
        self,
        users: np.ndarray,
        time: np.ndarray | int,
        device: np.ndarray | None = None,
        horizon_seconds: int | None = None,
    ) -> np.ndarray:
        """Oracle scores: log probability that a user's next event is with each item.

        The oracle knows the truth as of `time`: drifted tastes, popularity and what has been released. The
        probability is that of being shown times that of winning the softmax against average rivals (a
        mean-field approximation; position and earlier events with the same item are left out). With a horizon
        it is averaged over moments of [time, time + horizon), spread as traffic is and cut at the end of the
        span. That is fair when any later item of a window counts, but it also knows releases and trends that
        are still to come.

        Args:
            users: [n] user indices (rows of `users`).
            time: [n] or scalar, int64 unix seconds.
            device: [n] device names; averaged over the devices in use at the hour when None.
            horizon_seconds: length of the window; the moment itself when None.

        Returns:
            [n, I] float32, higher is better; -inf where the item is not released at any moment considered.
        """
        users = np.asarray(users)
        time = np.broadcast_to(np.asarray(time, np.int64), users.shape)
        if horizon_seconds is None:
            propensity = self._propensity(users, time, device)
        else:
            propensity = np.zeros((len(users), self.size.items), np.float32)
            until = np.minimum(time + horizon_seconds, self.end)
            low, high = self._traffic_before(time), self._traffic_before(until)
            # Multiples of the golden ratio cover the horizon and the hours of the day evenly, at any length.
            for fraction in np.modf(GOLDEN * np.arange(1, HORIZON_MOMENTS + 1))[0]:
                moment = self._time_at(low + fraction * (high - low))
                propensity += self._propensity(users, moment, device) / np.float32(HORIZON_MOMENTS)
        with np.errstate(divide="ignore"):
            return np.log(propensity)

    def _time_at(self, share: np.ndarray) -> np.ndarray:
        """Unix second before which `share` of all traffic falls."""
        hours = np.interp(share, self.traffic, np.arange(len(self.traffic)))
        return np.minimum(START + (hours * HOUR).astype(np.int64), self.end - 1)

    def _traffic_before(self, time: np.ndarray) -> np.ndarray:
        """Share of all traffic that falls before each unix second."""
        return np.interp((time - START) / HOUR, np.arange(len(self.traffic)), self.traffic)

    def _taste(self, users: np.ndarray, time: np.ndarray) -> np.ndarray:
        """[n, D + 1] tastes of the users at these times."""
        passed = np.clip((time - START) / (self.size.days * DAY), 0, 1).astype(np.float32)[:, None]
        return (1 - passed) * self.taste_start[users] + passed * self.taste_end[users]

    def _popularity(self, slot: int) -> np.ndarray:
        """[I] probability of each item to fill a place that goes by popularity; zero when not released."""
        age = (START + slot * SLOT - self.items["release_time"].to_numpy()) / DAY
        since = np.maximum(age, 0)
        kernel = -np.expm1(-since / self.rise) * np.exp(-since / self.decay) + FADED
        weight = self.appeal * kernel * (age >= 0)
        return weight / weight.sum()

    def _exposure(self, time: np.ndarray) -> np.ndarray:
        """[n, I] float32 probability of each item to fill one place shown at these times."""
        slots, inverse = np.unique((time - START) // SLOT, return_inverse=True)
        popular = np.stack([self._popularity(slot) for slot in slots]).astype(np.float32)[inverse]
        released = self.items["release_time"].to_numpy() <= time[:, None]
        explored = released / released.sum(axis=1, keepdims=True, dtype=np.float32)
        return (1 - EXPLORE) * popular + EXPLORE * explored

    def _propensity(self, users: np.ndarray, time: np.ndarray, device: np.ndarray | None) -> np.ndarray:
        """[n, I] float32 probability that an event of the user at the time takes each item (mean field)."""
        hour = time // HOUR % 24
        if device is None:
            share = self.device_share.astype(np.float32)
            attraction = np.einsum("hd,dhc->hc", share, np.exp(self.context))[hour]
        else:
            attraction = np.exp(self.context[_device_codes(device), hour])
        exposure = self._exposure(time)
        attraction = np.exp(self._taste(users, time) @ self.latent.T) * attraction[:, self.category]
        # A shown item wins with probability attraction / (attraction + rivals). The mean of the rivals' total
        # is ruled by rare giants, so take the total that makes the probabilities of all items add up to one.
        rivals = SHOWN * (exposure * attraction).sum(axis=1, keepdims=True)
        for _ in range(RIVAL_STEPS):
            rivals *= SHOWN * (exposure * attraction / (attraction + rivals)).sum(axis=1, keepdims=True)
        return SHOWN * exposure * attraction / (attraction + rivals)

    def _draw_chunk(self, time: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
        """One chunk's events at the given sorted times."""
        users = self._draw_users(time, rng)
        devices = self._draw_devices(time, rng)
        items, utility = self._draw_items(users, time, devices, rng)
        logit = PURCHASE_UTILITY * utility - PURCHASE_PRICE * self.latent[items, -1] + PURCHASE_BASE
        purchased = rng.random(len(time)) < 1 / (1 + np.exp(-logit))

        first = np.unique(users * np.int64(self.size.items) + items, return_index=True)[1]
        first.sort()
        return pd.DataFrame(
            {
                "user_id": self.users["user_id"].array.take(users[first]),
                "item_id": self.items["item_id"].array.take(items[first]),
                "time": time[first],
                "device": pd.Series(DEVICES).array.take(devices[first]),
                "event": pd.Series(EVENTS).array.take(purchased[first].astype(np.int64)),
            }
        )

    def _draw_users(self, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[n] users drawn by activity among those signed up, who are the first rows at any time."""
        cumulative = np.cumsum(self.activity)
        signed_up = np.searchsorted(self.users["signup_time"].to_numpy(), time, side="right")
        return np.searchsorted(cumulative, rng.random(len(time)) * cumulative[signed_up - 1])

    def _draw_devices(self, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[n] device codes, by what is in use at the hour."""
        limits = np.cumsum(self.device_share, axis=1)[time // HOUR % 24, :-1]
        return (rng.random((len(time), 1)) > limits).sum(axis=1)

    def _draw_shown(self, time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """[n, SHOWN] int32 items shown at the given sorted times."""
        release = self.items["release_time"].to_numpy()
        shown = np.empty((len(time), SHOWN), np.int32)
        slots, firsts = np.unique((time - START) // SLOT, return_index=True)
        for slot, rows in zip(slots, np.split(shown, firsts[1:]), strict=True):
            # Shuffled multinomial counts are independent draws, far cheaper than inverting the sum for each.
            released = np.searchsorted(release, START + slot * SLOT, side="right")
            counts = rng.multinomial(rows.size, self._popularity(slot)[:released])
            drawn = np.repeat(np.arange(released, dtype=np.int32), counts)
            rng.shuffle(drawn)
            rows[:] = drawn.reshape(rows.shape)
        explored = np.nonzero(rng.random(shown.shape, dtype=np.float32) < EXPLORE)
        released = np.searchsorted(release, time, side="right")[explored[0]]
        shown[explored] = rng.random(len(released)) * released
        return shown

    def _draw_items(
        self, users: np.ndarray, time: np.ndarray, devices: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """[n] item picked by each event and [n] its utility."""
        shown = self._draw_shown(time, rng)
        picked = np.empty(len(time), np.int64)
        utility = np.empty(len(time), np.float32)
        position = -POSITION_BIAS * np.log1p(np.arange(SHOWN, dtype=np.float32))
        for first in range(0, len(time), BLOCK):
            block = slice(first, first + BLOCK)
            offered = shown[block]
            taste = self._taste(users[block], time[block])
            value = np.matmul(self.latent.take(offered, axis=0), taste[:, :, None])[:, :, 0]
            context = self.context[devices[block], time[block] // HOUR % 24]
            value += np.take_along_axis(context, self.category.take(offered), axis=1)
            # The first of exponentials with rates exp(value) is a softmax draw: Gumbel-max without the logs.
            race = rng.standard_exponential(value.shape, dtype=np.float32) * np.exp(-(value + position))
            winner = race.argmin(axis=1)[:, None]
            picked[block] = np.take_along_axis(offered, winner, axis=1)[:, 0]
            utility[block] = np.take_along_axis(value, winner, axis=1)[:, 0]
        return picked, utility


def build_world(size: WorldSize | None = None) -> World:
    """Build the world of a size and seed; None is the default data set.

    Returns:
        The world; its tables are ready, its events are drawn when asked for.
    """
    size = WorldSize() if size is None else size
    centroids = _rng(size.seed, "centroids").standard_normal((len(CATEGORIES), DIM))
    centroids *= np.sqrt(DIM) / np.linalg.norm(centroids, axis=1, keepdims=True)
    users, segment, sensitivity = _users(size, _rng(size.seed, "users"))
    taste_start, taste_end = _tastes(centroids, segment, sensitivity, _rng(size.seed, "tastes"))
    items, category, latent = _items(size, centroids, _rng(size.seed, "items"))
    curves = _rng(size.seed, "popularity")
    decay = DECAY * curves.lognormal(0, 0.6, size.items)
    decay[curves.random(size.items) < EVERGREEN] = np.inf
    return World(
        size=size,
        users=users,
        items=items,
        segment=segment,
        activity=_rng(size.seed, "activity").lognormal(0, 1, size.users),
        taste_start=taste_start,
        taste_end=taste_end,
        category=category,
        latent=latent,
        appeal=curves.lognormal(0, APPEAL_SPREAD, size.items),
        rise=curves.uniform(0.5, 5, size.items),
        decay=decay,
        context=_context(_rng(size.seed, "context")),
        device_share=_device_share(),
        traffic=_traffic(size.days),
    )


def _rng(seed: int, stream: str, chunk: int = 0) -> np.random.Generator:
    """A generator of its own for each purpose, so that a change in one leaves the others' draws alone."""
    return np.random.default_rng([seed, chunk, *stream.encode()])


def _arrivals(count: int, days: int, rng: np.random.Generator) -> np.ndarray:
    """[count] sorted unix seconds: the early share in as many days before the span, the rest within it."""
    early = int(np.ceil(EARLY * count))
    before = rng.integers(START - days * DAY, START, early)
    during = rng.integers(START, START + days * DAY, count - early)
    return np.sort(np.concatenate([before, during]))


def _users(size: WorldSize, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Users table, [U] segments and [U] price sensitivities."""
    segment = rng.integers(0, SEGMENTS, size.users)
    sensitivity = rng.uniform(0, 0.8, SEGMENTS)[segment]

    def typical(values: np.ndarray) -> np.ndarray:
        noise = rng.integers(0, len(values), size.users)
        code = np.where(rng.random(size.users) < FEATURE_FIDELITY, segment % len(values), noise)
        return values[code]

    users = pd.DataFrame(
        {
            "user_id": [f"u{index:06d}" for index in range(size.users)],
            "age_band": typical(AGE_BANDS),
            "region": typical(REGIONS),
            "signup_time": _arrivals(size.users, size.days, rng),
        }
    )
    return users, segment, sensitivity


def _tastes(
    centroids: np.ndarray, segment: np.ndarray, sensitivity: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """[U, D + 1] tastes at the start and at the end of the span."""
    # A segment likes three categories, so that whoever knows only the segment already knows something.
    liked = np.stack([rng.permutation(len(centroids))[:3] for _ in range(SEGMENTS)])
    shared = centroids[liked].sum(axis=1)[segment] / np.sqrt(3)
    before, fresh = rng.standard_normal((2, len(segment), DIM))
    after = TASTE_KEPT * before + np.sqrt(1 - TASTE_KEPT**2) * fresh

    def taste(individual: np.ndarray) -> np.ndarray:
        mixed = np.sqrt(SHARED_TASTE) * shared + np.sqrt(1 - SHARED_TASTE) * individual
        mixed *= TASTE_STRENGTH / np.sqrt(DIM)
        return np.column_stack([mixed, -sensitivity]).astype(np.float32)

    return taste(before), taste(after)


def _items(
    size: WorldSize, centroids: np.ndarray, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Items table, [I] categories and [I, D + 1] latents."""
    category = rng.integers(0, len(CATEGORIES), size.items)
    individual = rng.standard_normal((size.items, DIM))
    mixed = np.sqrt(SHARED_LATENT) * centroids[category] + np.sqrt(1 - SHARED_LATENT) * individual
    level = rng.normal(0, 0.7, len(CATEGORIES))[category] + rng.normal(0, 0.7, size.items)
    items = pd.DataFrame(
        {
            "item_id": [f"i{index:05d}" for index in range(size.items)],
            "title": _titles(category, mixed, rng),
            "category": CATEGORIES[category],
            "price": np.round(20 * np.exp(level), 2),
            "release_time": _arrivals(size.items, size.days, rng),
        }
    )
    return items, category, np.column_stack([mixed, level]).astype(np.float32)


def _titles(category: np.ndarray, latent: np.ndarray, rng: np.random.Generator) -> list[str]:
    """[I] titles such as "bold misty nordic kettle teapot": first the latent, then the category."""
    meaning = rng.standard_normal((len(ADJECTIVES), DIM))
    meaning /= np.linalg.norm(meaning, axis=1, keepdims=True)
    titles: list[str] = []
    for first in range(0, len(category), BLOCK):
        block = slice(first, first + BLOCK)
        fit = TITLE_FIT * latent[block] @ meaning.T + rng.gumbel(size=(len(category[block]), len(ADJECTIVES)))
        adjectives = ADJECTIVES[np.argsort(-fit, axis=1)[:, :TITLE_ADJECTIVES]]
        order = rng.random((len(adjectives), NOUNS.shape[1])).argsort(axis=1)[:, :TITLE_NOUNS]
        nouns = NOUNS[category[block, None], order]
        titles.extend(" ".join(words) for words in np.concatenate([adjectives, nouns], axis=1).tolist())
    return titles


def _context(rng: np.random.Generator) -> np.ndarray:
    """[devices, 24, C] float32 utility of each category on each device at each hour."""
    device = rng.normal(0, CONTEXT_STRENGTH, (len(DEVICES), 1, len(CATEGORIES)))
    peak = rng.uniform(0, 24, len(CATEGORIES))
    hour = np.cos(2 * np.pi * (np.arange(24)[:, None] - peak) / 24)
    return (device + CONTEXT_STRENGTH * np.sqrt(2) * hour).astype(np.float32)


def _device_share() -> np.ndarray:
    """[24, devices] shares: desktop peaks in working hours, tablet and tv in the evening."""
    hour = np.arange(24)
    work = np.exp(np.cos(2 * np.pi * (hour - 13) / 24))
    evening = np.exp(np.cos(2 * np.pi * (hour - 21) / 24))
    weight = np.column_stack([np.full(24, 2.0), 0.4 * evening, work, 0.5 * evening])
    return weight / weight.sum(axis=1, keepdims=True)


def _traffic(days: int) -> np.ndarray:
    """[24 * days + 1] share of all events before each hour: evenings and weekends are busier."""
    hour = np.arange(24 * days)
    rate = 1 + 0.5 * np.cos(2 * np.pi * (hour % 24 - 20) / 24)
    rate *= np.where(hour // 24 % 7 >= 5, 1.2, 1.0)
    return np.concatenate([[0.0], np.cumsum(rate)]) / rate.sum()


def _device_codes(device: np.ndarray) -> np.ndarray:
    """[n] codes of device names."""
    codes = pd.Index(DEVICES).get_indexer(np.asarray(device))
    if (codes < 0).any():
        unknown = sorted(set(np.asarray(device)[codes < 0].tolist()))
        raise ValueError(f"device: got {unknown}, expected some of {DEVICES.tolist()}")
    return codes
