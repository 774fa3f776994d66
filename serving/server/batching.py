"""Micro-batching: requests that wait at the same time are answered in one call of the graph.

Requests of one signature have inputs [1, ...]; joined they are [n, ...], shorter lists padded at their end with "" or 0
as the signatures take it. A row's answer does not depend on its neighbours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from configs.serving import Batch
from serving.worker.process import DeadlinePassed
from serving.worker.wire import Arrays


class Run(Protocol):
    """`Worker.run`."""

    async def __call__(self, signature: str, inputs: Mapping[str, np.ndarray], seconds: float) -> Arrays:
        """See `Worker.run`."""


class _Waiting(NamedTuple):
    inputs: Mapping[str, np.ndarray]
    until: float  # by the loop's clock
    answer: asyncio.Future[Arrays]


class Batcher:
    """Collects calls of one row each, and makes them `run` together."""

    def __init__(self, run: Run, batch: Batch) -> None:
        self._run, self._batch = run, batch
        self._waiting: dict[str, list[_Waiting]] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def run(self, signature: str, inputs: Mapping[str, np.ndarray], seconds: float) -> Arrays:
        """The answer for one row, as `run` gives it. Raises: what it raises; DeadlinePassed."""
        if self._batch.size == 1:
            return await self._run(signature, inputs, seconds)
        loop = asyncio.get_running_loop()
        one = _Waiting(inputs, loop.time() + seconds, loop.create_future())
        waiting = self._waiting.setdefault(signature, [])
        waiting.append(one)
        if len(waiting) >= self._batch.size:
            self._send(signature)
        elif len(waiting) == 1:
            loop.call_later(self._batch.wait, self._send, signature, one)
        done, _ = await asyncio.wait({one.answer}, timeout=seconds)
        if not done:
            one.answer.cancel()
            raise DeadlinePassed(f"worker: {signature} had no answer in {seconds:g} s")
        return one.answer.result()

    def _send(self, signature: str, first: _Waiting | None = None) -> None:
        """Send what waits; not where `first`, whose time it is, is gone already."""
        waiting = self._waiting.get(signature, [])
        if not waiting or (first is not None and waiting[0] is not first):
            return
        del self._waiting[signature]
        call = asyncio.ensure_future(self._answer(signature, waiting))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _answer(self, signature: str, waiting: list[_Waiting]) -> None:
        seconds = max(one.until for one in waiting) - asyncio.get_running_loop().time()
        try:
            answer = await self._run(signature, joined([one.inputs for one in waiting]), seconds)
        except Exception as error:
            if len(waiting) > 1 and isinstance(error, ValueError):
                await self._one_by_one(signature, waiting)  # one row's fault is not its neighbours'
                return
            for one in waiting:
                _settle(one, error)
            return
        for row, one in enumerate(waiting):
            _settle(one, {name: value[row : row + 1] for name, value in answer.items()})

    async def _one_by_one(self, signature: str, waiting: list[_Waiting]) -> None:
        for one in waiting:
            await self._answer(signature, [one])


def joined(rows: Sequence[Mapping[str, np.ndarray]]) -> Arrays:
    """Inputs of n requests, [1, ...] each, as those of one, [n, ...]. Raises: ValueError where names differ."""
    first = rows[0]
    if len(rows) == 1:
        return dict(first)
    if any(row.keys() != first.keys() for row in rows):
        raise ValueError("requests of one signature name different inputs")
    return {name: _stacked([row[name] for row in rows]) for name in first}


def _stacked(values: Sequence[np.ndarray]) -> np.ndarray:
    if values[0].ndim < 2 or len({value.shape[1:] for value in values}) == 1:
        return np.concatenate(values)
    width = max(value.shape[1] for value in values)
    fill: object = "" if values[0].dtype == object else 0
    table = np.full((len(values), width, *values[0].shape[2:]), fill, values[0].dtype)
    for row, value in enumerate(values):
        table[row, : value.shape[1]] = value[0]
    return table


def _settle(one: _Waiting, result: Arrays | Exception) -> None:
    if one.answer.done():  # nobody waits for it any more
        return
    if isinstance(result, Exception):
        one.answer.set_exception(result)
    else:
        one.answer.set_result(result)
