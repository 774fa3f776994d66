"""From a request in words to what a bundle's signatures take: checked, filled up from what is stored, as raw arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from configs.data import FILTER
from configs.errors import UserError
from configs.features import Feature
from configs.schema import Config
from serving.likes import choices
from serving.state import QueryState, State

_LATEST = 2**62  # differences of two moments still fit 64 bits
_LARGEST = {"number": float(np.finfo(np.float32).max), "time": float(2**62)}  # what float32 and int64 surely hold
_SHOWN = 20  # names in a message
_AS_CONFIGURED = -1.0  # a relevance that stands for the config's
_OLDER = "as older versions did not; export the run again"
Filters = Mapping[str, Sequence[str]]  # values by name


class RequestError(UserError):
    """A request cannot be answered as asked."""


class InputBuilder:
    """Reads requests for one bundle. Raises: RequestError, which names the field."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any], config: Config, state: State) -> None:
        self._folder, self._manifest, self._state = folder, manifest, state
        features = (*config.on("queries"), *config.on("events"))
        self._features = [f for f in features if f.kind != "time" or f.column is not None]  # else the request's time
        self._filters = {name: dict.fromkeys(values) for name, values in manifest.get("filters", {}).items()}

    def request(
        self,
        stored: QueryState | None = None,
        *,
        likes: Sequence[str] = (),
        history: Sequence[str] | None = None,
        history_time: Sequence[int] | None = None,
        context: Mapping[str, Any] | None = None,
        time: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Raw inputs for one query, [1, ...], of whom `stored` is known; arguments as `Bundle.recommend`.

        Raises: RequestError.
        """
        given = dict(context or {})
        names = {feature.name for feature in self._features}
        if unknown := sorted(set(given) - names):
            raise RequestError(f"context: unknown feature {unknown[0]!r}; expected one of {sorted(names)}")
        now = int(self._manifest["data"]["end"] if time is None else time)
        if abs(now) > _LATEST:
            raise RequestError(f"time: found {now}, expected a moment on the events' time axis, at most {_LATEST}")
        items = _ids("history", history if history is not None else stored.history if stored else [])
        if history_time is not None:
            times = list(history_time)
        else:
            times = list(stored.history_time) if stored and history is None else [now] * len(items)
        if len(times) != len(items):
            raise RequestError(f"history_time: found {len(times)} times for {len(items)} items, expected as many")
        liked, chosen = self._liked(_ids("likes", likes))
        items, times = items + chosen, times + [now] * len(chosen)
        inputs = {"time": np.array([now], np.int64), "history": _strings([items])}
        inputs |= {"likes": _strings([liked])} if self.takes("likes") else {}
        inputs["history_time"] = np.array([times], np.int64).reshape(1, len(items))
        known = {**self._manifest["defaults"], **given}
        of_query = stored.features if stored else {}
        for feature in self._features:
            name = feature.name
            if name in of_query and name not in given:
                inputs[name] = _stored_value(feature, of_query[name], known.get(name), now)
            else:
                inputs[name] = raw_value(feature, known.get(name), now)
        return inputs

    def item(self, item: str) -> dict[str, np.ndarray]:
        """The raw input that names one item of the catalogue. Raises: RequestError."""
        if not self._state.titles([utf8("item", item)]):
            raise RequestError(f"item: found {item!r}, expected the id of an item that the bundle knows")
        return {"item": np.array([item], object)}

    def limits(self, k: int, exclude: Sequence[str] = (), filters: Filters | None = None) -> dict[str, np.ndarray]:
        """What may be in one request's list, as signatures take it beside `request`. Raises: RequestError."""
        values, given = self._filters, dict(filters or {})
        if unknown := sorted(set(given) - set(values)):
            raise RequestError(f"filters: unknown filter {unknown[0]!r}; expected {_one_of(sorted(values))}")
        wanted = {name: _ids(f"filter {name}", given.get(name, []), "values") for name in values}
        for name, asked in wanted.items():
            if unknown := [value for value in asked if value not in values[name]]:
                raise RequestError(f"filter {name}: found {unknown[0]!r}, expected {_one_of([*values[name]])}")
        inputs = {FILTER + name: _strings([asked]) for name, asked in wanted.items()}
        inputs["exclude"] = _strings([_ids("exclude", exclude)])
        return inputs | {"k": np.array([_length(k, self._manifest["items"])], np.int32)}

    def reranking(self, relevance: float | None = None) -> dict[str, np.ndarray]:
        """How one request's list is reranked, as `recommend` alone takes it beside `request` and `limits`: the weight
        of scores against diversity, 0 to 1, the config's for None. Empty for a bundle that is older than this input.

        Raises: RequestError.
        """
        if not self.takes("relevance"):
            if relevance is not None:
                raise RequestError(f"relevance: {self._folder} takes none, {_OLDER}")
            return {}
        weight = _AS_CONFIGURED if relevance is None else _share("relevance", relevance)
        return {"relevance": np.array([weight], np.float32)}

    def _liked(self, likes: Sequence[str]) -> tuple[list[str], list[str]]:
        """The names among what is liked, and the items. Raises: RequestError."""
        if likes and not self.takes("likes"):
            raise RequestError(f"likes: {self._folder} takes none, {_OLDER}")
        known = self._likes if likes else {}
        names = [like for like in likes if like in known]
        items = [utf8("likes", like) for like in likes if like not in known]
        titles = self._state.titles(items)
        if unknown := [like for like in items if like not in titles]:
            raise RequestError(f"likes: found {unknown[0]!r}, expected {choices(str(unknown[0]), [*known])}")
        return names, items

    @cached_property
    def _likes(self) -> dict[str, None]:
        return dict.fromkeys(self._state.likes())

    def takes(self, name: str) -> bool:
        """Whether `recommend` has this input; bundles of older versions lack some."""
        return name in self._manifest["signatures"]["recommend"]["inputs"]


def raw_value(feature: Feature, value: Any, now: int) -> np.ndarray:
    """One request's value of a feature as the graph takes it, [1] or [1, width]; None is missing.

    Raises: RequestError.
    """
    if feature.kind == "number":
        return np.array([_number(feature, feature.missing if value is None else value)], np.float32)
    if feature.kind == "vector":
        try:
            vector = np.zeros(feature.width) if value is None else np.asarray(value, np.float64)
        except (TypeError, ValueError, OverflowError):
            vector = np.empty(0)
        if vector.shape != (feature.width,) or not (np.abs(vector) <= _LARGEST["number"]).all():
            raise RequestError(f"{feature.name}: found {value!r}, expected {feature.width} finite numbers")
        return vector.astype(np.float32)[None]
    if feature.kind == "time":
        return np.array([now if value is None else int(_number(feature, value))], np.int64)
    if feature.kind == "multi_category" and isinstance(value, (list, tuple)):
        value = feature.separator.join(map(str, value))
    return np.array(["" if value is None else utf8(feature.name, str(value))], object)


def _stored_value(feature: Feature, stored: Any, default: Any, now: int) -> np.ndarray:
    """A stored value, or the default where it does not fit: it may be older than what the feature is today, and the
    request is not to blame. Raises: RequestError where the default does not fit either."""
    try:
        return raw_value(feature, stored, now)
    except RequestError:
        return raw_value(feature, default, now)


def _number(feature: Feature, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) <= _LARGEST[feature.kind]:  # NaN is not
        found = "nothing" if value is None else repr(value)
        raise RequestError(f"{feature.name}: found {found}, expected a finite number")
    return number


def _share(name: str, value: Any) -> float:
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = float("nan")
    if not 0 <= share <= 1:  # NaN is not
        raise RequestError(f"{name}: found {value!r}, expected a number from 0 to 1")
    return share


def _length(k: int, items: int) -> int:
    """The length of a list; room is made for all of it, found or not. Raises: RequestError."""
    if k < 1:
        raise RequestError(f"k: found {k}, expected at least 1")
    return min(k, items)


def _ids(name: str, ids: Sequence[str], expected: str = "item ids") -> list[str]:
    """A list of ids; one text would else be read as one id for each letter. Raises: RequestError."""
    if isinstance(ids, (str, bytes)):
        raise RequestError(f"{name}: found the text {ids!r}, expected a list of {expected}")
    if not isinstance(ids, Iterable):
        raise RequestError(f"{name}: found {ids!r}, expected a list of {expected}")
    return list(ids)


def _one_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"one of {', '.join(names[:_SHOWN])}{more}" if names else "none: the bundle has none"


def utf8(name: str, text: str) -> str:
    """Text that can be looked up: the shell passes bytes that are not UTF-8 on as lone surrogates, which SQLite does
    not take. Raises: RequestError."""
    try:
        str(text).encode()
    except UnicodeEncodeError:
        raise RequestError(f"{name}: found {text!r}, which is not UTF-8, expected text that is") from None
    return text


def _strings(rows: list[list[str]]) -> np.ndarray:
    return np.array(rows, object).reshape(len(rows), len(rows[0]))
