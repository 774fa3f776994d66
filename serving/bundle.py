"""The bundle: one version of one recommender on disk, and the call that answers from it.

    <root>/<name>/<integer version>/
        saved_model.pb, variables/           the graph (TF Serving loads these)
        assets.extra/state.sqlite            item titles, what can be liked, each query's features and history
        assets.extra/golden.json             requests with the answers they must get
        assets.extra/computed_at.npy         when each item's vector was computed
        manifest.json                        what it is, and a sha256 of every file

A bundle is read through TensorFlow's C API; nothing here imports TensorFlow.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from configs.data import FILTER
from configs.errors import UserError
from configs.features import Feature
from configs.load import digest, parse
from configs.schema import Config
from serving.likes import choices
from serving.runtime import RuntimeFailure, Session, scann_library
from serving.state import State

MANIFEST = "manifest.json"
_LATEST = 2**62  # differences of two moments still fit 64 bits
STATE = Path("assets.extra") / "state.sqlite"
GOLDEN = Path("assets.extra") / "golden.json"
_SHOWN = 20  # names in a message
_NUMBER = re.compile("0|[1-9][0-9]*")
Filters = Mapping[str, Sequence[str]]  # values by name
Files = Mapping[str, Mapping[str, Any]]  # sha256 and bytes by path
_LARGEST = {"number": float(np.finfo(np.float32).max), "time": float(2**62)}  # what float32 and int64 surely hold


class BundleError(UserError):
    """A bundle cannot be used: it is missing, changed, incomplete, or of another version."""


class RequestError(UserError):
    """A request cannot be answered as asked."""


@dataclass(frozen=True)
class Recommendation:
    """One place of a list: the item, its title, the ranker's score, and whether popularity filled the place."""

    item: str
    title: str
    score: float
    filled: bool


@dataclass(frozen=True)
class Similar:
    """A neighbour of an item: its id, its title, and the cosine of their embeddings."""

    item: str
    title: str
    score: float


class Bundle:
    """A verified bundle, ready to answer. `manifest` says what it is."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest
        self.config: Config = parse(manifest["config"], str(folder / MANIFEST))
        self.state = State(folder / STATE)
        features = (*self.config.on("queries"), *self.config.on("events"))
        self._features = [f for f in features if f.kind != "time" or f.column is not None]  # else the request's time

    @cached_property
    def session(self) -> Session:
        """The loaded graph. Raises: BundleError."""
        libraries = []
        if self.manifest["searcher"] == "scann":
            library = scann_library()
            if library is None:
                raise BundleError(f"bundle: {self.folder} needs ScaNN's operations; install the scann package")
            libraries = [library]
        try:
            return Session(self.folder, self.manifest["signatures"], op_libraries=libraries)
        except RuntimeFailure as failure:
            raise BundleError(f"bundle: {self.folder} cannot be loaded: {failure}") from None

    def recommend(
        self,
        user: str | None = None,
        k: int = 10,
        *,
        likes: Sequence[str] = (),
        history: Sequence[str] | None = None,
        history_time: Sequence[int] | None = None,
        exclude: Sequence[str] = (),
        filters: Filters | None = None,
        context: Mapping[str, Any] | None = None,
        time: int | None = None,
    ) -> list[Recommendation]:
        """The k best items for a query, best first.

        user: whose stored features and history are used; an unknown one, or None, is answered from the rest.
        likes: what someone new chose, "feature=value" of items or item ids; such items count as taken, at the
        request's time. history: item ids, oldest first, instead of the stored ones; unknown ids are passed over.
        history_time: their times, by default the request's. exclude: item ids that must not be listed. filters: by
        name, the values of which an item must have one, such as {"region": ["eu", "world"]}; of a filter with no value
        any item will do. context: request features
        and overrides of stored ones, by name. time: when it is asked, on the events' time axis; by default the end of
        the data that the bundle knows.
        Raises: RequestError, BundleError.
        """
        inputs = self.request(user, likes=likes, history=history, history_time=history_time, context=context, time=time)
        inputs |= self.limits(k, exclude, filters)
        answer = self.run("recommend", inputs)
        count = int(answer["count"][0])
        items = [item.decode() for item in answer["items"][0][:count]]
        titles = self.state.titles(items)
        filled = answer["filled"][0] if "filled" in answer else np.ones(count, bool)
        return [
            Recommendation(item, titles.get(item, item), float(answer["scores"][0][i]), bool(filled[i]))
            for i, item in enumerate(items)
        ]

    def similar(
        self, item: str, k: int = 10, *, exclude: Sequence[str] = (), filters: Filters | None = None
    ) -> list[Similar]:
        """The k items nearest to `item`, nearest first; exclude and filters as `recommend`.

        Raises: RequestError, BundleError.
        """
        if not self.state.titles([_utf8("item", item)]):
            raise RequestError(f"item: found {item!r}, expected the id of an item that the bundle knows")
        inputs = {"item": np.array([item], object), **self.limits(k, exclude, filters)}
        answer = self.run("similar_items", inputs)
        found = [one.decode() for one in answer["items"][0][: int(answer["count"][0])]]
        titles = self.state.titles(found)
        return [Similar(one, titles.get(one, one), float(answer["scores"][0][i])) for i, one in enumerate(found)]

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Call a signature with raw arrays. Raises: RequestError, BundleError."""
        if signature not in self.manifest["signatures"]:
            raise RequestError(
                f"bundle: {self.folder} has no signature {signature!r}; found {', '.join(self.manifest['signatures'])}"
            )
        session = self.session
        try:
            return session.run(signature, inputs)
        except RuntimeFailure as failure:
            raise BundleError(f"bundle: {signature} failed in {self.folder}: {failure}") from None
        except ValueError as error:  # inputs that do not fit the signature
            raise RequestError(f"bundle: {error}") from None

    def request(
        self,
        user: str | None = None,
        *,
        likes: Sequence[str] = (),
        history: Sequence[str] | None = None,
        history_time: Sequence[int] | None = None,
        context: Mapping[str, Any] | None = None,
        time: int | None = None,
    ) -> dict[str, np.ndarray]:
        """Raw inputs for one query, [1, ...]; arguments as `recommend`. Raises: RequestError."""
        stored = self.state.query(_utf8("user", user)) if user is not None else None
        given = dict(context or {})
        names = {feature.name for feature in self._features}
        if unknown := sorted(set(given) - names):
            raise RequestError(f"context: unknown feature {unknown[0]!r}; expected one of {sorted(names)}")
        now = int(self.manifest["data"]["end"] if time is None else time)
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
        inputs |= {"likes": _strings([liked])} if self._takes_likes else {}
        inputs["history_time"] = np.array([times], np.int64).reshape(1, len(items))
        values = {**self.manifest["defaults"], **(stored.features if stored else {}), **given}
        for feature in self._features:
            inputs[feature.name] = raw_value(feature, values.get(feature.name), now)
        return inputs

    def limits(self, k: int, exclude: Sequence[str] = (), filters: Filters | None = None) -> dict[str, np.ndarray]:
        """What may be in one request's list, as signatures take it beside `request`. Raises: RequestError."""
        values, given = self.manifest.get("filters", {}), dict(filters or {})
        if unknown := sorted(set(given) - set(values)):
            raise RequestError(f"filters: unknown filter {unknown[0]!r}; expected {_one_of(sorted(values))}")
        wanted = {name: _ids(f"filter {name}", given.get(name, []), "values") for name in values}
        for name, asked in wanted.items():
            known = set(values[name]) if asked else set()
            if unknown := [value for value in asked if value not in known]:
                raise RequestError(f"filter {name}: found {unknown[0]!r}, expected {_one_of(values[name])}")
        inputs = {FILTER + name: _strings([asked]) for name, asked in wanted.items()}
        inputs["exclude"] = _strings([_ids("exclude", exclude)])
        return inputs | {"k": np.array([_length(k, self.manifest["items"])], np.int32)}

    def _liked(self, likes: Sequence[str]) -> tuple[list[str], list[str]]:
        """The names among what is liked, and the items. Raises: RequestError."""
        if likes and not self._takes_likes:
            raise RequestError(f"likes: {self.folder} takes none, as older versions did not; export the run again")
        known = self.state.likes() if likes else []
        names = [like for like in likes if like in known]
        items = [_utf8("likes", like) for like in likes if like not in known]
        titles = self.state.titles(items)
        if unknown := [like for like in items if like not in titles]:
            raise RequestError(f"likes: found {unknown[0]!r}, expected {choices(str(unknown[0]), known)}")
        return names, items

    @property
    def _takes_likes(self) -> bool:
        return "likes" in self.manifest["signatures"]["recommend"]["inputs"]


def raw_value(feature: Feature, value: Any, now: int) -> np.ndarray:
    """One request's value of a feature as the graph takes it, [1] or [1, width]; None is missing.

    Raises: RequestError.
    """
    if feature.kind == "number":
        return np.array([_number(feature, feature.missing if value is None else value)], np.float32)
    if feature.kind == "vector":
        try:
            vector = np.zeros(feature.width) if value is None else np.asarray(value, np.float64)
        except (TypeError, ValueError):
            vector = np.empty(0)
        if vector.shape != (feature.width,) or not (np.abs(vector) <= _LARGEST["number"]).all():
            raise RequestError(f"{feature.name}: found {value!r}, expected {feature.width} finite numbers")
        return vector.astype(np.float32)[None]
    if feature.kind == "time":
        return np.array([now if value is None else int(_number(feature, value))], np.int64)
    if feature.kind == "multi_category" and isinstance(value, (list, tuple)):
        value = feature.separator.join(map(str, value))
    return np.array(["" if value is None else str(value)], object)


def _number(feature: Feature, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not abs(number) <= _LARGEST[feature.kind]:  # NaN is not
        found = "nothing" if value is None else repr(value)
        raise RequestError(f"{feature.name}: found {found}, expected a finite number")
    return number


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


def _utf8(name: str, text: str) -> str:
    """Text that can be looked up: the shell passes bytes that are not UTF-8 on as lone surrogates, which SQLite does
    not take. Raises: RequestError."""
    try:
        str(text).encode()
    except UnicodeEncodeError:
        raise RequestError(f"{name}: found {text!r}, which is not UTF-8, expected text that is") from None
    return text


def _strings(rows: list[list[str]]) -> np.ndarray:
    return np.array(rows, object).reshape(len(rows), len(rows[0]))


def load_bundle(path: Path | str) -> Bundle:
    """Open a bundle: one version, or the newest under a model's folder. Raises: BundleError."""
    folder = newest(Path(path))
    return Bundle(folder, verify(folder))


def versions(model: Path) -> list[int]:
    """Version numbers under a model's folder, ascending."""
    if not model.is_dir():
        return []
    return sorted(int(path.name) for path in model.iterdir() if _NUMBER.fullmatch(path.name) and path.is_dir())


def newest(path: Path) -> Path:
    """`path` itself when it is a version, else its newest version. Raises: BundleError."""
    if (path / MANIFEST).is_file():
        return path
    if found := versions(path):
        return path / str(found[-1])
    raise BundleError(f"bundle: {path} is no bundle; expected a folder with {MANIFEST}, or one with numbered versions")


def seal(folder: Path, facts: Mapping[str, Any], known: Files = MappingProxyType({})) -> None:
    """Write the manifest of a finished folder: `facts`, size and sha256 of every file, and a hash of all that.

    known: what `described` said already of some of the files.
    """
    files = {**described(folder, set(known)), **known}
    sealed = {**facts, "files": dict(sorted(files.items()))}
    (folder / MANIFEST).write_text(json.dumps({**sealed, "id": _identity(sealed)}, indent=1, allow_nan=False) + "\n")


def described(folder: Path, but: Set[str] = frozenset()) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file by its path from the folder, but for the manifest and those of the paths `but`."""
    files = {str(path.relative_to(folder)): path for path in _files(folder)}
    return {name: _described(path) for name, path in files.items() if name not in but}


def verify(folder: Path) -> dict[str, Any]:
    """The manifest, after every file was held against it. Raises: BundleError that names the first difference."""
    manifest = manifest_of(folder)
    hold_against(folder, manifest)
    return manifest


def manifest_of(folder: Path) -> dict[str, Any]:
    """The manifest, held against its own hash alone. Raises: BundleError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        identity, found = _identity(manifest), manifest.get("id")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise _unreadable(folder, error) from None
    if identity != found:
        raise BundleError(f"bundle: {folder / MANIFEST} was changed: found id {found!r}, expected {identity!r}")
    return manifest


def hold_against(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Hold every file against what a manifest says. Raises: BundleError that names the first difference."""
    try:
        expected = {name: (said["sha256"], said["bytes"]) for name, said in manifest["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise _unreadable(folder, error) from None
    found = {str(path.relative_to(folder)): path for path in _files(folder)}
    for name, (sha256, size) in expected.items():
        if name not in found:
            raise BundleError(f"bundle: {folder} lacks {name}, which its manifest lists")
        actual = _described(found[name])
        if (actual["sha256"], actual["bytes"]) != (sha256, size):
            raise BundleError(
                f"bundle: {found[name]} was changed: found sha256 {actual['sha256'][:12]}... of {actual['bytes']} "
                f"bytes, expected {sha256[:12]}... of {size}"
            )
    if extra := sorted(set(found) - set(expected)):
        raise BundleError(f"bundle: {folder} holds {extra[0]}, which its manifest does not list")


def _unreadable(folder: Path, error: Exception) -> BundleError:
    return BundleError(f"bundle: {folder / MANIFEST} cannot be read: {error!r}")


def seal_id(folder: Path) -> str | None:
    """The id of a bundle by its manifest; None where there is none to read."""
    try:
        return json.loads((folder / MANIFEST).read_text())["id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _identity(manifest: Mapping[str, Any]) -> str:
    """Hash of everything a manifest says but its id."""
    said = {key: value for key, value in manifest.items() if key != "id"}
    return digest(json.loads(json.dumps(said)))


def check_golden(bundle: Bundle) -> None:
    """Ask the golden requests once more. Raises: BundleError that names the first answer that differs."""
    path = bundle.folder / GOLDEN
    try:
        recorded = [
            ({name: _array(described) for name, described in golden["inputs"].items()}, list(golden["items"]))
            for golden in json.loads(path.read_text())
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"bundle: {path} cannot be read: {error!r}") from None
    for number, (inputs, expected) in enumerate(recorded):
        items = [item.decode() for item in bundle.run("recommend", inputs)["items"][0]]
        if items != expected:
            raise BundleError(
                f"bundle: golden request {number} in {bundle.folder} was answered {items[:3]}..., "
                f"expected {expected[:3]}..."
            )


def answer_golden(bundle: Bundle) -> None:
    """Record the golden requests anew with today's answers. Raises: BundleError."""
    path = bundle.folder / GOLDEN
    recorded = json.loads(path.read_text())
    for golden in recorded:
        inputs = {name: _array(described) for name, described in golden["inputs"].items()}
        found = [item.decode() for item in bundle.run("recommend", inputs)["items"][0]]
        if any(golden["items"]) and not any(found):
            raise BundleError(f"bundle: a golden request that had an answer has none in {bundle.folder}")
        golden["items"] = found
    path.write_text(json.dumps(recorded) + "\n")


def golden_value(value: np.ndarray) -> dict[str, Any]:
    """One input of a golden request, as it stands in the file."""
    dtype = "string" if value.dtype == object else value.dtype.name
    return {"dtype": dtype, "shape": value.shape, "data": value.tolist()}


def _array(described: Mapping[str, Any]) -> np.ndarray:
    dtype = object if described["dtype"] == "string" else described["dtype"]
    return np.array(described["data"], dtype).reshape(described["shape"])


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)


def _described(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"sha256": digest.hexdigest(), "bytes": path.stat().st_size}
