"""A/B tests in the simulated world, drawn by the thousand, whose true effects are known exactly.

A user asks for lists as often as it is active, and from a list buys with the probability that the world gives: of what
is shown, which item it picks, and whether it then buys. The control shows what is most popular. The treatment shows, in
a share of lists (the dose), what the user's own taste ranks first. Units are users drawn at random, so what is
estimated is a mean over all users of the world, which sums give.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from pipelines.experiment.estimate import Sample
from pipelines.experiment.off_policy import Actions
from pipelines.simulate import (
    DAY,
    POSITION_BIAS,
    PURCHASE_BASE,
    PURCHASE_PRICE,
    PURCHASE_UTILITY,
    SHOWN,
    START,
    World,
    WorldSize,
    build_world,
)

USERS, ITEMS, DAYS = 2_000, 400, 28
LISTS_A_DAY = 0.4  # of the mean user; activity makes some ask fifty times as often as others
BEFORE = 14  # days of the pre-period
METRICS = ("events", "conversion", "events_per_list")


@dataclass(frozen=True)
class Shop:
    """rate [U]: lists a day; popular, personal [U]: probability that a list sells under either way to choose it."""

    rate: np.ndarray
    popular: np.ndarray
    personal: np.ndarray

    def sells(self, dose: float) -> np.ndarray:
        """[U] probability that a list sells where a share `dose` is personal."""
        return (1 - dose) * self.popular + dose * self.personal

    def level(self, metric: str, dose: float, days: float = DAYS) -> float:
        """The true level among users who ask for a list at all within `days`."""
        lists = self.rate * days
        events, exposed = lists * self.sells(dose), -np.expm1(-lists)
        if metric == "events":
            return float(events.sum() / exposed.sum())
        if metric == "conversion":
            return float(-np.expm1(-events).sum() / exposed.sum())
        return float(events.sum() / lists.sum())

    def effect(self, metric: str, dose: float, days: float = DAYS) -> float:
        """The true difference of the treatment."""
        return self.level(metric, dose, days) - self.level(metric, 0, days)


@dataclass(frozen=True)
class Drawn:
    """One test: lists, events [n, looks], all up to each look; before, treated [n]."""

    lists: np.ndarray
    events: np.ndarray
    before: np.ndarray
    treated: np.ndarray

    def samples(self, metric: str, look: int = -1, window: int | None = None) -> tuple[Sample, Sample]:
        """Control and treatment as seen at a look. window: looks from a unit's first list on that count; units whose
        window has not ended are left out."""
        look %= self.lists.shape[1]
        seen = self.lists[:, look] > 0
        if window is None:
            events, lists = self.events[:, look], self.lists[:, look]
        else:
            last = (self.lists > 0).argmax(axis=1) + window - 1
            seen &= last <= look
            rows, last = np.arange(len(last)), np.minimum(last, look)
            events, lists = self.events[rows, last], self.lists[rows, last]
        arms = seen & ~self.treated, seen & self.treated
        control, treatment = (_sample(metric, events[arm], lists[arm], self.before[arm]) for arm in arms)
        return control, treatment


def _sample(metric: str, events: np.ndarray, lists: np.ndarray, before: np.ndarray) -> Sample:
    if metric == "conversion":
        return Sample((events > 0).astype(float), None, (before > 0).astype(float))
    return Sample(
        events.astype(float), lists.astype(float) if metric == "events_per_list" else None, before.astype(float)
    )


@cache
def world() -> World:
    """The world that tests are drawn in."""
    return build_world(WorldSize(users=USERS, items=ITEMS, events=1, days=60, seed=7))


@cache
def shop() -> Shop:
    """Its users, asked half-way through its span."""
    found = world()
    moment, users = START + 30 * DAY, np.arange(USERS)
    out = np.flatnonzero(found.items["release_time"] <= moment)
    popular = out[np.argsort(-found.appeal[out])[:SHOWN]]
    personal = np.argsort(-found.true_scores(users, moment), axis=1)[:, :SHOWN]
    rate = LISTS_A_DAY * found.activity / found.activity.mean()
    return Shop(rate, _sells(found, np.tile(popular, (USERS, 1))), _sells(found, personal))


def _utility(found: World) -> np.ndarray:
    """[U, I], half-way through the span, without context."""
    return (found.taste_start + found.taste_end) / 2 @ found.latent.T


def _buys(found: World, utility: np.ndarray) -> np.ndarray:
    """[U, I] probability to buy what was picked."""
    logit = PURCHASE_UTILITY * utility - PURCHASE_PRICE * found.latent[:, -1] + PURCHASE_BASE
    return 1 / (1 + np.exp(-logit))


def _sells(found: World, shown: np.ndarray) -> np.ndarray:
    """[U] probability that a list sells; shown: [U, SHOWN] items in order of place."""
    utility = _utility(found)
    bought = np.take_along_axis(_buys(found, utility), shown, axis=1)
    logits = np.take_along_axis(utility, shown, axis=1) - POSITION_BIAS * np.log1p(np.arange(SHOWN))
    picked = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (picked * bought).sum(axis=1) / picked.sum(axis=1)


def draw(rng: np.random.Generator, units: int, dose: float, looks: int = 1, days: float = DAYS) -> Drawn:
    """A test of so many users, not all of whom will ask for a list, in equal halves but for chance."""
    users = rng.integers(0, USERS, units)
    treated = rng.random(units) < 0.5
    asks = shop().rate[users]
    sells = np.where(treated, shop().sells(dose)[users], shop().popular[users])
    lists = rng.poisson(np.tile(asks[:, None] * days / looks, looks))
    events = rng.binomial(lists, sells[:, None])
    lists, events = np.cumsum(lists, axis=1), np.cumsum(events, axis=1)
    return Drawn(lists, events, rng.poisson(asks * shop().popular[users] * BEFORE), treated)


@dataclass(frozen=True)
class Policies:
    """For users [U] and items [A]: how the log was made, what is asked about, what a list of one item truly sells, and
    what a model that is wrong says of it; all [U, A]. rate [U]: how often each user is in the log."""

    logging: np.ndarray
    target: np.ndarray
    truth: np.ndarray
    model: np.ndarray
    rate: np.ndarray

    @property
    def value(self) -> float:
        """The target policy's true value, reward a row."""
        return float(self.rate @ (self.target * self.truth).sum(axis=1) / self.rate.sum())


@cache
def policies(items: int = 50) -> Policies:
    """The log follows appeal and a little taste, and explores; the target follows taste."""
    found = world()
    utility = _utility(found)[:, :items]
    appeal = np.log(found.appeal[:items])
    truth = _buys(found, _utility(found))[:, :items]
    model = 0.6 * truth + 0.4 * truth.mean(axis=0)  # knows half of what tells users apart
    logging, target = _softmax(appeal + 0.1 * utility, 0.2), _softmax(0.5 * utility, 0.1)
    return Policies(logging, target, truth, model, shop().rate)


def _softmax(logits: np.ndarray, explore: float) -> np.ndarray:
    weight = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (1 - explore) * weight / weight.sum(axis=1, keepdims=True) + explore / weight.shape[1]


def draw_actions(rng: np.random.Generator, queries: int, days: float = DAYS) -> Actions:
    """A log of so many users, each with as many rows as it asks for."""
    known = policies()
    users = rng.integers(0, USERS, queries)
    times = rng.poisson(known.rate[users] * days)
    query, user = np.repeat(np.arange(queries), times), np.repeat(users, times)
    limits = np.cumsum(known.logging, axis=1)
    action = (rng.random((len(user), 1)) > limits[user, :-1]).sum(axis=1)
    reward = (rng.random(len(user)) < known.truth[user, action]).astype(float)
    value = (known.target * known.model).sum(axis=1)[user]
    return Actions(
        query, reward, known.logging[user, action], known.target[user, action], known.model[user, action], value
    )
