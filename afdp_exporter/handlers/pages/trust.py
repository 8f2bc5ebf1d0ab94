"""`/trust`: how far to trust what is said here, how far automation goes by that, and whether the exporter is well."""

from dataclasses import dataclass

from aiohttp import web

from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.handlers.operations import page_operation
from afdp_exporter.handlers.pages.rendering import page
from afdp_exporter.planning.calibration import NOMINAL

_SHOWN = 20  # changes of levels


@dataclass(frozen=True, slots=True, kw_only=True)
class _Alarms:
    """How often innocent deployments were blamed on a metric; None where no placebo could be judged."""

    metric: str
    ratio: float | None
    placebos: int


@page_operation(
    "trustPage", "False alarms, the score of past predictions, how far automation goes, and the exporter's health"
)
async def trust(request: web.Request) -> web.Response:
    """False alarms, coverage, automation levels with their trail, what is pending, and the sources."""
    state = request.app[STATE]
    shown = state.instruments
    return page(
        request,
        "trust.html",
        alarms=_alarms(state),
        scores=state.planner.scores,
        standings=sorted(state.gatekeeper.levels.all().items()),
        trail=(await state.store.levels.trail())[: -_SHOWN - 1 : -1],
        intended=NOMINAL,
        backlog=await state.store.looks.backlog(state.clock()),
        sources=[(name, shown.queries.answering.get(name)) for name in state.rules.watched.sources],
        feeds=[(name, shown.annotations.fed_well.get(name)) for name in state.rules.feeds],
        failures=shown.queries.unanswered,
        size=await state.store.size_bytes(),
        healthy=state.store.healthy,
        reloaded=shown.process.reloaded_well,
        reloaded_at=shown.process.reloaded_at,
        looks=shown.looks.verdicts,
    )


def _alarms(state: AppContext) -> list[_Alarms]:
    known = state.gatekeeper.levels.false_alarms
    found = ((metric.name, *known.get(metric.name, (0, 0))) for metric in state.rules.watched.metrics)
    return [
        _Alarms(metric=name, ratio=blamed / placebos if placebos else None, placebos=placebos)
        for name, blamed, placebos in found
    ]
