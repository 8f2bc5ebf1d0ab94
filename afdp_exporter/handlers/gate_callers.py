"""The gate in the words of tools that ask for a verdict in their own way: Flagger, Datadog, Kayenta."""

import json
import uuid
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from afdp_exporter.automation.kayenta import JudgementResponse, JudgeRequest, judged
from afdp_exporter.errors import BadInput, Fault, Malformed, NotFound
from afdp_exporter.fields import Name
from afdp_exporter.gate.settings import settings_of
from afdp_exporter.handlers.answers import JSON_API, answer
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.handlers.gate import verdict
from afdp_exporter.handlers.operations import JSON, TEXT, Answer, json_answer, json_body, operation, text_answer
from afdp_exporter.handlers.reading import read_body, read_json, validated
from afdp_exporter.model import Announcement, GateDecision, GateEvaluation, GateVerdict, Ignored, Phase
from afdp_exporter.responses import Response
from afdp_exporter.tracking.mapping import resolve_service
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
_EVALUATED = {"faulty_deployment_detection"}  # of Datadog's types of rules: ours are in its place
_NAMESPACE = uuid.UUID("5b0e9a2e-6a7c-5d50-9d5e-0f6f1b9f3c11")


class HookVerdictResponse(Response):
    """The verdict for a hook that stops nothing."""

    verdict: GateVerdict


@operation(
    "gate",
    "askGateAsFlagger",
    "One of Flagger's hooks",
    "The token stands in the path. 200 lets the canary go on; for the hook `rollback` 200 takes it back.",
    body=json_body(dict[str, Any]),
    answers={
        200: Answer(says="It goes on, with the reason as text.", content={TEXT: str, JSON: HookVerdictResponse}),
        403: text_answer("The scope is missing; or the canary is to wait, with the reason as text."),
    },
)
async def flagger(request: web.Request) -> web.Response:
    """One of Flagger's hooks: 200 lets it go on, 403 holds it; `rollback` is answered by 200 for a rollback only."""
    state, hook = request.app[STATE], request.match_info["hook"]
    phase = _HOOKS.get(hook)
    if phase is None:
        raise NotFound(f"no hook is called {hook!a}; known: {', '.join(_HOOKS)}")
    asked = Flagger().parse({}, await read_body(request))
    if not asked or not isinstance(asked[0], Announcement):
        raise BadInput(Fault("phase", "this canary rolls nothing out"))
    placed = resolve_service(asked[0], state.rules.mapping)
    if isinstance(placed, Ignored):
        raise BadInput(Fault("name", placed.reason))
    service, environment = placed.origin.service or "", placed.origin.environment or "production"
    question = await state.gatekeeper.about(service, environment, phase=phase)
    decision = await verdict(state, question, caller="flagger")
    if hook == "post-rollout":
        return answer(HookVerdictResponse(verdict=decision.enforced_verdict))
    wanted = {GateVerdict.ROLLBACK} if hook == "rollback" else {GateVerdict.ALLOW, GateVerdict.WARN}
    status = 200 if decision.enforced_verdict in wanted else 403
    reason = decision.reasons[0] if decision.reasons else ""
    return web.Response(text=f"{decision.enforced_verdict}: {reason}\n", status=status)


class EvaluationRule(BaseModel):
    """A rule that Datadog's gate would evaluate."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: str
    name: str = ""


class EvaluationConfiguration(BaseModel):
    """How an evaluation is made."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    dry_run: bool = False
    rules: tuple[EvaluationRule, ...] = ()


class EvaluationTarget(BaseModel):
    """What Datadog's gate is asked about."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    service: Name
    env: Name
    version: Name | None = None
    identifier: str | None = None
    primary_tag: Annotated[str | None, Field(validation_alias=AliasChoices("primary_tag", "apm_primary_tag"))] = None
    configuration: EvaluationConfiguration = EvaluationConfiguration()


class EvaluationData(BaseModel):
    """The question of Datadog's gate."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    attributes: EvaluationTarget


class EvaluationRequest(BaseModel):
    """A question as Datadog's gate takes it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    data: EvaluationData


_Status = Literal["pass", "fail", "in_progress"]


class BegunAttributesResponse(Response):
    """The id of an evaluation."""

    evaluation_id: str


class BegunDataResponse(Response):
    """An evaluation that has begun."""

    id: str
    type: Literal["deployment_gates_evaluation_response"]
    attributes: BegunAttributesResponse


class BegunEvaluationResponse(Response):
    """An evaluation that has begun, as Datadog answers."""

    data: BegunDataResponse


class EvaluationRuleResponse(Response):
    """What one rule of a gate says."""

    name: str
    status: _Status
    reason: str
    dry_run: bool


class EvaluationAttributesResponse(Response):
    """Where an evaluation stands, with a rule for each reason."""

    dry_run: bool
    evaluation_id: str
    evaluation_url: str
    gate_id: str
    gate_status: _Status
    rules: tuple[EvaluationRuleResponse, ...]


class EvaluationDataResponse(Response):
    """An evaluation."""

    id: str
    type: Literal["deployment_gates_evaluation_result_response"]
    attributes: EvaluationAttributesResponse


class EvaluationResponse(Response):
    """An evaluation, as Datadog answers."""

    data: EvaluationDataResponse


@operation(
    "gate",
    "beginDatadogEvaluation",
    "Datadog's deployment gate, begun",
    "The token may come as `DD-APPLICATION-KEY`.",
    body=json_body(EvaluationRequest),
    answers={202: Answer(says="The id of the evaluation.", content={JSON_API: BegunEvaluationResponse})},
)
async def evaluate(request: web.Request) -> web.Response:
    """Datadog's gate: begin an evaluation; the same question has the same id, and once it has ended begins anew."""
    state, now = request.app[STATE], request.app[STATE].clock()
    asked = validated(EvaluationRequest, await read_json(request)).data.attributes
    about = await state.gatekeeper.about(asked.service, asked.env, version=asked.version)
    begun = GateEvaluation(
        id=_evaluation_id(asked, about.deployment_id), service=asked.service, environment=asked.env,
        version=asked.version, deployment_id=about.deployment_id, dry_run=asked.configuration.dry_run,
        ignored_rules=tuple(rule.name for rule in asked.configuration.rules if rule.type not in _EVALUATED),
        begun_at=now,
    )  # fmt: skip
    known = await state.store.approvals.evaluation(begun.id)
    if known is None or _late(known, state):
        await state.store.approvals.keep_evaluation(begun)
    attributes = BegunAttributesResponse(evaluation_id=begun.id)
    data = BegunDataResponse(id=begun.id, type="deployment_gates_evaluation_response", attributes=attributes)
    return answer(BegunEvaluationResponse(data=data), 202, content_type=JSON_API)


@operation(
    "gate",
    "getDatadogEvaluation",
    "Datadog's deployment gate, where it stands",
    "The token may come as `DD-APPLICATION-KEY`.",
    answers={
        200: Answer(
            says="in_progress, pass or fail, with a rule for each reason.", content={JSON_API: EvaluationResponse}
        )
    },
)
async def evaluation(request: web.Request) -> web.Response:
    """Where an evaluation stands; a hold is in progress until the service's `hold_at_most`, and then a failure."""
    state = request.app[STATE]
    begun = await state.store.approvals.evaluation(request.match_info["id"])
    if begun is None:
        raise NotFound("no evaluation has this id, or it was forgotten: begin it anew")
    if begun.deployment_id is None:  # by now the deployment may be known
        question = await state.gatekeeper.about(begun.service, begun.environment, version=begun.version)
    else:
        question = await state.gatekeeper.of(begun.deployment_id)
    decision = await verdict(state, question, caller="datadog")
    page = "/" if decision.deployment_id is None else f"/deployments/{decision.deployment_id}"
    attributes = EvaluationAttributesResponse(
        dry_run=begun.dry_run or decision.mode == "shadow",
        evaluation_id=begun.id,
        evaluation_url=state.external.link(page),
        gate_id=str(uuid.uuid5(_NAMESPACE, f"{begun.service}\n{begun.environment}")),
        gate_status="pass" if begun.dry_run else _status(decision, late=_late(begun, state)),
        rules=[
            *(_rule(rule.name, rule.status, rule.reason) for rule in decision.rules),
            *(_rule(name, "warn", "Rules of this type are not evaluated here.") for name in begun.ignored_rules),
        ],
    )
    data = EvaluationDataResponse(
        id=begun.id, type="deployment_gates_evaluation_result_response", attributes=attributes
    )
    return answer(EvaluationResponse(data=data), content_type=JSON_API)


@operation(
    "gate",
    "judgeForKayenta",
    "Kayenta's remote judge",
    body=json_body(JudgeRequest),
    answers={200: json_answer(JudgementResponse, "The judgement in Kayenta's form.")},
)
async def judge(request: web.Request) -> web.Response:
    """Kayenta's remote judge: each pair of a control and an experiment that it sends, compared by ours."""
    return answer(judged(validated(JudgeRequest, _lenient(await read_body(request, LARGEST_JUDGEMENT)))))


def _evaluation_id(asked: EvaluationTarget, deployment_id: str | None) -> str:
    """The same for the same question; Datadog's clients take UUIDs only."""
    settings = asked.configuration
    rules = (f"{rule.type}:{rule.name}" for rule in settings.rules)
    parts = (asked.service, asked.env, asked.version or "", asked.identifier or "", asked.primary_tag or "",
             deployment_id or "", str(settings.dry_run), *rules)  # fmt: skip
    return str(uuid.uuid5(_NAMESPACE, "\n".join(parts)))


def _late(begun: GateEvaluation, state: AppContext) -> bool:
    return state.clock() - begun.begun_at >= settings_of(begun.service, state.rules.gates).hold_at_most


def _status(decision: GateDecision, *, late: bool) -> _Status:
    if decision.enforced_verdict.passes:
        return "pass"
    if decision.enforced_verdict is GateVerdict.ROLLBACK or late:
        return "fail"
    return "in_progress"


def _rule(name: str, status: str, reason: str) -> EvaluationRuleResponse:
    """A warning is a rule that failed in dry run: it shows, and stops nothing."""
    known = {"pass": "pass", "warn": "fail", "fail": "fail", "unknown": "in_progress"}
    return EvaluationRuleResponse(name=name, status=known[status], reason=reason, dry_run=status == "warn")


def _lenient(body: bytes) -> Any:  # noqa: ANN401
    """JSON in which a number may be NaN, as Jackson writes it."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed(Fault("body", "is not JSON")) from None
