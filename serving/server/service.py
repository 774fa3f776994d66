"""What answers the friendly interface: versions, users' state, experiments and logs, put together."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.errors import UserError
from configs.experiments import Arm, Experiment
from configs.serving import Serving
from serving.assignment import assign_all
from serving.inputs import RequestError, utf8
from serving.logs import NOT_SERVED
from serving.popular import POPULAR
from serving.rollout import STABLE
from serving.server.api import (
    Catalogue,
    EventsAnswer,
    EventsRequest,
    Found,
    Item,
    Neighbour,
    RecommendAnswer,
    RecommendRequest,
    SimilarAnswer,
    SimilarRequest,
    Taken,
    User,
)
from serving.server.catalogue import catalogue
from serving.server.clock import Clock
from serving.server.explore import explored, extra
from serving.server.exposures import Exposures
from serving.server.intake import Intake
from serving.server.journal import Journal
from serving.server.metrics import Metrics
from serving.server.missing import missing
from serving.server.pruning import Pruning
from serving.server.recommend import POPULARITY, Answer, Asked, fallback, inputs_of, recommend
from serving.server.spare import Spare
from serving.server.users import Users
from serving.server.version import Version
from serving.server.versions import Versions
from serving.store import open_store
from serving.store.base import READ
from serving.tfserving.models import NotServed

_NOBODY = Arm(share=0)  # what is done for who is in no experiment
_POPULAR, _AXIS = "popular.json", "axis.json"


class Service:
    """One model's lists, neighbours and events."""

    def __init__(self, model: Path, settings: Serving, metrics: Metrics, users: Users) -> None:
        self.settings, self.metrics, self.users = settings, metrics, users
        self.versions = Versions(model, settings, metrics)
        self._spare = Spare(Path(settings.state) / _POPULAR)
        self._journal = Journal(settings.logs, metrics)
        self._clock = Clock(settings.clock, Path(settings.state) / _AXIS)
        self._exposures = Exposures(self._journal, metrics)
        self._intake = Intake(self._journal, users, self._clock, metrics)
        self._arms = {one.name: _answered(one) for one in settings.experiments}
        self._random = random.Random()
        self._pruning = Pruning(self.versions, users, settings)
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    async def start(cls, model: Path, settings: Serving, metrics: Metrics) -> Service:
        """Look for versions from now on; until the first is loaded, popularity answers if there ever was one.

        Raises: UserError where the state folder or the store cannot be used.
        """
        folder = Path(settings.state)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"state: {folder} cannot be made: {error.strerror}") from None
        read = min(READ, settings.limits.deadline / 2)  # a store that hangs leaves time for the model
        store = await open_store(settings.store or str(folder / "store.sqlite"), read=read, patient=True)
        service = cls(model, settings, metrics, Users(store, metrics))
        await service.users.reachable()  # what is wrong with it is told before anybody asks
        service.versions.on_swap(service._swapped)
        service._tasks |= {asyncio.ensure_future(work()) for work in (service.versions.watch, service._pruning.run)}
        return service

    async def close(self) -> None:
        """End every process, and write what waits."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.to_thread(self._journal.close)  # first: whoever waits for the end may not wait long
        await self.versions.close()
        await self.users.close()

    async def recommend(self, request: RecommendRequest) -> RecommendAnswer:
        """A list, whatever happens. Raises: RequestError for what was asked wrongly."""
        started = time.perf_counter()
        self._check_sizes(request)
        arms = assign_all(self.settings.experiments, request.user) if request.user is not None else {}
        arm = self._arm(arms)
        version = self._version(request.user, arm.label)
        unserved = self._not_served(arms) if version is not None and arm.policy != POPULARITY else None
        weighs = version is not None and version.bundle.inputs.takes("relevance")
        if arm.relevance is not None and request.relevance is None and weighs:
            request = request.model_copy(update={"relevance": arm.relevance})
        answer, asked = await self._answer(version, request, arm, started)
        seconds = time.perf_counter() - started
        found = RecommendAnswer.model_construct(
            items=answer.items,
            source=answer.source,
            reason=answer.reason or (NOT_SERVED if unserved else None),
            model=self.versions.name,
            version=version.number if version else 0,
            arms=arms,
            request=uuid.uuid4().hex,
            seconds=round(seconds, 6),
        )
        if unserved and found.reason == NOT_SERVED and request.shown:
            self.metrics.not_served.labels(unserved, arms[unserved]).inc()
        self._exposures.add(found, asked, answer.propensities, self.versions.shadow)
        return found

    async def status(self) -> dict[str, Any]:
        """Versions, their processes, the store and latencies."""
        versions = self.versions
        return {
            "model": versions.name,
            "folder": str(versions.model),
            "poll": self.settings.poll,
            "labels": dict(versions.labels),
            "canary_share": versions.share,
            "away": None if versions.stable else versions.away,
            "rollout_error": versions.rollout_error,
            "versions": [one._asdict() for one in versions.states()],
            "processes": [
                {"version": one.number, "ready": one.ready, "restarts": one.restarts, "pid": one.pid}
                for one in versions.loaded
            ],
            "store": await self.users.reachable(),
            "store_trouble": self.users.trouble,
            "milliseconds": self.metrics.quantiles(),
            "fallbacks": self.metrics.reasons(),
            "arms_not_served": self.metrics.arms_not_served(),
        }

    async def similar(self, request: SimilarRequest) -> SimilarAnswer:
        """An item's neighbours. Raises: RequestError; NotServed, and whatever `Version.run` raises."""
        started = time.perf_counter()
        self._check_sizes(request)
        version = self._served()
        builder = version.bundle.inputs
        if "similar_items" not in version.manifest["signatures"]:
            raise RequestError(f"item: a bundle of {version.manifest['policy']} knows no neighbours")
        inputs = builder.item(request.item) | builder.limits(request.k, request.exclude, request.filters)
        answer = await version.run("similar_items", inputs, self.settings.limits.deadline)
        items = [item.decode() for item in answer["items"][0][: int(answer["count"][0])]]
        titles = version.bundle.state.titles(items)
        return SimilarAnswer(
            items=[
                Neighbour(item=item, title=titles.get(item, item), score=float(score))
                for item, score in zip(items, answer["scores"][0], strict=False)
            ],
            model=self.versions.name,
            version=version.number,
            seconds=round(time.perf_counter() - started, 6),
        )

    async def add(self, request: EventsRequest) -> EventsAnswer:
        """Take events in, with or without a version. Raises: RequestError where one cannot be used, and then none is
        taken; NotServed as `Intake.add`."""
        return await self._intake.add(request, self.versions.stable)

    async def user(self, user: str) -> User:
        """What is known of a user. Raises: NotServed."""
        version = self._served()
        with version.in_use():
            state = await self.users.state(utf8("user", user), version)
            if state is None:
                return User(user=user, known=False, features={}, history=[])
            titles = version.bundle.state.titles(list(dict.fromkeys(state.history)))
        pairs = zip(reversed(state.history), reversed(state.history_time), strict=True)
        history = [Taken(item=item, title=titles.get(item, item), time=moment) for item, moment in pairs]
        return User(user=user, known=True, features=dict(state.features), history=history)

    async def set_features(self, user: str, features: Mapping[str, Any]) -> bool:
        """Set features of a user from now on; whether that was possible. Raises: RequestError, NotServed."""
        self._served().bundle.inputs.request(context={k: v for k, v in features.items() if v is not None})
        try:
            return await self.users.put(utf8("user", user), features)
        except ValueError as error:
            raise RequestError(str(error)) from None

    async def search_users(self, prefix: str, most: int) -> Found:
        """Ids of users that begin so. Raises: NotServed."""
        return Found(users=await self.users.search(utf8("prefix", prefix), most, self._served()))

    async def search_items(self, text: str, most: int) -> Found:
        """Items of that id, or with that text in their titles. Raises: NotServed."""
        version, wanted = self._served(), utf8("text", text)
        with version.in_use():
            found = await asyncio.to_thread(version.searched.items_like, wanted, most)
        return Found(items=[Item(item=item, title=title) for item, title in found])

    def catalogue(self) -> Catalogue:
        """What can be asked. Raises: NotServed."""
        return catalogue(self._served(), self.settings.limits)

    def _served(self) -> Version:
        """The stable version. Raises: NotServed, which says what is missing."""
        if (found := self.versions.stable) is not None:
            return found
        raise NotServed(missing(self.versions, self.settings.poll))

    def _version(self, user: str | None, label: str | None) -> Version | None:
        """Who answers: the arm's version, or the one that this user has; None where there is none."""
        try:
            return self.versions.find(label=label) if label else self.versions.pick(user)
        except NotServed:
            return self.versions.stable

    def _not_served(self, arms: Mapping[str, str]) -> str | None:
        """The experiment whose arm says which version answers, where that one is not served just now."""
        labels = {name: self._arms[name][arm].label for name, arm in arms.items()}
        first = next((name for name, label in labels.items() if label), None)  # as `_arm` takes it
        return None if first is None or labels[first] in self.versions.labels else first

    async def _answer(
        self, version: Version | None, request: RecommendRequest, arm: Arm, started: float
    ) -> tuple[Answer, Asked]:
        if version is None:
            state = await self.users.state(utf8("user", request.user), None) if request.user is not None else None
            asked = Asked(request, state, self._moment() if request.time is None else request.time)
            return fallback(self._spare.popular, asked, self.versions.away), asked
        with version.in_use():  # its state is read, too
            user = request.user
            state = await self.users.state(utf8("user", user), version) if user is not None else None
            asked = Asked(request, state, self._clock.now(version) if request.time is None else request.time)
            inputs = inputs_of(version, asked, extra(self.settings.explore))  # whoever answers, a wrong one is refused
            popular = version.popular or self._spare.popular  # bundles of older versions have none
            if arm.policy == POPULARITY and popular is not None:
                return replace(fallback(popular, asked, ""), source=POPULARITY, reason=None), asked
            left = self.settings.limits.deadline - (time.perf_counter() - started)
            answer = await recommend(version, asked, inputs, max(left, 0.0), popular)
            items, likely = explored(answer.items, request.k, self.settings.explore, self._random)
            return replace(answer, items=items, propensities=likely), asked

    def _moment(self) -> int:
        """When a list is asked for that no version answers, on the axis of the latest one's events if there was one."""
        try:
            return self._clock.now(None)
        except NotServed:
            return int(time.time())

    def _arm(self, arms: Mapping[str, str]) -> Arm:
        """What the experiments have done for a user: of each field, what the first says that sets it."""
        found = _NOBODY
        for name, arm in arms.items():
            said = self._arms[name][arm]
            found = Arm.model_construct(
                label=found.label or said.label,
                policy=found.policy if found.policy != "model" else said.policy,
                relevance=said.relevance if found.relevance is None else found.relevance,
            )
        return found

    def _check_sizes(self, request: RecommendRequest | SimilarRequest) -> None:
        limits = self.settings.limits
        if request.k > limits.k:
            raise RequestError(f"k: found {request.k}, expected at most {limits.k}")
        lists: dict[str, Sequence[Any]] = {"exclude": request.exclude, **request.filters}
        if isinstance(request, RecommendRequest):
            lists |= {"history": request.history or (), "likes": request.likes}
        for name, values in lists.items():
            if len(values) > limits.ids:
                raise RequestError(f"{name}: found {len(values)} values, expected at most {limits.ids}")

    def _swapped(self, version: Version) -> None:
        self._spare.keep(version.popular, version.bundle.folder / POPULAR)
        self._clock.keep(version)
        self._journal.serve(version.bundle.config)


def _answered(experiment: Experiment) -> dict[str, Arm]:
    """An experiment's arms. Where one is answered by a version of its own, those that name none have the stable one: a
    canary's share of them would be answered as the arm that it is compared with."""
    if all(arm.label is None for arm in experiment.arms.values()):
        return experiment.arms
    return {
        name: arm if arm.label or arm.policy == POPULARITY else arm.model_copy(update={"label": STABLE})
        for name, arm in experiment.arms.items()
    }
