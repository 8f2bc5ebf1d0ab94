"""The gate: may this deployment go on?"""

import json
import uuid
from dataclasses import replace
from datetime import timedelta
from time import monotonic
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from afdp_exporter.automation.answers import GateDecisionResponse, RolloutResponse, decision_of, gate_text, rollout_of
from afdp_exporter.automation.gatekeeper import GateQuestion
from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import Name
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.handlers.operations import JSON, TEXT, Answer, json_answer, json_body, operation
from afdp_exporter.handlers.reading import read_json, read_query, validated
from afdp_exporter.model import GateDecision, GateVerdict, Phase, Status
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
    wait: Annotated[
        float, Field(ge=0, le=20, description="Seconds to wait for a verdict that is neither hold nor unknown.")
    ] = 0.0
    format: Literal["json", "text"] = "json"
    codes: Literal["always200", "strict"] = "always200"


def _verdict(says: str) -> Answer:
    return Answer(says=says, content={JSON: GateDecisionResponse, TEXT: str})


_VERDICTS = {
    200: _verdict("The verdict with its evidence. With `codes=strict` only for allow and warn."),
    403: _verdict("The scope is missing; or, with `codes=strict`, hold or unknown."),
    409: _verdict("With `codes=strict`, rollback."),
}


@operation(
    "gate",
    "askGate",
    "Whether a deployment may go on",
    "Asks about a `deployment_id`, or about a `version` of a `service`; nothing is recorded as a deployment. Answered "
    "from memory: a source that is away gives the verdict `unknown`, never an error.",
    query=_Asked,
    answers=_VERDICTS,
    missing=True,
)
async def get(request: web.Request) -> web.Response:
    """The verdict on a version or a deployment; nothing is recorded as a deployment."""
    asked = read_query(_Asked, request)
    state = request.app[STATE]
    return _answered(asked, await verdict(state, await _question(state, asked), caller="api", wait=asked.wait))


@operation(
    "gate",
    "askGateAboutBody",
    "The same, for names in the body or for the whole body of a planned deployment",
    "Nothing is recorded as a deployment.",
    body=json_body(dict[str, Any]),
    answers=_VERDICTS,
    missing=True,
)
async def post(request: web.Request) -> web.Response:
    """The same for names in the body, which may be the whole body of a planned deployment."""
    state = request.app[STATE]
    body = await read_json(request)
    how = {name: body[name] for name in _Asked.model_fields if name in body}
    rest = {name: value for name, value in body.items() if name not in {"phase", "wait", "format", "codes"}}
    asked = validated(_Asked, how)
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


@operation(
    "gate",
    "getRollout",
    "A canary beside the stable version, and what it will be at full traffic",
    "As compared last; a running canary is compared each minute.",
    answers={
        200: json_answer(
            RolloutResponse, "The comparison; without any its metrics are empty and the sentence says why."
        )
    },
)
async def rollout(request: web.Request) -> web.Response:
    """A canary beside the stable version, and what it will be at full traffic, as compared last."""
    state = request.app[STATE]
    deployment = await state.store.deployments.find(request.match_info["id"])
    return answer(rollout_of(deployment, await state.store.rollouts.find(deployment.id)))


async def verdict(state: AppContext, question: GateQuestion, *, caller: str, wait: float = 0.0) -> GateDecision:
    """Ask for a verdict, keep it with its evidence, and count it. Who asks is `caller`."""
    started = monotonic()
    decision = await state.gatekeeper.ask(question, timedelta(seconds=wait))
    if not wait:
        state.instruments.gate.took(monotonic() - started)
    await state.gatekeeper.keep(decision, caller)
    state.instruments.gate.asked(caller, decision)
    return decision


async def _question(state: AppContext, asked: _Asked) -> GateQuestion:
    if asked.deployment_id is not None:
        known = await state.gatekeeper.of(asked.deployment_id)
        _same("service", asked.service, known.service)
        _same("environment", asked.environment, known.environment)
        _same("version", asked.version, known.version)
        return replace(known, phase=asked.phase, traffic_ratio=asked.traffic_ratio)
    if asked.service is None:
        raise BadInput(Fault("service", "is needed, or a deployment_id"))
    return GateQuestion(
        service=asked.service, environment=asked.environment or _ENVIRONMENT, version=asked.version,
        phase=asked.phase, traffic_ratio=asked.traffic_ratio,
    )  # fmt: skip


def _same(field: str, asked: str | None, known: str | None) -> None:
    if None not in {asked, known} and asked != known:
        raise BadInput(Fault(field, f"the deployment is of {known}"))


def _answered(asked: _Asked, decision: GateDecision) -> web.Response:
    status = _STRICT_STATUS.get(decision.enforced_verdict, 200) if asked.codes == "strict" else 200
    if asked.format == "text":
        return web.Response(text=gate_text(decision), status=status)
    return answer(decision_of(decision), status)
