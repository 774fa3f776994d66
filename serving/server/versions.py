"""Which versions are loaded and who is answered by which: looks for new ones, swaps, and keeps the old ones until then.

A version is served once it was verified, loaded and has answered its golden requests; until then the one before
answers. One that fails is refused: it is not tried again before its folder has changed and changes no more, and the old
one keeps serving.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from configs.errors import UserError
from configs.serving import Serving
from serving.assignment import place
from serving.manifest import BundleError, stamp, versions
from serving.rollout import CANARY, SHADOW, STABLE, Plan, plan
from serving.runtime import RuntimeFailure
from serving.server.decided import Decided
from serving.server.metrics import Metrics
from serving.server.version import Version
from serving.tfserving.models import NotServed, VersionState
from serving.worker.process import DeadlinePassed, WorkerGone

_AGAIN = 30.0  # seconds after which a version is tried again that failed for want of a process
_log = logging.getLogger("twinspire.versions")


class _Refusal(NamedTuple):
    stamp: str  # of the folder that was refused
    until: float | None  # by the monotonic clock; None for as long as the stamp stands
    code: str
    message: str
    seen: str  # the folder's stamp at the last look: one that is being copied is not read until it stays the same


class Versions:
    """The versions of one model."""

    def __init__(self, model: Path, settings: Serving, metrics: Metrics) -> None:
        self.model, self._settings, self._metrics = model, settings, metrics
        self.name = model.resolve().name
        self._loaded: dict[int, Version] = {}
        self._loading: int | None = None
        self._retiring: dict[int, asyncio.Task[None]] = {}
        self._refused: dict[int, _Refusal] = {}
        self._plan, self._found = Plan({}), list[int]()
        self._decided = Decided(model, Path(settings.state), metrics)
        self._told: Version | None = None  # the one that `_on_swap` was called with
        self._on_swap: Callable[[Version], None] = lambda _: None

    @property
    def labels(self) -> Mapping[str, int]:
        """Version numbers by label, of those that are loaded."""
        return self._plan.labels

    def find(self, number: int | None = None, label: str | None = None) -> Version:
        """A loaded version, the stable one unless told otherwise. Raises: NotServed."""
        wanted = self.labels.get(label or STABLE) if number is None else number
        if wanted in self._loaded and wanted in self._plan.wanted:
            return self._loaded[wanted]
        raise NotServed(_words(self.name, number, label))

    def pick(self, unit: str | None) -> Version:
        """The version that answers a user: the canary for its share of them, always the same. Raises: NotServed."""
        canary = unit is not None and CANARY in self.labels and place(f"canary of {self.name}", unit) < self._plan.share
        return self.find(label=CANARY if canary else STABLE)

    @property
    def share(self) -> float:
        """Of users whom the canary answers."""
        return self._plan.share

    @property
    def stable(self) -> Version | None:
        """The version that answers unless told otherwise; None where none does."""
        return self._loaded.get(self.labels[STABLE]) if STABLE in self.labels else None

    @property
    def loaded(self) -> list[Version]:
        """Those that may be asked, the newest first."""
        return [self._loaded[number] for number in sorted(self._loaded, reverse=True)]

    @property
    def away(self) -> str:
        """Why no version answers, where none does."""
        if self._decided.rollout is None and self._decided.wrong:
            return "rollout"
        return "withdrawn" if self._found and set(self._found) <= self._withdrawn else "no model"

    @property
    def rollout_error(self) -> str | None:
        """What is wrong with the file that says who answers whom, while what was read before stands."""
        return self._decided.wrong or None

    def on_swap(self, call: Callable[[Version], None]) -> None:
        """Have this called with the stable version whenever who answers has changed."""
        self._on_swap = call

    @property
    def shadow(self) -> Version | None:
        """The version that is asked beside the one that answers."""
        return self._loaded.get(self.labels[SHADOW]) if SHADOW in self.labels else None

    def states(self) -> list[VersionState]:
        """What is there of the model's versions, the newest first."""
        found = {n: VersionState(n, "END", said.code, said.message) for n, said in self._refused.items()}
        found |= {number: VersionState(number, "UNLOADING", "OK", "") for number in self._retiring}
        found |= {number: VersionState(number, "AVAILABLE", "OK", "") for number in self._loaded if self._has(number)}
        if self._loading is not None:
            found[self._loading] = VersionState(self._loading, "LOADING", "OK", "")
        return [found[number] for number in sorted(found, reverse=True)]

    async def watch(self) -> None:
        """Look for new versions for as long as this is awaited."""
        while True:
            try:
                await self.look()
            except Exception:  # whatever it was, those that serve go on serving, and the next look may find more
                _log.exception("looking for versions of %s failed", self.model)
            await asyncio.sleep(self._settings.poll)

    async def look(self) -> None:
        """Bring what is loaded in line with what is there; the old ones answer until the new ones are ready."""
        await self._forget()
        while True:  # loading takes its time, in which versions come and are withdrawn
            self._found = await asyncio.to_thread(versions, self.model)
            wanted = await self._decide()
            missing = [number for number in wanted.labels.values() if not self._has(number)]
            if not missing:
                break
            await self._load_unless_withdrawn(missing[0])
        # with nothing to serve instead, those that are loaded go on, but for those that were withdrawn
        self._swap(wanted if wanted.labels else self._planned(self._loaded))
        for number, version in self._loaded.items():
            self._metrics.restarts.labels(str(number)).set(version.restarts)

    async def close(self) -> None:
        """End every process."""
        self._plan = Plan({})
        self._retire_others()
        await asyncio.gather(*self._retiring.values(), return_exceptions=True)  # one that fails keeps nobody else

    async def _decide(self) -> Plan:
        """Read what was decided, and swap at once where somebody answers who may not; to who is to serve."""
        await asyncio.to_thread(self._decided.read)
        wanted = self._planned([number for number in self._found if number not in self._refused])
        if (meanwhile := self._meanwhile(wanted)) is not None:
            self._swap(meanwhile)
        return wanted

    def _meanwhile(self, wanted: Plan) -> Plan | None:
        """Who answers while versions are loaded; None where those go on that do. Nobody waits for a canary, and
        what was withdrawn answers only until the one in its place is loaded."""
        now, gone = self._plan.labels, self._withdrawn
        if STABLE in now and not gone & self._plan.wanted:
            return None
        if not wanted.labels:
            return self._planned(self._loaded)
        able = [one for one in (wanted.labels[STABLE], now.get(STABLE)) if one is not None and one not in gone]
        stable = next((one for one in able if self._has(one)), None)
        if stable is None:
            return None
        others = {label: one for label, one in wanted.labels.items() if label != STABLE and self._has(one)}
        labels = {STABLE: stable} | {label: one for label, one in others.items() if one != stable}
        return Plan(labels, wanted.share if CANARY in labels else 0.0)

    @property
    def _withdrawn(self) -> set[int]:
        return set(self._decided.rollout.withdrawn) if self._decided.rollout else set()

    def _planned(self, able: Collection[int]) -> Plan:
        return Plan({}) if self._decided.rollout is None else plan(able, self._decided.rollout)

    def _has(self, number: int) -> bool:
        return number in self._loaded and not self._loaded[number].lost

    async def _load_unless_withdrawn(self, number: int) -> None:
        """Load a version, and go on reading what was decided meanwhile."""
        loading = asyncio.ensure_future(self._load(number))
        try:
            while not (await asyncio.wait({loading}, timeout=self._settings.poll))[0]:
                await self._decide()
                if number in self._withdrawn:
                    return
            loading.result()
        finally:
            loading.cancel()  # nothing where it is done
            await asyncio.wait({loading})
            self._loading = None

    async def _load(self, number: int) -> None:
        if number in self._retiring:  # it was wanted, then not, and now again
            await asyncio.wait({self._retiring[number]})  # its end stands, even where this is cancelled
        folder, self._loading = self.model / str(number), number
        found = await asyncio.to_thread(stamp, folder)
        try:
            version = await Version.load(folder, self._settings.runtime)
        except Exception as error:  # whatever it is: one version must not keep the others from being served
            self._refuse(number, found, error)
        else:
            if number in self._loaded:  # it was lost
                self._retire(number, self._loaded[number])
            self._loaded[number] = version
            _log.info("version %d of %s is ready", number, self.name)

    def _refuse(self, number: int, found: str, error: Exception) -> None:
        reason = "damaged" if isinstance(error, BundleError) else type(error).__name__
        lasting = not isinstance(error, (WorkerGone, DeadlinePassed, OSError))
        until = None if lasting else time.monotonic() + _AGAIN
        code = error.code if isinstance(error, RuntimeFailure) else "DATA_LOSS" if lasting else "UNAVAILABLE"
        expected = isinstance(error, (UserError, RuntimeFailure, WorkerGone, DeadlinePassed, OSError))
        message = str(error) if expected else f"{type(error).__name__}: {error}"
        self._refused[number] = _Refusal(found, until, code, message, seen=found)
        self._metrics.refused.labels(reason).inc()
        _log.error("version %d of %s is not served: %s", number, self.name, message, exc_info=not expected)

    async def _forget(self) -> None:
        """Refusals of versions that are gone, that were changed since and stay so, or whose time is over."""
        folders = {number: self.model / str(number) for number in self._refused}
        stamps = await asyncio.to_thread(lambda: {number: stamp(folder) for number, folder in folders.items()})
        for number, now in stamps.items():  # here, as others read them meanwhile
            said = self._refused[number]
            over = said.until is not None and time.monotonic() >= said.until
            if over or said.stamp != now == said.seen:
                del self._refused[number]
            else:
                self._refused[number] = said._replace(seen=now)

    def _swap(self, wanted: Plan) -> None:
        stable = self._loaded[wanted.labels[STABLE]] if wanted.labels else None
        if wanted.labels != self._plan.labels:
            self._metrics.swaps.inc()
            self._metrics.served.clear()
            for label, number in wanted.labels.items():
                self._metrics.served.labels(label).set(number)
            _log.info("%s: %s", self.name, ", ".join(f"{label} {n}" for label, n in wanted.labels.items()) or self.away)
        if stable is not None and (wanted.labels != self._plan.labels or stable is not self._told):
            self._on_swap(stable)
            self._told = stable
        self._plan = wanted
        self._retire_others()

    def _retire_others(self) -> None:
        for number in set(self._loaded) - self._plan.wanted:
            self._retire(number, self._loaded.pop(number))

    def _retire(self, number: int, version: Version) -> None:
        task = asyncio.ensure_future(version.retire(2 * self._settings.limits.deadline + 1))
        self._retiring[number] = task
        task.add_done_callback(partial(self._gone, number))

    def _gone(self, number: int, _: asyncio.Task[None]) -> None:
        self._retiring.pop(number, None)
        with suppress(KeyError):
            self._metrics.restarts.remove(str(number))


def _words(name: str, number: int | None, label: str | None) -> str:
    """What was asked for in vain, as TensorFlow Serving says it."""
    if number is not None:
        return f"Servable not found for request: Specific({name}, {number})"
    return (
        f"Unrecognized servable version label: {label}" if label else f"Servable not found for request: Latest({name})"
    )
