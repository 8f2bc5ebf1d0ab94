"""The use case before a deployment: what will it do, and when is the best time for it?

Reads the store, has the work done in worker processes, and keeps what was learned until something new is measured.
"""

import asyncio
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ParamSpec, TypeVar

from cachetools import LRUCache

from afdp_exporter.model import (
    Deployment,
    MeasuredDeployment,
    Pattern,
    PoolingLevel,
    Prediction,
    Score,
    Windows,
)
from afdp_exporter.patterns import Model
from afdp_exporter.patterns.features.extraction import RECENT, STILL_UNDER_WAY
from afdp_exporter.patterns.models.training import GroupKey
from afdp_exporter.planning.cloud_cost import cloud_cost
from afdp_exporter.planning.forecast import MOST_NEARBY, predict_deployment, rank, usual_of
from afdp_exporter.planning.learning import Pool, learn_models, mine_patterns, score_services
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store import Store
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.wording.numbers import format_share

P = ParamSpec("P")
T = TypeVar("T")

SCORED = 15
"""From so many scored predictions on it is said that they are no better than the service's rate."""
_HELD = 96 * 2**20
"""The most bytes of models that are kept, of 0.3 to 1.5 MB each; the one not asked for longest goes first."""
_LONG = timedelta(days=3650)  # as far back as a service may have rested
_AT_ONCE = 8  # models that a worker learns from one reading of the store


def _size(model: Model) -> int:
    return len(pickle.dumps(model))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What makes the moment of a planned deployment: the newest of its service, and how many are under way of all."""

    own: Sequence[MeasuredDeployment]
    in_flight: int


async def surroundings(store: Store, planned: Deployment) -> Surroundings:
    """The deployments that make the moment of a planned one: the service's newest, and whatever is under way."""
    start, target = planned.started_at, (planned.service, planned.environment)
    own = await store.history.measured(before=start, service=planned.service, limit=4 * RECENT)
    last = await store.deployments.nearest(start - _LONG, start, at=start, limit=2, target=target)
    known = {planned.id, *(each.deployment.id for each in own)}
    newest = [MeasuredDeployment(deployment=each) for each in last if each.id not in known]
    under_way = await store.history.under_way(start, start - STILL_UNDER_WAY, limit=MOST_NEARBY)
    return Surroundings([*own, *newest], under_way)


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

    def __init__(self, reader: StoreReader) -> None:
        self._store = reader.store
        self._reader = reader
        self._models: LRUCache[Pool, Model] = LRUCache(_HELD, getsizeof=_size)
        self._patterns: tuple[Pattern, ...] | None = None
        self._news = set[str]()
        self._scores: dict[str, Score] = {}
        self._thinking = asyncio.Lock()
        self._learning = asyncio.Lock()  # one fit at a time: the other workers are for looks; what is known never waits

    @property
    def scores(self) -> list[Score]:
        """How well predictions came true, by service."""
        return [self._scores[service] for service in sorted(self._scores)]

    def measured(self, deployment_id: str) -> None:
        """There is something new to learn."""
        self._news.add(deployment_id)

    def forget(self) -> None:
        """Another configuration holds: what was learned by the earlier one is learned anew."""
        self._models.clear()
        self._patterns = None

    async def predict(self, planned: Deployment, plans: Plans, now: datetime) -> Prediction:
        """What a planned deployment is expected to do."""
        model = await self._model(planned.service, planned.team, plans, now)
        found = await self.patterns(plans, now)
        around = await surroundings(self._store, planned)
        known = plans.calendar(now)
        prediction = await self._think(
            predict_deployment, model, planned, around.own, known, found, in_flight=around.in_flight
        )
        bill = cloud_cost(planned.traits, plans.settings.cloud_rates, plans.billed_rates)
        return with_skill(replace(prediction, cloud_cost=bill), self._scores.get(planned.service))

    async def windows(self, service: str, hours: int, plans: Plans, now: datetime) -> Windows:
        """The coming hours for a service, ranked."""
        model = await self._model(service, None, plans, now)
        around = await surroundings(self._store, usual_of(service, (), now))
        known, delay = plans.calendar(now), plans.settings.delay_cost_per_hour
        return await self._think(
            rank, model, hours, known, now, around.own, delay_cost_per_hour=delay, in_flight=around.in_flight
        )

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
        pool: Pool = (service, team)
        if pool not in self._models and not await self._is_known(service):
            pool = (None, team)
        if pool not in self._models:
            async with self._learning:
                if pool not in self._models:
                    self._models.update(await self._learn([pool], plans, now))
        return replace(self._models[pool], home=GroupKey(service, team))

    async def _is_known(self, service: str) -> bool:
        return any(service == each for each, _ in await self._store.deployments.service_environments())

    async def renew(self, plans: Plans, now: datetime) -> None:
        """Learn anew what is in use; what rests on a service's own cases stays until that service was measured."""
        news = set(self._news)
        services = {(await self._store.deployments.find(each)).service for each in news}
        stale = [
            pool
            for pool, known in tuple(self._models.items())
            if pool[0] in services or known.basis is not PoolingLevel.SERVICE
        ]
        for first in range(0, len(stale), _AT_ONCE):
            self._models.update(await self._learn(stale[first : first + _AT_ONCE], plans, now))
        self._news -= news
        if self._patterns is not None:
            self._patterns = await self._mine(plans, now)

    async def score(self, services: Sequence[str]) -> list[Score]:
        """How well the predictions of these services came true; from now on that counts."""
        found = await self._reader.read(score_services, services)
        self._scores = {each.service: each for each in found}
        return found

    async def _learn(self, pools: Sequence[Pool], plans: Plans, now: datetime) -> dict[Pool, Model]:
        return await self._reader.read(learn_models, pools, plans.calendar(now), cases=plans.settings.cases, now=now)

    async def _mine(self, plans: Plans, now: datetime) -> tuple[Pattern, ...]:
        return await self._reader.read(mine_patterns, plans.calendar(now), cases=plans.settings.cases, now=now)

    async def _think(self, work: Callable[P, T], *args: P.args, **words: P.kwargs) -> T:
        """The result of some milliseconds of work, for which a model is not handed to a worker: one at a time, since
        threads that work at once only keep this process from answering."""
        async with self._thinking:
            return await asyncio.to_thread(work, *args, **words)
