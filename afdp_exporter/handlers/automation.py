"""How far automation goes, and what it does: levels, actions, and the switch that stops all of it."""

from typing import Annotated

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.automation.answers import ActionResponse, ActionsResponse, AutomationResponse, automation_of
from afdp_exporter.fields import Name
from afdp_exporter.gate.ladder import HIGHEST
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.handlers.operations import json_answer, json_body, operation
from afdp_exporter.handlers.reading import read_json, read_query, validated


class AllowedLevel(BaseModel):
    """How far automation may go at most."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: Name = "production"
    level: Annotated[int, Field(ge=0, le=HIGHEST)]
    by: Annotated[Name, Field(description="Who allows it.")]
    reason: Annotated[str, Field(max_length=1000)] = ""


class Person(BaseModel):
    """Who decides."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    by: Annotated[Name, Field(description="Who decides this.")]


class _Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    deployment_id: Name | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


@operation(
    "gate",
    "getAutomation",
    "How far automation goes for each service, and what is missing for the next level",
    answers={200: json_answer(AutomationResponse, "The levels with their trail.")},
)
async def automation(request: web.Request) -> web.Response:
    """The level of each service and environment, what is missing for the next one, and the trail."""
    return await _automation(request.app[STATE])


@operation(
    "gate",
    "allowLevel",
    "A named person allows a service at most a level, or confirms what another one allows",
    "Up to level 3, and where it lowers, the word of one person counts at once. Levels 4 and 5 act without asking, and "
    "are allowed once a second person has said the same.",
    body=json_body(AllowedLevel),
    answers={200: json_answer(AutomationResponse, "The levels with their trail.")},
)
async def allow(request: web.Request) -> web.Response:
    """A named person allows a service at most a level."""
    state = request.app[STATE]
    wanted = validated(AllowedLevel, await read_json(request))
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


@operation(
    "gate",
    "pauseAutomation",
    "Stop all executors at once",
    body=json_body(Person),
    answers={200: json_answer(AutomationResponse, "How it stands now.")},
)
async def pause(request: web.Request) -> web.Response:
    """Stop all executors at once."""
    return await _switch(request, paused=True)


@operation(
    "gate",
    "resumeAutomation",
    "Let executors go on",
    body=json_body(Person),
    answers={200: json_answer(AutomationResponse, "How it stands now.")},
)
async def resume(request: web.Request) -> web.Response:
    """Let executors go on."""
    return await _switch(request, paused=False)


@operation(
    "gate",
    "listActions",
    "What was or would be done about deployments, newest first",
    query=_Wanted,
    answers={200: json_answer(ActionsResponse, "The actions.")},
)
async def actions(request: web.Request) -> web.Response:
    """What was or would be done, newest first, with its trail."""
    wanted = read_query(_Wanted, request)
    found = await request.app[STATE].store.actions.search(deployment_id=wanted.deployment_id, limit=wanted.limit)
    return answer(ActionsResponse(actions=found))


@operation(
    "gate",
    "approveAction",
    "A named person wants an action done",
    body=json_body(Person),
    answers={200: json_answer(ActionResponse, "How it stands now.")},
    conflicts=True,
)
async def approve(request: web.Request) -> web.Response:
    """A named person wants it done."""
    state = request.app[STATE]
    person = validated(Person, await read_json(request))
    moved = await state.actions.approve(request.match_info["id"], by=person.by)
    return answer(ActionResponse.model_validate(moved))


@operation(
    "gate",
    "refuseAction",
    "A named person does not want an action done",
    body=json_body(Person),
    answers={200: json_answer(ActionResponse, "How it stands now.")},
    conflicts=True,
)
async def refuse(request: web.Request) -> web.Response:
    """A named person does not want it done."""
    person = validated(Person, await read_json(request))
    moved = await request.app[STATE].actions.refuse(request.match_info["id"], by=person.by)
    return answer(ActionResponse.model_validate(moved))


async def _switch(request: web.Request, *, paused: bool) -> web.Response:
    state = request.app[STATE]
    person = validated(Person, await read_json(request))
    await state.actions.pause(by=person.by, paused=paused)
    state.instruments.gate.show_paused(paused)
    return await _automation(state)


async def _automation(state: AppContext) -> web.Response:
    trail = await state.store.levels.trail()
    return answer(automation_of(state.gatekeeper.levels.all(), trail, await state.actions.paused()))
