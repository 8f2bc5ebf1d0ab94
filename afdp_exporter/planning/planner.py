"""The use case before a deployment: what will it do, and when is the best time for it?

Reads the store, has the work done in worker processes, and keeps what was learned until something new is measured.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias

import structlog
from cachetools import LRUCache

from afdp_exporter.errors import AFDPError
from afdp_exporter.model import Basis, Case, Deployment, Measured, Outline, Pattern, Prediction, Score, Windows
from afdp_exporter.patterns import Model, fit, mine
from afdp_exporter.patterns.learning import Place
from afdp_exporter.patterns.mining import newest
from afdp_exporter.patterns.moment import RECENT
from afdp_exporter.planning.forecast import NEARBY, cases_of, foresee, rank, taught, usual_of
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store import Store
from afdp_exporter.wording.numbers import format_share
from afdp_exporter.workers import Workers

log = structlog.get_logger(__name__)

Pool: TypeAlias = tuple[str | None, str | None]
"""Whose cases a model is learned from: a service, None for all of which nothing was recorded, and a team."""
SCORED = 15
"""From so many scored predictions on it is said that they are no better than the service's rate."""
_MODELS = 500
"""The most models that are kept; the one that was not asked for the longest goes first."""


async def surroundings(store: Store, planned: Deployment) -> list[Measured]:
    """The deployments that make the moment of a planned one: the service's newest, and whatever is under way."""
    start = planned.started_at
    own = await store.history(before=start, service=planned.service, limit=4 * RECENT)
    known = {planned.id, *(each.deployment.id for each in own)}
    nearby = await store.between(start - NEARBY, start)
    return [*own, *(Measured(deployment=each) for each in nearby if each.id not in known)]


def with_skill(prediction: Prediction, score: Score | None) -> Prediction:
    """The prediction, with the service's rate where predictions of it were no better than that so far."""
    if score is None or score.n < SCORED or score.better_than_the_rate:
        return prediction
    rate = f"{format_share(score.base)} of {score.n} deployments degraded or failed"
    warning = f"Predictions for this service were no better than the service's rate so far: {rate}"
    return replace(prediction, warnings=(warning, *prediction.warnings))


class Planner:
    """Learns from the store and answers from what was learned.

    What was learned stays in use until it was learned anew; that happens in the background, after something new was
    measured.
    """

    def __init__(self, *, store: Store, workers: Workers) -> None:
        self._store = store
        self._workers = workers
        self._models: LRUCache[Pool, Model] = LRUCache(maxsize=_MODELS)
        self._patterns: tuple[Pattern, ...] | None = None
        self._news = set[str]()
        self._scores: dict[str, Score] = {}
        self._measured = asyncio.Event()
        self._learning = asyncio.Lock()  # one fit at a time: the other workers are for looks; what is known never waits

    def scored(self, scores: Iterable[Score]) -> None:
        """So well did the predictions of these services come true."""
        self._scores = {score.service: score for score in scores}

    def measured(self, deployment_id: str) -> None:
        """There is something new to learn."""
        self._news.add(deployment_id)
        self._measured.set()

    def forget(self) -> None:
        """Another configuration holds: what was learned by the earlier one is learned anew."""
        self._models.clear()
        self._patterns = None
        self._measured.set()

    async def run(
        self,
        plans: Callable[[], Plans],
        clock: Callable[[], datetime],
        renewed: Callable[[], Awaitable[None]],
    ) -> None:
        """Learn anew, whenever something was measured, what of it is in use, and tell that; until cancelled."""
        while True:
            await self._measured.wait()
            self._measured.clear()
            try:
                await self._renew(plans(), clock())
            except AFDPError as error:
                log.error("learning failed; what was known before stays in use", error=str(error))
            else:
                await renewed()

    async def predict(self, planned: Deployment, plans: Plans, now: datetime) -> Prediction:
        """What a planned deployment is expected to do."""
        model = await self._model(planned.service, planned.team, plans, now)
        found = await self.patterns(plans, now)
        around = await surroundings(self._store, planned)
        prediction = await asyncio.to_thread(foresee, model, planned, around, plans.calendar(now), found)
        return with_skill(prediction, self._scores.get(planned.service))

    async def windows(self, service: str, hours: int, plans: Plans, now: datetime) -> Windows:
        """The coming hours for a service, ranked."""
        model = await self._model(service, None, plans, now)
        around = await surroundings(self._store, usual_of(service, (), now))
        delay = plans.settings.delay_cost_per_hour
        return await asyncio.to_thread(rank, model, hours, plans.calendar(now), now, around, delay_cost_per_hour=delay)

    async def patterns(self, plans: Plans, now: datetime) -> tuple[Pattern, ...]:
        """What was learned about all services."""
        if self._patterns is None:
            async with self._learning:
                if self._patterns is None:
                    self._patterns = await self._mine(plans, now)
        return self._patterns

    async def _model(self, service: str, team: str | None, plans: Plans, now: datetime) -> Model:
        """What was learned for a service; services of which nothing was ever recorded share what their pool taught."""
        team = team or plans.teams.get(service)
        known = any(service == each for each, _ in await self._store.places())
        pool = (service if known else None, team)
        if pool not in self._models:
            async with self._learning:
                if pool not in self._models:
                    self._models[pool] = await self._fit(pool, plans, now)
        return replace(self._models[pool], home=Place(service, team))

    async def _renew(self, plans: Plans, now: datetime) -> None:
        """What rests on a service's own cases stays in use until that service was measured."""
        news = set(self._news)
        services = {(await self._store.deployment(each)).service for each in news}
        for pool, known in tuple(self._models.items()):
            if pool[0] in services or known.basis is not Basis.SERVICE:
                self._models[pool] = await self._fit(pool, plans, now)
        self._news -= news
        if self._patterns is not None:
            self._patterns = await self._mine(plans, now)

    async def _fit(self, pool: Pool, plans: Plans, now: datetime) -> Model:
        service, team = pool[0] or "", pool[1]
        cases = await self._cases(lambda past: taught(past, service, team, now), plans, now)
        deadline = plans.settings.deadline
        return await self._workers.run(fit, cases, service=service, team=team, now=now, deadline=deadline)

    async def _mine(self, plans: Plans, now: datetime) -> tuple[Pattern, ...]:
        cases = await self._cases(lambda past: [each.deployment.id for each in newest(past)], plans, now)
        return await self._workers.run(mine, cases, deadline=plans.settings.deadline)

    async def _cases(
        self, choose: Callable[[Sequence[Outline]], Sequence[str]], plans: Plans, now: datetime
    ) -> tuple[Case, ...]:
        """The chosen ones, each with the state that it met.

        To read the whole history, and to hand it to a worker, costs more than to learn from it.
        """
        past = await self._store.outlines(before=now, limit=plans.settings.cases)
        impacts = await self._store.impacts(choose(past))
        return await asyncio.to_thread(cases_of, past, impacts, plans.calendar(now))
