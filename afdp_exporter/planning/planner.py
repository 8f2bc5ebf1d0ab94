"""The use case before a deployment: what will it do, and when is the best time for it?

Learning and predicting are pure; `Planner` reads the store, has the work done in worker processes, and keeps what was
learned until something new is measured.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo

import holidays
import structlog
from pydantic import AfterValidator, Field

from afdp_exporter.errors import AFDPError
from afdp_exporter.model import (
    Case,
    Context,
    Deployment,
    Impact,
    Measured,
    Occasion,
    Pattern,
    Prediction,
    Status,
    Windows,
)
from afdp_exporter.patterns import Model, fit, forecast, mine, moment, predict
from afdp_exporter.patterns.learning import Place, select
from afdp_exporter.patterns.moment import RECENT
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.store import Store
from afdp_exporter.workers import Workers

log = structlog.get_logger(__name__)

_NEARBY = timedelta(days=1)  # other deployments that may still be under way


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError):
        raise ValueError("a time zone such as Europe/Paris is expected") from None
    return name


def _country(name: str) -> str:
    if name not in holidays.list_supported_countries(include_aliases=False):
        raise ValueError("a country code such as DE is expected")
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanningSettings:
    """Whose clock and holidays count, and how much is learned from."""

    __pydantic_config__: ClassVar = STRICT

    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    holidays: Annotated[str, AfterValidator(_country)] | None = None
    cases: Annotated[int, Field(ge=10, le=100_000)] = 3000
    deadline: Duration = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """The clock of the people who deploy, and what is special about a time."""

    zone: ZoneInfo = ZoneInfo("UTC")
    occasions: tuple[Occasion, ...] = ()
    holidays: Mapping[date, str] = field(default_factory=dict)


def lessons(history: Sequence[Measured], known: Calendar, chosen: Set[str] | None = None) -> tuple[Case, ...]:
    """Each measured deployment with the state that it met, oldest first; only those `chosen` by id, where it is given.

    What was measured later enters no state.
    """
    ordered = sorted((each for each in history if each.impact), key=lambda each: each.deployment.started_at)
    impacts = {each.deployment.id: each.impact for each in ordered if each.impact}
    same: dict[tuple[str, str], deque[Deployment]] = defaultdict(lambda: deque(maxlen=4 * RECENT))
    nearby: deque[Deployment] = deque()
    found = []
    for each in ordered:
        deployment = each.deployment
        while nearby and deployment.started_at - nearby[0].started_at > _NEARBY:
            nearby.popleft()
        own = same[deployment.service, deployment.environment]
        if chosen is None or deployment.id in chosen:
            context = _context(deployment, {other.id: other for other in (*own, *nearby)}.values(), impacts, known)
            found.append(Case(deployment=deployment, context=context, impact=impacts[deployment.id]))
        own.append(deployment)
        nearby.append(deployment)
    return tuple(found)


def learn(history: Sequence[Measured], known: Calendar, service: str, team: str | None, now: datetime) -> Model:
    """What the history teaches about one service. Pure; run by a worker."""
    measured = [each for each in history if each.impact and each.impact.measured_at <= now]
    chosen = {each.deployment.id for each in select(measured, Place(service, team))}
    return fit(lessons(history, known, chosen), service=service, team=team, now=now)


def patterns_of(history: Sequence[Measured], known: Calendar) -> tuple[Pattern, ...]:
    """What the history teaches about all services, in sentences. Pure; run by a worker."""
    return mine(lessons(history, known))


def foresee(
    model: Model, planned: Deployment, around: Sequence[Measured], known: Calendar, patterns: Sequence[Pattern]
) -> Prediction:
    """What a planned deployment is expected to do; `around` are the newest deployments before it. Pure."""
    impacts = {each.deployment.id: each.impact for each in around if each.impact}
    context = _context(planned, [each.deployment for each in around], impacts, known)
    return predict(model, planned, context, patterns)


def in_hindsight(history: Sequence[Measured], deployment: Deployment, known: Calendar) -> Prediction:
    """What would have been told of a deployment just before it started, from what had been measured by then. Pure."""
    start = deployment.started_at
    past = [each for each in history if each.impact and each.impact.measured_at <= start]
    model = learn(past, known, deployment.service, deployment.team, start)
    return foresee(model, as_planned(deployment), past, known, patterns_of(past, known))


def as_planned(deployment: Deployment) -> Deployment:
    """A deployment as its sender would have planned it: nothing of its end."""
    return replace(deployment, status=Status.PLANNED, finished_at=None, labelled_outcome=None, note=None)


def rank(model: Model, hours: int, known: Calendar, now: datetime) -> Windows:
    """The coming hours for the service that a model knows. Pure."""
    occasions, found = known.occasions, known.holidays
    return forecast(model, now=now, zone=known.zone, hours=hours, calendar=occasions, holidays=found)


def _context(
    deployment: Deployment, earlier: Iterable[Deployment], impacts: Mapping[str, Impact], known: Calendar
) -> Context:
    return moment(
        deployment,
        earlier=list(earlier),
        impacts=impacts,
        zone=known.zone,
        calendar=known.occasions,
        holidays=known.holidays,
    )


async def surroundings(store: Store, planned: Deployment) -> list[Measured]:
    """The deployments that make the moment of a planned one: the service's newest, and whatever is under way."""
    start = planned.started_at
    own = await store.history(before=start, service=planned.service, limit=4 * RECENT)
    known = {planned.id, *(each.deployment.id for each in own)}
    nearby = await store.between(start - _NEARBY, start)
    return [*own, *(Measured(deployment=each) for each in nearby if each.id not in known)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What the configuration says about planning."""

    settings: PlanningSettings = PlanningSettings()
    occasions: tuple[Occasion, ...] = ()
    teams: Mapping[str, str] = field(default_factory=dict)

    def calendar(self, now: datetime) -> Calendar:
        """The clock and the special times from two years back to the coming one."""
        country, years = self.settings.holidays, range(now.year - 2, now.year + 2)
        found = holidays.country_holidays(country, years=years) if country else {}
        return Calendar(zone=ZoneInfo(self.settings.time_zone), occasions=self.occasions, holidays=dict(found))


class Planner:
    """Learns from the store and answers from what was learned.

    What was learned stays in use until it was learned anew; that happens in the background, after something new was
    measured.
    """

    def __init__(self, *, store: Store, workers: Workers) -> None:
        self._store = store
        self._workers = workers
        self._models: dict[tuple[str, str | None], Model] = {}
        self._patterns: tuple[Pattern, ...] | None = None
        self._measured = asyncio.Event()
        self._learning = asyncio.Lock()  # one fit at a time: the other workers are for looks

    def measured(self) -> None:
        """There is something new to learn."""
        self._measured.set()

    async def run(
        self,
        plans: Callable[[], Plans],
        clock: Callable[[], datetime],
        renewed: Callable[[], Awaitable[None]],
    ) -> None:
        """Learn anew, whenever something was measured, what is in use, and tell that; until cancelled."""
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
        model = await self._model(planned.service, planned.team or plans.teams.get(planned.service), plans, now)
        found = await self.patterns(plans, now)
        around = await surroundings(self._store, planned)
        return await asyncio.to_thread(foresee, model, planned, around, plans.calendar(now), found)

    async def windows(self, service: str, hours: int, plans: Plans, now: datetime) -> Windows:
        """The coming hours for a service, ranked."""
        model = await self._model(service, plans.teams.get(service), plans, now)
        return await asyncio.to_thread(rank, model, hours, plans.calendar(now), now)

    async def patterns(self, plans: Plans, now: datetime) -> tuple[Pattern, ...]:
        """What was learned about all services."""
        async with self._learning:
            if self._patterns is None:
                self._patterns = await self._mine(plans, now)
            return self._patterns

    async def _model(self, service: str, team: str | None, plans: Plans, now: datetime) -> Model:
        async with self._learning:
            if (service, team) not in self._models:
                self._models[service, team] = await self._fit(service, team, plans, now)
            return self._models[service, team]

    async def _renew(self, plans: Plans, now: datetime) -> None:
        for service, team in tuple(self._models):
            model = await self._fit(service, team, plans, now)
            self._models[service, team] = model
        if self._patterns is not None:
            self._patterns = await self._mine(plans, now)

    async def _fit(self, service: str, team: str | None, plans: Plans, now: datetime) -> Model:
        history = await self._store.history(before=now, limit=plans.settings.cases)
        arguments = (history, plans.calendar(now), service, team, now)
        return await self._workers.run(learn, *arguments, deadline=plans.settings.deadline)

    async def _mine(self, plans: Plans, now: datetime) -> tuple[Pattern, ...]:
        history = await self._store.history(before=now, limit=plans.settings.cases)
        deadline = plans.settings.deadline
        return await self._workers.run(patterns_of, history, plans.calendar(now), deadline=deadline)
