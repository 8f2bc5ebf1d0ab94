"""How far automation goes, and what it does: levels, actions, and the switch that stops all of it."""

from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from afdp_exporter.automation.answers import action_json, automation_json
from afdp_exporter.errors import BadInput
from afdp_exporter.fields import Name
from afdp_exporter.gate.ladder import HIGHEST
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.reading import read_json, read_query
from afdp_exporter.handlers.state import STATE, State
from afdp_exporter.settings import faults

_Model = TypeVar("_Model", bound=BaseModel)


class _Allowed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: Name = "production"
    level: Annotated[int, Field(ge=0, le=HIGHEST)]
    by: Name
    reason: Annotated[str, Field(max_length=1000)] = ""


class _Person(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Name


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    deployment_id: Name | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


async def automation(request: web.Request) -> web.Response:
    """The level of each service and environment, what is missing for the next one, and the trail."""
    return await _automation(request.app[STATE])


async def allow(request: web.Request) -> web.Response:
    """A named person allows a service at most a level."""
    state = request.app[STATE]
    wanted = await _read(_Allowed, request)
    await state.gatekeeper.levels.allow(
        request.match_info["service"],
        wanted.environment,
        wanted.level,
        by=wanted.by,
        reason=wanted.reason,
        now=state.clock(),
    )
    state.gatekeeper.changed(request.match_info["service"])
    state.instruments.gate.show_levels(state.gatekeeper.levels.in_force())
    return await _automation(state)


async def pause(request: web.Request) -> web.Response:
    """Stop all executors at once."""
    return await _switch(request, paused=True)


async def resume(request: web.Request) -> web.Response:
    """Let executors go on."""
    return await _switch(request, paused=False)


async def actions(request: web.Request) -> web.Response:
    """What was or would be done, newest first, with its trail."""
    wanted = read_query(_Wanted, request)
    found = await request.app[STATE].store.automation.actions(deployment_id=wanted.deployment_id, limit=wanted.limit)
    return answer({"actions": [action_json(each) for each in found]})


async def approve(request: web.Request) -> web.Response:
    """A named person wants it done."""
    state = request.app[STATE]
    person = await _read(_Person, request)
    moved = await state.actions.approve(request.match_info["id"], by=person.by)
    state.due()
    return answer(action_json(moved))


async def refuse(request: web.Request) -> web.Response:
    """A named person does not want it done."""
    person = await _read(_Person, request)
    return answer(action_json(await request.app[STATE].actions.refuse(request.match_info["id"], by=person.by)))


async def _switch(request: web.Request, *, paused: bool) -> web.Response:
    state = request.app[STATE]
    person = await _read(_Person, request)
    await state.actions.pause(by=person.by, paused=paused)
    return await _automation(state)


async def _automation(state: State) -> web.Response:
    trail = await state.store.automation.level_changes()
    return answer(automation_json(state.gatekeeper.levels.all(), trail, await state.actions.paused()))


async def _read(kind: type[_Model], request: web.Request) -> _Model:
    try:
        return kind.model_validate(dict(await read_json(request)))
    except ValidationError as error:
        raise BadInput(*faults(error)) from None
