"""The gate in the words of tools that ask for a verdict in their own way: Flagger, Datadog, Kayenta."""

import json
import uuid
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web
from cachetools import LRUCache
from pydantic import BaseModel, ConfigDict, ValidationError

from afdp_exporter.automation.gatekeeper import GateQuestion
from afdp_exporter.automation.kayenta import JudgeRequest, judged
from afdp_exporter.errors import BadInput, Fault, Malformed, NotFound
from afdp_exporter.fields import Name
from afdp_exporter.gate.settings import settings_of
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.gate import verdict
from afdp_exporter.handlers.reading import read_body, read_json
from afdp_exporter.handlers.state import STATE, State
from afdp_exporter.model import Announcement, GateDecision, GateVerdict, Ignored, Phase, Status
from afdp_exporter.settings import faults
from afdp_exporter.tracking.mapping import place
from afdp_exporter.webhooks.flagger import Flagger

LARGEST_JUDGEMENT = 8 * 1024 * 1024
"""Of hundreds of metrics with a value each minute of a day."""
_HOOKS = {
    "confirm-rollout": Phase.PLAN,
    "pre-rollout": Phase.CANARY,
    "rollout": Phase.CANARY,
    "confirm-traffic-increase": Phase.CANARY,
    "confirm-promotion": Phase.PROMOTE,
    "rollback": Phase.CANARY,
    "post-rollout": Phase.POST,
}
_EVALUATIONS: web.AppKey[LRUCache[str, tuple[GateQuestion, float]]] = web.AppKey("evaluations", LRUCache)
_NAMESPACE = uuid.UUID("5b0e9a2e-6a7c-5d50-9d5e-0f6f1b9f3c11")
_REMEMBERED = 10_000
_API = "application/vnd.api+json"


def prepare(app: web.Application) -> None:
    """What evaluations are under way is kept in memory: who asks for a forgotten one asks anew."""
    app[_EVALUATIONS] = LRUCache(_REMEMBERED)


async def flagger(request: web.Request) -> web.Response:
    """One of Flagger's hooks: 200 lets it go on, 403 holds it; `rollback` is answered by 200 for a rollback only."""
    state, hook = request.app[STATE], request.match_info["hook"]
    phase = _HOOKS.get(hook)
    if phase is None:
        raise NotFound(f"no hook is called {hook!a}; known: {', '.join(_HOOKS)}")
    told = Flagger().parse({}, await read_body(request))
    if not told or not isinstance(told[0], Announcement):
        raise BadInput(Fault("phase", "this canary rolls nothing out"))
    placed = place(told[0], state.rules.mapping)
    if isinstance(placed, Ignored):
        raise BadInput(Fault("name", placed.reason))
    question = await _newest(state, placed.origin.service or "", placed.origin.environment or "production", phase)
    decision = await verdict(state, question, caller="flagger")
    if hook == "post-rollout":
        return answer({"verdict": decision.enforced_verdict})
    wanted = {GateVerdict.ROLLBACK} if hook == "rollback" else {GateVerdict.ALLOW, GateVerdict.WARN}
    status = 200 if decision.enforced_verdict in wanted else 403
    reason = decision.reasons[0] if decision.reasons else ""
    return web.Response(text=f"{decision.enforced_verdict}: {reason}\n", status=status)


async def _newest(state: State, service: str, environment: str, phase: Phase) -> GateQuestion:
    """About the deployment of a service that runs; where none is known, about what is planned."""
    page = await state.store.deployments(service=service, environment=environment, limit=20)
    running = next((each for each in page.deployments if each.status is Status.STARTED), None)
    known = running or (page.deployments[0] if page.deployments and phase is Phase.POST else None)
    if known is None:
        return GateQuestion(service=service, environment=environment, phase=Phase.PLAN)
    return GateQuestion(
        service=service, environment=environment, version=known.version, deployment_id=known.id, phase=phase
    )


class _Attributes(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    service: Name
    env: Name
    version: Name | None = None
    identifier: str | None = None


class _Data(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    attributes: _Attributes


class _Evaluation(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    data: _Data


async def evaluate(request: web.Request) -> web.Response:
    """Datadog's gate: begin an evaluation; the same question has the same id."""
    state = request.app[STATE]
    try:
        asked = _Evaluation.model_validate(dict(await read_json(request))).data.attributes
    except ValidationError as error:
        raise BadInput(*faults(error)) from None
    question = await _about(state, asked)
    parts = (asked.service, asked.env, asked.version or "", asked.identifier or "", question.deployment_id or "")
    identity = str(uuid.uuid5(_NAMESPACE, "\n".join(parts)))
    evaluations = request.app[_EVALUATIONS]
    if identity not in evaluations:
        evaluations[identity] = (question, state.clock().timestamp())
    content = {
        "data": {
            "id": identity,
            "type": "deployment_gates_evaluation_response",
            "attributes": {"evaluation_id": identity},
        }
    }
    return _api(content, 202)


async def evaluation(request: web.Request) -> web.Response:
    """Where an evaluation stands; a hold is in progress until the service's `hold_at_most`, and then a failure."""
    state, identity = request.app[STATE], request.match_info["id"]
    known = request.app[_EVALUATIONS].get(identity)
    if known is None:
        raise NotFound("no evaluation has this id, or it was forgotten: begin it anew")
    question, since = known
    decision = await verdict(state, question, caller="datadog")
    most = settings_of(question.service, state.rules.gates).hold_at_most.total_seconds()
    late = state.clock().timestamp() - since >= most
    page = "/" if decision.deployment_id is None else f"/deployments/{decision.deployment_id}"
    attributes = {
        "dry_run": decision.mode == "shadow",
        "evaluation_id": identity,
        "evaluation_url": state.external.link(page),
        "gate_id": str(uuid.uuid5(_NAMESPACE, f"{question.service}\n{question.environment}")),
        "gate_status": _status(decision, late=late),
        "rules": [_rule(rule.name, rule.status, rule.reason) for rule in decision.rules],
    }
    kind = "deployment_gates_evaluation_result_response"
    return _api({"data": {"id": identity, "type": kind, "attributes": attributes}})


async def judge(request: web.Request) -> web.Response:
    """Kayenta's remote judge: each pair of a control and an experiment that it sends, compared by ours."""
    body = await read_body(request, LARGEST_JUDGEMENT)
    try:
        asked = JudgeRequest.model_validate(_lenient(body))
    except ValidationError as error:
        raise BadInput(*faults(error)) from None
    return answer(judged(asked))


async def _about(state: State, asked: _Attributes) -> GateQuestion:
    page = await state.store.deployments(service=asked.service, environment=asked.env, limit=20)
    of_version = [each for each in page.deployments if asked.version in {None, each.version}]
    known = next((each for each in of_version if asked.version is not None or each.status is Status.STARTED), None)
    if known is None:
        return GateQuestion(service=asked.service, environment=asked.env, version=asked.version)
    return GateQuestion(service=asked.service, environment=asked.env, version=known.version, deployment_id=known.id)


def _status(decision: GateDecision, *, late: bool) -> str:
    if decision.enforced_verdict.passes:
        return "pass"
    if decision.enforced_verdict is GateVerdict.ROLLBACK or late:
        return "fail"
    return "in_progress"


def _rule(name: str, status: str, reason: str) -> dict[str, Any]:
    """A warning is a rule that failed in dry run: it shows, and stops nothing."""
    known = {"pass": "pass", "warn": "fail", "fail": "fail", "unknown": "in_progress"}
    return {"name": name, "status": known[status], "reason": reason, "dry_run": status == "warn"}


def _api(content: Mapping[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type=_API)


def _lenient(body: bytes) -> Any:  # noqa: ANN401
    """JSON in which a number may be NaN, as Jackson writes it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed(Fault("body", "is not JSON")) from None
