"""Keeps what is expected in sight: of deployments that are told, of the coming hours, of what was learned."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from afdp_exporter.errors import AFDPError
from afdp_exporter.model import Deployment, Pattern, Prediction, Score, Status, Windows
from afdp_exporter.patterns import score
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store import Store

log = structlog.get_logger(__name__)

_FRESH = timedelta(hours=1)  # what is told later than that is history: predicting it would be hindsight
_FIRST_SECONDS = 1.0  # without anything told: after a start what was learned is shown soon
_REFRESH_SECONDS = 3600.0  # the risk of deploying now changes with the hour
_HOURS = 168


class Audience(Protocol):
    """Who shows what is expected."""

    def predicted(self, deployment: Deployment, prediction: Prediction) -> None:
        """A planned or running deployment is expected to do this."""

    def over(self, deployment_id: str) -> None:
        """A deployment is neither planned nor running any more."""

    def ranked(self, environment: str, windows: Windows) -> None:
        """The coming hours of a service were ranked."""

    def learned(self, patterns: Iterable[Pattern]) -> None:
        """This is what was learned by now."""

    def scored(self, scores: Iterable[Score]) -> None:
        """So well did the predictions come true."""


@dataclass(slots=True, kw_only=True)
class Foresight:
    """Predicts in the background what is told, keeps the prediction for its later score, and ranks the coming hours."""

    planner: Planner
    store: Store
    audience: Audience
    plans: Callable[[], Plans]
    clock: Callable[[], datetime]
    _waiting: dict[str, None] = field(default_factory=dict)  # ids in the order in which they came, each once
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def told(self, deployment: Deployment) -> None:
        """A deployment was recorded or changed."""
        if not _is_ahead(deployment):
            self.audience.over(deployment.id)
        if deployment.planned or self.clock() - deployment.started_at <= _FRESH:
            self._waiting[deployment.id] = None
            self._changed.set()

    async def run(self) -> None:
        """Work until cancelled."""
        recent = await self.store.recent(1)
        for each in recent:
            if _is_ahead(each.deployment):
                self.told(each.deployment)
        patience = _FIRST_SECONDS
        while True:
            try:
                async with asyncio.timeout(patience):
                    deployment_id = await self._next()
            except TimeoutError:
                await self.refresh()
                patience = _REFRESH_SECONDS
            else:
                await _quietly(self._foretell(deployment_id))

    async def _next(self) -> str:
        """The deployment that waits for the longest; told again meanwhile, it is predicted once."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        deployment_id = next(iter(self._waiting))
        del self._waiting[deployment_id]
        return deployment_id

    async def refresh(self) -> None:
        """Rank the coming hours of each service, and tell what was learned and how well predictions came true."""
        await _quietly(self._refresh())

    async def _foretell(self, deployment_id: str) -> None:
        deployment = await self.store.deployment(deployment_id)
        prediction = await self.planner.predict(deployment, self.plans(), self.clock())
        await self.store.foretell(prediction)
        if _is_ahead(deployment):
            self.audience.predicted(deployment, prediction)

    async def _refresh(self) -> None:
        plans, now = self.plans(), self.clock()
        places = sorted({(each.deployment.service, each.deployment.environment) for each in await self.store.recent(1)})
        for service, environment in places:
            self.audience.ranked(environment, await self.planner.windows(service, _HOURS, plans, now))
        self.audience.learned(await self.planner.patterns(plans, now))
        services = sorted({service for service, _ in places})
        scores = [score(service, await self.store.came_true(service)) for service in services]
        known = [found for found in scores if found is not None]
        self.planner.scored(known)
        self.audience.scored(known)


def _is_ahead(deployment: Deployment) -> bool:
    running = deployment.status is Status.STARTED and deployment.finished_at is None
    return deployment.planned or running


async def _quietly(work: Coroutine[object, object, None]) -> None:
    try:
        await work
    except AFDPError as error:
        log.error("nothing foreseen", error=str(error))
