"""Keeps what is expected in sight: of deployments that are reported, of the coming hours, of what was learned."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from afdp_exporter.model import Deployment, Pattern, Score, Windows
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store import Store

log = structlog.get_logger(__name__)

_FRESH = timedelta(hours=1)  # what is reported later than that is history: predicting it would be hindsight
_HOURS = 168  # of the coming week that are ranked
_PLACES = 500  # services whose hours are ranked: those that were deployed last


class PredictionListener(Protocol):
    """Who shows what is expected."""

    def ranked(self, environment: str, windows: Windows) -> None:
        """The coming hours of a service were ranked."""

    def learned(self, patterns: Iterable[Pattern]) -> None:
        """This is what was learned by now."""

    def scored(self, scores: Iterable[Score]) -> None:
        """So well did the predictions come true."""


@dataclass(slots=True, kw_only=True)
class PredictionRefresher:
    """Predicts what is reported, keeps that to be shown and for its later score, and ranks the coming hours."""

    planner: Planner
    store: Store
    audience: PredictionListener
    plans: Callable[[], Plans]
    clock: Callable[[], datetime]

    async def ahead(self) -> list[str]:
        """The newest deployments that are planned or running: after a start they are predicted anew."""
        recent = await self.store.history.recent(1)
        return [each.deployment.id for each in recent if is_ahead(each.deployment)]

    async def predict(self, deployment_id: str) -> None:
        """Predict what is planned or has begun lately, and keep that. May raise AFDPError."""
        deployment = await self.store.deployments.find(deployment_id)
        if not deployment.planned and self.clock() - deployment.started_at > _FRESH:
            return
        prediction = await self.planner.predict(deployment, self.plans(), self.clock())
        await self.store.results.save_prediction(prediction)

    async def refresh(self) -> None:
        """Rank the coming hours, and show what was learned and how well predictions came true. May raise AFDPError."""
        plans, now = self.plans(), self.clock()
        recent = await self.store.history.recent(1)
        newest = sorted((each.deployment for each in recent), key=lambda each: each.started_at)
        places = [(each.service, each.environment) for each in newest[-_PLACES:]]
        for service, environment in places:
            self.audience.ranked(environment, await self.planner.windows(service, _HOURS, plans, now))
        self.audience.learned(await self.planner.patterns(plans, now))
        services = sorted({service for service, _ in places})
        self.audience.scored(await self.planner.score(services))


def is_ahead(deployment: Deployment) -> bool:
    """Whether it is planned or running."""
    return deployment.planned or deployment.running
