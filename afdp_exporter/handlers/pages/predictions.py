"""`/predictions`, `/windows` and `/patterns`: what the next deployment will do, when to deploy, what was learned."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, BeforeValidator, ConfigDict

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import Name
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.operations import page_answer, page_operation
from afdp_exporter.handlers.pages.rendering import page
from afdp_exporter.handlers.reading import read_query
from afdp_exporter.model import ChangeType, Deployment, Estimate, Outcome, Prediction, Status, Strategy
from afdp_exporter.plots.small_charts import SHADES, interval_bars, week_heatmap
from afdp_exporter.tracking.intake import read_deployment
from afdp_exporter.wording.metrics import format_change
from afdp_exporter.wording.numbers import format_forecast

_HOURS = 168
_WORDS = (
    *("service", "environment", "version", "previous_version", "team", "actor", "strategy", "traffic_ratio"),
    "started_at",
)
_FIELDS = {*_WORDS, "change_types", "traits"}


class _Place(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Annotated[Name | None, BeforeValidator(lambda text: text or None)] = None


@page_operation(
    "predictionsPage",
    "A form for a planned deployment, and what it is expected to do",
    "The fields are those of a deployment; `traits` has lines of `name = value`. Nothing is recorded.",
    query=_Place,
    more={422: page_answer("The page, with what is wrong in the form.")},
)
async def predictions(request: web.Request) -> web.Response:
    """A form for a planned deployment, and what it is expected to do."""
    state = request.app[STATE]
    given = {name: request.query.get(name, "") for name in (*_WORDS, "traits")}
    prediction, planned = None, None
    faults: Sequence[Fault] = ()
    if request.query:
        try:
            planned = _planned(request, given, state.clock())
            prediction = await state.planner.predict(planned, state.rules.plans, state.clock())
        except BadInput as error:
            faults = error.faults
    places = await state.store.deployments.service_environments()
    return page(
        request,
        "predictions.html",
        status=422 if faults else 200,
        given=given,
        chosen=request.query.getall("change_types", []),
        faults=faults,
        services=sorted({service for service, _ in places}),
        environments=sorted({environment for _, environment in places}),
        change_types=list(ChangeType),
        strategies=list(Strategy),
        planned=planned,
        prediction=prediction,
        risk=interval_bars([prediction.risk], low=0.0, high=1.0)[0] if prediction else None,
        rows=_rows(prediction) if prediction else [],
    )


def _planned(request: web.Request, given: Mapping[str, str], now: datetime) -> Deployment:
    """The deployment that the form describes. Raises BadInput."""
    unknown = sorted(set(request.query) - _FIELDS)
    if unknown:
        raise BadInput(*(Fault(name[:100], "unknown field") for name in unknown))
    body: dict[str, object] = {name: given[name].strip() for name in _WORDS if given[name].strip()}
    if "started_at" in body:
        body["started_at"] = _in_utc(str(body["started_at"]))
    if "traffic_ratio" in body:
        body["traffic_ratio"] = _number(str(body["traffic_ratio"]))
    if chosen := request.query.getall("change_types", []):
        body["change_types"] = chosen
    if traits := _traits(given["traits"]):
        body["traits"] = traits
    return read_deployment({"status": Status.PLANNED.value, **body}, now=now, new_id=str(uuid.uuid4()))


def _in_utc(text: str) -> str:
    """A browser's field for a time knows no zone: the page says that it is in UTC."""
    minutes_only = len("2026-03-01T14:00")
    if len(text) == minutes_only:
        text += ":00"
    return text if text.endswith("Z") or "+" in text else f"{text}Z"


def _traits(text: str) -> dict[str, object]:
    """Lines of `name = value`; numbers and yes or no are read as such. Raises BadInput."""
    found: dict[str, object] = {}
    for number, line in enumerate(filter(None, map(str.strip, text.splitlines())), start=1):
        name, sign, value = (part.strip() for part in line.partition("="))
        if not (name and sign and value):
            raise BadInput(Fault("traits", f"line {number}: name = value is expected"))
        found[name] = {"yes": True, "no": False}.get(value, _number(value))
    return found


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _rows(prediction: Prediction) -> list[dict[str, object]]:
    """A row for each metric that is expected to change, with its range as a bar of its own scale."""
    return [
        {
            "metric": name,
            "text": format_forecast(estimate, partial(format_change, name, signed=True)),
            "bar": interval_bars([estimate])[0],
            "clear": _is_clear(estimate),
        }
        for name, estimate in sorted(prediction.metrics.items(), key=lambda item: not _is_clear(item[1]))
    ]


def _is_clear(estimate: Estimate) -> bool:
    return estimate.low > 0 or estimate.high < 0


@page_operation("windowsPage", "The coming week of a service as a heat map", query=_Place)
async def windows(request: web.Request) -> web.Response:
    """The coming week of one service as a heat map."""
    state, wanted = request.app[STATE], read_query(_Place, request)
    services = sorted({service for service, _ in await state.store.deployments.service_environments()})
    service = wanted.service or next(iter(services), None)
    ranked = await state.planner.windows(service, _HOURS, state.rules.plans, state.clock()) if service else None
    zone = state.rules.plans.settings.zone
    return page(
        request,
        "windows.html",
        service=service,
        services=services,
        ranked=ranked,
        measured=any(each.decision.outcome is not Outcome.UNKNOWN for each in await state.store.history.recent(1)),
        zone=zone,
        week=week_heatmap(ranked, zone) if ranked else None,
        shades=SHADES,
    )


@page_operation("patternsPage", "What was learned")
async def patterns(request: web.Request) -> web.Response:
    """What was learned, in sentences."""
    state = request.app[STATE]
    found = await state.planner.patterns(state.rules.plans, state.clock())
    return page(request, "patterns.html", patterns=found)
