"""`/services` and `/services/{service}`: how each service is, and its newest deployments."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from aiohttp import web

from afdp_exporter.errors import NotFound
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.handlers.operations import page_operation
from afdp_exporter.handlers.pages import filters
from afdp_exporter.handlers.pages.rendering import page
from afdp_exporter.model import MeasuredDeployment, Stability
from afdp_exporter.watching.stability import stabilities

_LATELY = timedelta(days=30)  # the time that `stabilities` looks at
_NEWEST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Health:
    """A service in an environment: its newest deployments, and DORA's figures of the last 30 days."""

    service: str
    environment: str
    newest: Sequence[MeasuredDeployment]
    stability: Stability | None
    per_week: float

    @property
    def last(self) -> MeasuredDeployment | None:
        """The newest deployment that is no longer planned."""
        return next((each for each in self.newest if not each.deployment.planned), None)

    @property
    def active(self) -> bool:
        """Whether harm of a deployment goes on."""
        return any(each.impact and each.impact.harm and each.impact.harm.active for each in self.newest)


@page_operation("servicesPage", "Every service with its health and DORA's figures")
async def index(request: web.Request) -> web.Response:
    """Every service, those with harm that goes on first."""
    state = request.app[STATE]
    return page(request, "services.html", places=await _healths(state))


@page_operation("servicePage", "One service with its health, DORA's figures and newest deployments")
async def service(request: web.Request) -> web.Response:
    """One service in each of its environments. Raises NotFound for one of which no deployment is known."""
    state, name = request.app[STATE], request.match_info["service"]
    found = [each for each in await _healths(state) if each.service == name]
    if not found:
        raise NotFound(f"no deployment of a service {name[:128]} is known")
    newest = (await state.store.history.overview(service=name, limit=_NEWEST)).measured
    rows = [(each, filters.outcome_of(each), filters.headline(each, state.clock())) for each in newest]
    return page(request, "service.html", service=name, places=found, rows=rows)


async def _healths(state: AppContext) -> list[_Health]:
    now = state.clock()
    steady = await state.reader.read(stabilities, now)
    lately = Counter(
        (each.service, each.environment) for each in await state.store.deployments.overlapping(now - _LATELY, now)
    )
    newest: dict[tuple[str, str], list[MeasuredDeployment]] = defaultdict(list)
    for each in await state.store.history.recent(_NEWEST):
        newest[each.deployment.service, each.deployment.environment].append(each)
    found = [
        _Health(
            service=place[0],
            environment=place[1],
            newest=sorted(newest[place], key=lambda each: each.deployment.started_at, reverse=True),
            stability=steady.get(place),
            per_week=lately[place] * 7 / _LATELY.days,
        )
        for place in await state.store.deployments.service_environments()
    ]
    return sorted(found, key=lambda each: (not each.active, each.service, each.environment))
