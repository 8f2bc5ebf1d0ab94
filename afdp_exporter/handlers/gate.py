"""The gate: may this deployment go on?"""

import json
import uuid
from datetime import timedelta
from time import monotonic
from typing import Annotated, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from afdp_exporter.automation.answers import gate_json, gate_text, rollout_json
from afdp_exporter.automation.gatekeeper import GateQuestion
from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import Name
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.reading import read_json, read_query
from afdp_exporter.handlers.state import STATE, State
from afdp_exporter.model import GateDecision, GateVerdict, Phase, Status
from afdp_exporter.settings import faults
from afdp_exporter.tracking.intake import read_deployment

_STRICT_STATUS = {GateVerdict.HOLD: 403, GateVerdict.UNKNOWN: 403, GateVerdict.ROLLBACK: 409}
_ENVIRONMENT = "production"


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    service: Name | None = None
    environment: Name | None = None
    version: Name | None = None
    deployment_id: Name | None = None
    phase: Phase | None = None
    traffic_ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    wait: Annotated[float, Field(ge=0, le=20)] = 0.0
    format: Literal["json", "text"] = "json"
    codes: Literal["always200", "strict"] = "always200"


async def get(request: web.Request) -> web.Response:
    """The verdict on a version or a deployment; nothing is recorded as a deployment."""
    asked = read_query(_Asked, request)
    state = request.app[STATE]
    return _answered(asked, await verdict(state, await _question(state, asked), caller="api", wait=asked.wait))


async def post(request: web.Request) -> web.Response:
    """The same for names in the body, which may be the whole body of a planned deployment."""
    state = request.app[STATE]
    body = await read_json(request)
    how = {name: body[name] for name in _Asked.model_fields if name in body}
    rest = {name: value for name, value in body.items() if name not in {"phase", "wait", "format", "codes"}}
    try:
        asked = _Asked.model_validate(how)
    except ValidationError as error:
        raise BadInput(*faults(error)) from None
    question = await _question(state, asked)
    if rest.keys() - _Asked.model_fields.keys():
        planned = read_deployment(
            {"status": Status.PLANNED.value, **{key: value for key, value in rest.items() if key != "deployment_id"}},
            now=state.clock(), new_id=str(uuid.uuid4()),
        )  # fmt: skip
        question = GateQuestion(
            service=planned.service, environment=planned.environment, version=planned.version,
            phase=asked.phase, body=json.dumps(rest, sort_keys=True), planned=planned,
        )  # fmt: skip
    return _answered(asked, await verdict(state, question, caller="api", wait=asked.wait))


async def rollout(request: web.Request) -> web.Response:
    """A canary beside the stable version, and what it will be at full traffic, as compared last."""
    state = request.app[STATE]
    deployment = await state.store.deployment(request.match_info["id"])
    return answer(rollout_json(deployment, await state.store.automation.rollout(deployment.id)))


async def verdict(state: State, question: GateQuestion, *, caller: str, wait: float = 0.0) -> GateDecision:
    """Ask for a verdict, keep it with its evidence, and count it. Who asks is `caller`."""
    started = monotonic()
    decision = await state.gatekeeper.ask(question, timedelta(seconds=wait))
    if not wait:
        state.instruments.gate.took(monotonic() - started)
    await state.gatekeeper.keep(decision, caller)
    state.instruments.gate.asked(caller, decision)
    return decision


async def _question(state: State, asked: _Asked) -> GateQuestion:
    if asked.deployment_id is not None:
        known = await state.store.deployment(asked.deployment_id)
        _same("service", asked.service, known.service)
        _same("environment", asked.environment, known.environment)
        return GateQuestion(
            service=known.service, environment=known.environment, version=known.version,
            deployment_id=known.id, phase=asked.phase, traffic_ratio=asked.traffic_ratio,
        )  # fmt: skip
    if asked.service is None:
        raise BadInput(Fault("service", "is needed, or a deployment_id"))
    return GateQuestion(
        service=asked.service, environment=asked.environment or _ENVIRONMENT, version=asked.version,
        phase=asked.phase, traffic_ratio=asked.traffic_ratio,
    )  # fmt: skip


def _same(field: str, asked: str | None, known: str) -> None:
    if asked is not None and asked != known:
        raise BadInput(Fault(field, f"the deployment is of {known}"))


def _answered(asked: _Asked, decision: GateDecision) -> web.Response:
    status = _STRICT_STATUS.get(decision.enforced_verdict, 200) if asked.codes == "strict" else 200
    if asked.format == "text":
        return web.Response(text=gate_text(decision), status=status)
    return answer(gate_json(decision), status)
