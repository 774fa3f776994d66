"""The space that is searched: a domain for each dotted key of the config, checked before anything runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from configs.errors import ConfigError
from configs.load import parse
from configs.schema import Config
from configs.tuning import Range

_SEARCHED = ("towers", "trend", "train")  # the train stage reads these, and nothing judges by them

Distribution = CategoricalDistribution | FloatDistribution | IntDistribution


@dataclass(frozen=True)
class Knob:
    """One key of the config and its domain.

    own: the config's own value, which is in the domain; choices: values by the word that optuna and TensorBoard know
    them by, a number or text; empty for a range.
    """

    key: str
    own: Any
    domain: Distribution
    choices: Mapping[Any, Any]

    def word(self, value: Any) -> Any:
        """The value as optuna and TensorBoard take it: a number or text."""
        return next(word for word, one in self.choices.items() if one == value) if self.choices else value

    def value(self, word: Any) -> Any:
        """The value as the config takes it."""
        return self.choices[word] if self.choices else word


def knobs(config: Config) -> tuple[Knob, ...]:
    """The knobs of `tune.space`, or of some keys that matter. Raises: ConfigError naming the key."""
    plain = config.model_dump(mode="json")
    space = config.tune.space or default_space(config)
    return tuple(_knob(config, key, _own(plain, key), domain) for key, domain in space.items())


def default_space(config: Config) -> dict[str, Range | tuple[Any, ...]]:
    """Width, regularisation, sharpness, memory, what is asked for, and the pace of learning, each around the config's
    own value."""
    towers, train = config.towers, config.train
    half = max(towers.embedding_dim // 2, 1)
    fits = towers.history.encoder != "transformer" or half % towers.history.heads == 0
    asked: dict[str, Range | tuple[Any, ...]] = (
        {} if train.horizon else {"train.target": ("future", "next")}
    )  # the next item has no horizon
    return asked | {
        "towers.embedding_dim": (*((half,) if fits else ()), towers.embedding_dim * 2),
        "towers.dropout": Range(low=0.0, high=max(0.4, towers.dropout)),
        "towers.temperature": Range(low=towers.temperature / 3, high=towers.temperature * 3, log=True),
        "towers.history.length": (max(towers.history.length // 2, 1), towers.history.length * 2),
        "train.learning_rate": Range(low=train.learning_rate / 4, high=train.learning_rate * 4, log=True),
        "train.average": (0.0, 0.99),
        "train.batch": (max(train.batch // 2, 1), train.batch * 2),
    }


def with_values(config: Config, values: Mapping[str, Any]) -> Config:
    """The config with other values at dotted keys. Raises: ConfigError when they do not go together."""
    plain = config.model_dump(mode="json")
    for key, value in values.items():
        *parents, last = key.split(".")
        section = plain
        for parent in parents:
            section = section[parent]
        section[last] = value
    return parse(plain, "tune.space")


def _knob(config: Config, key: str, own: Any, domain: Range | tuple[Any, ...]) -> Knob:
    if isinstance(domain, Range):
        return Knob(key, own, _range(config, key, own, domain), {})
    values = [own, *(_own(with_values(config, {key: value}).model_dump(mode="json"), key) for value in domain)]
    alike = len({type(value) for value in values}) == 1 and isinstance(own, (str, int, float))
    choices = {value if alike else json.dumps(value): value for value in values}  # each once, the config's own first
    return Knob(key, own, CategoricalDistribution(list(choices)), choices)


def _range(config: Config, key: str, own: Any, domain: Range) -> Distribution:
    low, high = domain.low, domain.high
    if isinstance(own, bool) or not isinstance(own, (int, float)):
        raise ConfigError(f"tune.space: {key}: found a range, but the key holds {own!r}; expected choices [a, b]")
    if isinstance(own, int) and not (low.is_integer() and high.is_integer()):
        raise ConfigError(f"tune.space: {key}: found {low} to {high}, expected whole numbers")
    if not low <= own <= high:
        raise ConfigError(
            f"tune.space: {key}: found {low:g} to {high:g}, expected a range that holds the config's own {own!r}, "
            "which is the first trial"
        )
    whole = isinstance(own, int)
    for bound in (low, high):
        with_values(config, {key: int(bound) if whole else bound})
    return IntDistribution(int(low), int(high), domain.log) if whole else FloatDistribution(low, high, domain.log)


def _own(plain: Any, key: str) -> Any:
    parts, value = key.split("."), plain
    for part in parts:
        value = value.get(part, {}) if isinstance(value, dict) else {}
    if parts[0] not in _SEARCHED or isinstance(value, dict):
        raise ConfigError(
            f"tune.space: {key}: unknown key; expected one of {', '.join(_SEARCHED)} that holds a value, such as "
            "towers.dropout"
        )
    return value
