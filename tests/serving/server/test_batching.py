"""Micro-batching: what is joined, what a row gets of the answer, and whose fault is whose."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from configs.serving import Batch
from serving.server.batching import Batcher, joined
from serving.worker.process import DeadlinePassed


def row(number: int, *history: str, time: int = 0) -> dict[str, np.ndarray]:
    return {
        "number": np.array([number]),
        "history": np.array([history], object).reshape(1, len(history)),
        "history_time": np.array([[time] * len(history)], np.int64),
    }


class Graph:
    """Answers each row with what it was given, and remembers the calls."""

    def __init__(self, seconds: float = 0.0, bad: int = -1) -> None:
        self.calls: list[tuple[str, int]] = []
        self._seconds, self._bad = seconds, bad

    async def run(self, signature, inputs, seconds):
        self.calls.append((signature, len(inputs["number"])))
        await asyncio.sleep(self._seconds)
        if self._bad in inputs["number"]:
            raise ValueError(f"number {self._bad} does not fit")
        return {"double": 2 * inputs["number"], "first": inputs["history"][:, :1]}


def ask(graph: Graph, batch: Batch, rows, seconds: float = 5.0, **named):
    async def all_of_them():
        batcher = Batcher(graph.run, batch)
        calls = (batcher.run(named.get("signature", "list"), one, seconds) for one in rows)
        return await asyncio.gather(*calls, return_exceptions=True)

    return asyncio.run(all_of_them())


def test_rows_are_padded_at_their_end():
    table = joined([row(1, "a", "b", time=7), row(2), row(3, "c", time=9)])
    assert table["history"].tolist() == [["a", "b"], ["", ""], ["c", ""]]
    assert table["history_time"].tolist() == [[7, 7], [0, 0], [9, 0]]
    assert table["number"].tolist() == [1, 2, 3]


def test_rows_that_name_other_inputs_are_not_joined():
    with pytest.raises(ValueError, match="different inputs"):
        joined([row(1), {"number": np.array([1])}])


def test_each_row_gets_its_own_answer_from_one_call():
    graph = Graph()
    answers = ask(graph, Batch(size=8, wait=0.01), [row(1, "a"), row(2, "b", "c"), row(3)])
    assert [answer["double"].tolist() for answer in answers] == [[2], [4], [6]]
    assert answers[1]["first"].tolist() == [["b"]]
    assert graph.calls == [("list", 3)]


def test_a_full_batch_waits_for_nobody():
    graph = Graph()
    ask(graph, Batch(size=2, wait=1.0), [row(number) for number in range(4)])
    assert graph.calls == [("list", 2)] * 2


def test_size_one_calls_for_each_row():
    graph = Graph()
    ask(graph, Batch(), [row(1), row(2)])
    assert graph.calls == [("list", 1)] * 2


def test_a_rows_fault_is_not_its_neighbours():
    graph = Graph(bad=2)
    answers = ask(graph, Batch(size=3, wait=0.01), [row(1), row(2), row(3)])
    assert [answers[place]["double"].tolist() for place in (0, 2)] == [[2], [6]]
    assert isinstance(answers[1], ValueError)


def test_another_signature_is_another_call():
    graph = Graph()

    async def story():
        batcher = Batcher(graph.run, Batch(size=8, wait=0.01))
        await asyncio.gather(batcher.run("list", row(1), 5.0), batcher.run("like", row(2), 5.0))

    asyncio.run(story())
    assert sorted(graph.calls) == [("like", 1), ("list", 1)]


def test_a_row_waits_no_longer_than_its_own_deadline():
    async def story():
        batcher = Batcher(Graph(seconds=0.3).run, Batch(size=2, wait=0.01))
        slow = asyncio.ensure_future(batcher.run("list", row(1), 5.0))
        with pytest.raises(DeadlinePassed):
            await batcher.run("list", row(2), 0.05)
        return await slow

    assert asyncio.run(story())["double"].tolist() == [2]
