"""Popular items as plain lists beside the graph, for when the graph cannot answer: by segment, and for everyone.

assets.extra/popular.json    {"segment": feature or null, "items": {id: {"title", "filters": {name: values}}},
                              "lists": {segment value: [ids]}, "again": whether seen items may be listed};
                              the list of everyone is the one under ""
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from serving.manifest import BundleError

POPULAR = Path("assets.extra") / "popular.json"
DEPTH = 500  # items of a list: seen ones and those that a filter forbids are passed over
EVERYONE = ""

Filters = Mapping[str, Sequence[str]]  # values by name


@dataclass(frozen=True)
class PopularItem:
    """What a list says of an item, and by which filters it may be shown."""

    title: str
    filters: Filters


@dataclass(frozen=True)
class Popular:
    """Lists of item ids, most popular first, by the value of the feature `segment` of queries, and under `EVERYONE`;
    again: whether a user may be shown what was taken already."""

    segment: str | None
    items: Mapping[str, PopularItem]
    lists: Mapping[str, Sequence[str]]
    again: bool = False

    def best(self, segment: str | None, k: int, barred: Collection[str], wanted: Filters) -> list[str]:
        """At most k items, those of the segment first and then everyone's, none of `barred`.

        wanted: values by filter, of which an item must have one; a filter without values asks for nothing.
        """
        found: dict[str, None] = {}
        for item in self._ordered(segment):
            if len(found) == k:
                break
            if item not in barred and self._shown(item, wanted):
                found.setdefault(item)
        return list(found)

    def _ordered(self, segment: str | None) -> Iterator[str]:
        for name in dict.fromkeys([segment or EVERYONE, EVERYONE]):
            yield from self.lists.get(name, ())

    def _shown(self, item: str, wanted: Filters) -> bool:
        has = self.items[item].filters
        return all(not values or not {*values}.isdisjoint(has.get(name, ())) for name, values in wanted.items())

    def changed(self, filters: Mapping[str, Filters], titles: Mapping[str, str], removed: Collection[str]) -> Popular:
        """The same lists with other filter values and titles by item, and without those that are removed."""
        items = {
            item: PopularItem(titles.get(item, said.title), filters.get(item, said.filters))
            for item, said in self.items.items()
            if item not in removed
        }
        lists = {name: [item for item in ids if item in items] for name, ids in self.lists.items()}
        return replace(self, items=items, lists=lists)


def write_popular(path: Path, popular: Popular) -> None:
    """Write the file of that name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(popular), ensure_ascii=False) + "\n", encoding="utf-8")


def read_popular(path: Path) -> Popular | None:
    """The lists in a file; None where it is not there, as in bundles of older versions. Raises: BundleError."""
    try:
        said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        items = {item: PopularItem(**one) for item, one in said["items"].items()}
        found = Popular(said["segment"], items, said["lists"], bool(said.get("again", False)))
        if unknown := {item for ids in found.lists.values() for item in ids} - set(items):
            raise ValueError(f"nothing is said of {sorted(unknown)[0]!r}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(f"bundle: {path} cannot be read: {error!r}") from None
    return found
