"""Small worlds whose right answers are known."""

import numpy as np

from pipelines.tables import Interactions, Ragged, Requests

NOW = 1_000


def events(rows: list[tuple]) -> Interactions:
    """Interactions from (query, item, time) or (query, item, time, weight), in any order."""
    rows = sorted((row if len(row) == 4 else (*row, 1.0) for row in rows), key=lambda row: row[2])
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    types = (np.int32, np.int32, np.int64, np.float32)
    return Interactions(*(np.array(c, t) for c, t in zip(columns, types, strict=True)))


def requests(asked: list[tuple[int, list[int]]]) -> Requests:
    """Requests at NOW from (query, history)."""
    row = np.repeat(np.arange(len(asked)), [len(history) for _, history in asked])
    items = np.array([item for _, history in asked for item in history], np.int32)
    history = Ragged.from_rows(row, items, len(asked))
    nothing = Ragged(np.zeros(len(asked) + 1, np.int64), np.zeros(0, np.int32))
    return Requests(
        np.array([query for query, _ in asked], np.int32),
        np.full(len(asked), NOW, np.int64),
        history,
        Ragged(history.starts, np.zeros(len(items), np.int64)),
        nothing,
    )


def checkerboard(size: int) -> tuple[Interactions, Requests]:
    """`size` queries and items: a query takes the items of its own parity, all but the one of its own number.

    Whatever is learnt, the one item left of its colour is the best for each request. The last two requests
    come from queries that the fit does not know: -1, which has taken the even items except item 2, and a row
    beyond the table, which has taken the odd items except item 3.
    """
    taken = [[item for item in range(query % 2, size, 2) if item != query] for query in range(size)]
    rows = [(query, item, 10 * query + item) for query in range(size) for item in taken[query]]
    asked = [*enumerate(taken), (-1, taken[2]), (size + 5, taken[3])]
    return events(rows), requests(asked)


def checkerboard_answers(size: int) -> list[int]:
    """The best item of each request of the checkerboard."""
    return [*range(size), 2, 3]
