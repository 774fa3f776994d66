"""What serving knows of queries and items besides the graph: features, histories, titles and what can be liked, in
SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STATE = Path("assets.extra") / "state.sqlite"

_TABLES = """
CREATE TABLE items (item TEXT PRIMARY KEY, title TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE likes (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE queries (
    query TEXT PRIMARY KEY, features TEXT NOT NULL, history TEXT NOT NULL, history_time TEXT NOT NULL
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class QueryState:
    """One query: feature values by name, and what it took, oldest first, with times on the events' axis."""

    features: Mapping[str, Any]
    history: Sequence[str]
    history_time: Sequence[int]


class State:
    """Read access to a state file."""

    def __init__(self, path: Path) -> None:
        # immutable: nobody writes to a published bundle, so SQLite needs no lock files beside it
        self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True, check_same_thread=False)

    def query(self, query: str) -> QueryState | None:
        """What is known of a query; None for an unknown one."""
        row = self._connection.execute(
            "SELECT features, history, history_time FROM queries WHERE query = ?", (query,)
        ).fetchone()
        return QueryState(*map(json.loads, row)) if row else None

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def any_query(self) -> str | None:
        """The id of the query with the longest history, to show something with."""
        row = self._connection.execute("SELECT query FROM queries ORDER BY length(history) DESC, query LIMIT 1")
        found = row.fetchone()
        return found[0] if found else None

    def some_queries(self, most: int) -> list[str]:
        """At most so many ids of queries, evenly from all in order of the alphabet."""
        ids = [query for (query,) in self._connection.execute("SELECT query FROM queries ORDER BY query")]
        return ids[:: max(1, -(-len(ids) // most))]

    def queries_from(self, prefix: str, most: int) -> list[str]:
        """At most so many ids of queries that begin so, in order of the alphabet."""
        sql = "SELECT query FROM queries WHERE query >= ? AND query < ? ORDER BY query LIMIT ?"
        return [query for (query,) in self._connection.execute(sql, (prefix, prefix + "\U0010ffff", most))]

    def items_like(self, text: str, most: int) -> list[tuple[str, str]]:
        """At most so many (item, title) whose id is `text` or whose title holds it, in any case of ASCII letters."""
        words = "%" + "".join(f"\\{one}" if one in "%_\\" else one for one in text) + "%"
        sql = (
            "SELECT item, title FROM items WHERE item = ? OR title LIKE ? ESCAPE '\\' ORDER BY item != ?, title LIMIT ?"
        )
        return list(self._connection.execute(sql, (text, words, text, most)))

    def likes(self, most: int = -1) -> list[str]:
        """What can be liked, "feature=value", in order of the alphabet: all, or at most so many."""
        return [name for (name,) in self._connection.execute("SELECT name FROM likes ORDER BY name LIMIT ?", (most,))]

    def titles(self, items: Sequence[str]) -> dict[str, str]:
        """Titles by item id; unknown items are left out."""
        found: dict[str, str] = {}
        for start in range(0, len(items), 1000):  # SQLite bounds the parameters of one statement
            part = list(items[start : start + 1000])
            marks = ",".join("?" * len(part))
            found.update(self._connection.execute(f"SELECT item, title FROM items WHERE item IN ({marks})", part))
        return found


def add_titles(path: Path, titles: Iterable[tuple[str, str]]) -> None:
    """Add (item, title) pairs to a state file that nobody else reads yet, in place of older ones."""
    with sqlite3.connect(path) as connection:
        connection.executemany("INSERT OR REPLACE INTO items VALUES (?, ?)", titles)
    connection.close()


def write_state(
    path: Path,
    titles: Iterable[tuple[str, str]],
    queries: Iterable[tuple[str, QueryState]],
    likes: Iterable[str] = (),
) -> None:
    """Write a new state file from (item, title) pairs, (query, state) pairs and names of what can be liked."""
    with sqlite3.connect(path) as connection:
        connection.executescript(_TABLES)
        connection.executemany("INSERT INTO items VALUES (?, ?)", titles)
        connection.executemany("INSERT INTO likes VALUES (?)", ((name,) for name in likes))
        rows = (
            (query, *(json.dumps(part) for part in (state.features, state.history, state.history_time)))
            for query, state in queries
        )
        connection.executemany("INSERT INTO queries VALUES (?, ?, ?, ?)", rows)
    connection.close()
