"""Which versions are loaded and who is answered by which: looks for new ones, swaps, and keeps the old ones until then.

A version is served once it was verified, loaded and has answered its golden requests; until then the one before
answers. One that fails is refused: it is not tried again before its folder changes, and the old one keeps serving.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from configs.errors import UserError
from configs.serving import Serving
from serving.assignment import place
from serving.manifest import MANIFEST, BundleError, versions
from serving.rollout import CANARY, SHADOW, STABLE, Plan, Rollout, RolloutError, plan, read_rollout
from serving.runtime import RuntimeFailure
from serving.server.metrics import Metrics
from serving.server.version import Version
from serving.tfserving.models import NotServed, VersionState
from serving.worker.process import WorkerGone

_AGAIN = 30.0  # seconds after which a version is tried again that failed for want of a process
_log = logging.getLogger("twinspire.versions")


class _Refusal(NamedTuple):
    stamp: tuple[int, int] | None  # of the manifest that was refused
    until: float | None  # by the loop's clock; None for as long as the stamp stands
    code: str
    message: str


class Versions:
    """The versions of one model."""

    def __init__(self, model: Path, settings: Serving, metrics: Metrics) -> None:
        self.model, self._settings, self._metrics = model, settings, metrics
        self.name = model.resolve().name
        self._loaded: dict[int, Version] = {}
        self._loading: int | None = None
        self._retiring: dict[int, asyncio.Task[None]] = {}
        self._refused: dict[int, _Refusal] = {}
        self._plan, self._rollout = Plan({}), Rollout()
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

    def on_swap(self, call: Callable[[Version], None]) -> None:
        """Have this called with the stable version whenever who answers has changed."""
        self._on_swap = call

    @property
    def shadow(self) -> Version | None:
        """The version that is asked beside the one that answers."""
        return self._loaded.get(self.labels[SHADOW]) if SHADOW in self.labels else None

    def states(self) -> list[VersionState]:
        """What is there of the model's versions, the newest first."""
        found = {number: VersionState(number, "AVAILABLE", "OK", "") for number in self._loaded}
        found |= {number: VersionState(number, "UNLOADING", "OK", "") for number in self._retiring}
        found |= {n: VersionState(n, "END", said.code, said.message) for n, said in self._refused.items()}
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
        self._read_rollout()
        found = await asyncio.to_thread(versions, self.model)
        self._forget(found)
        while True:
            wanted = plan([number for number in found if number not in self._refused], self._rollout)
            missing = [number for number in wanted.labels.values() if number not in self._loaded]
            if not missing:
                break
            await self._load(missing[0])
        if wanted.labels:  # with nothing to serve instead, those that are loaded go on
            self._swap(wanted)
        for number, version in self._loaded.items():
            self._metrics.restarts.labels(str(number)).set(version.restarts)

    async def close(self) -> None:
        """End every process."""
        self._plan = Plan({})
        self._retire_others()
        await asyncio.gather(*self._retiring.values())

    def _read_rollout(self) -> None:
        try:
            self._rollout = read_rollout(self.model)
        except RolloutError as error:  # what was decided before stands
            self._metrics.refused.labels("rollout").inc()
            _log.error("%s", error)

    async def _load(self, number: int) -> None:
        if number in self._retiring:  # it was wanted, then not, and now again
            await self._retiring[number]
        stamp, self._loading = _stamp(self.model / str(number)), number
        try:
            self._loaded[number] = await Version.load(self.model / str(number), self._settings.runtime)
            _log.info("version %d of %s is ready", number, self.name)
        except (UserError, RuntimeFailure, WorkerGone, OSError) as error:
            self._refuse(number, stamp, error)
        finally:
            self._loading = None

    def _refuse(self, number: int, stamp: tuple[int, int] | None, error: Exception) -> None:
        reason = "damaged" if isinstance(error, BundleError) else type(error).__name__
        lasting = isinstance(error, (UserError, RuntimeFailure))
        until = None if lasting else asyncio.get_running_loop().time() + _AGAIN
        code = error.code if isinstance(error, RuntimeFailure) else "DATA_LOSS" if lasting else "UNAVAILABLE"
        self._refused[number] = _Refusal(stamp, until, code, str(error))
        self._metrics.refused.labels(reason).inc()
        _log.error("version %d of %s is not served: %s", number, self.name, error)

    def _forget(self, found: list[int]) -> None:
        """Refusals of versions that are gone, that were changed since, or whose time is over."""
        now = asyncio.get_running_loop().time()
        for number, said in list(self._refused.items()):
            over = said.until is not None and now >= said.until
            if number not in found or over or _stamp(self.model / str(number)) != said.stamp:
                del self._refused[number]

    def _swap(self, wanted: Plan) -> None:
        if wanted.labels != self._plan.labels:
            self._metrics.swaps.inc()
            self._metrics.served.clear()
            for label, number in wanted.labels.items():
                self._metrics.served.labels(label).set(number)
            _log.info("%s: %s", self.name, ", ".join(f"{label} {n}" for label, n in wanted.labels.items()))
            self._on_swap(self._loaded[wanted.labels[STABLE]])
        self._plan = wanted
        self._retire_others()

    def _retire_others(self) -> None:
        for number in set(self._loaded) - self._plan.wanted:
            version = self._loaded.pop(number)
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


def _stamp(folder: Path) -> tuple[int, int] | None:
    """What changes when a version is replaced; None where it has no manifest.

    Not when its contents were changed, which a copy keeps; and a file that is gone may leave its number to another one.
    """
    try:
        said = (folder / MANIFEST).stat()
    except OSError:
        return None
    return said.st_ctime_ns, said.st_ino
