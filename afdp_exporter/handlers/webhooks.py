"""`/webhooks/{kind}`: what tools send in their own words."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, TypeAlias

import structlog
from aiohttp import web
from pydantic import Field
from pydantic.json_schema import SkipJsonSchema

from afdp_exporter.automation.answers import GateDecisionResponse, decision_of
from afdp_exporter.errors import NotFound, Unauthorised
from afdp_exporter.external import External
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.handlers.deployments import LinksResponse, links
from afdp_exporter.handlers.operations import FORM, JSON, Body, json_answer, operation
from afdp_exporter.handlers.reading import read_body
from afdp_exporter.model import Announcement, ApprovalRequest, CommitChange, Event, GateDecision, Ignored, Status
from afdp_exporter.responses import Response
from afdp_exporter.store import Announced
from afdp_exporter.tracking import ingestion
from afdp_exporter.watching.report import EventResponse
from afdp_exporter.webhooks import Headers, Parsed, Sender

log = structlog.get_logger(__name__)

Taken: TypeAlias = Announced | Event | GateDecision | Ignored
"""What became of one part of a delivery."""

LARGEST_EVENT = 2 * 1024 * 1024
"""Of a push with two thousand commits; deployments and statuses take some ten thousand bytes."""


class AnnouncedDeploymentResponse(Response):
    """A deployment that a delivery announced, as it is now."""

    id: str
    service: str
    environment: str
    version: str | None
    status: Status
    created: Annotated[bool, Field(description="Whether it was not known before.")]
    changed: Annotated[bool, Field(description="Whether the delivery said anything new of it.")]
    links: LinksResponse


class IgnoredResponse(Response):
    """What was left out, and why."""

    reason: str


class ReceivedResponse(Response):
    """What became of each part of a delivery."""

    deployments: tuple[AnnouncedDeploymentResponse, ...]
    events: Annotated[
        tuple[EventResponse, ...], Field(description="What it reported that is no deployment, such as incidents.")
    ]
    ignored: tuple[IgnoredResponse, ...]
    gate: Annotated[
        GateDecisionResponse | SkipJsonSchema[None],
        Field(description="The verdict, where the delivery asks whether a deployment may go on."),
    ] = None


@operation(
    "deployments",
    "receiveWebhook",
    "Take in what a tool sends in its own words",
    "The body is the tool's own, of at most 2 MiB, and proves itself with the secret of its block under `webhooks`. "
    "Answered once it is on disk. What reports no deployment is answered with 200, too, and with the reason, so that "
    "no sender gives up on the webhook. The senders and their settings are in `docs/webhooks.md`.",
    body=Body(content={JSON: dict[str, Any] | list[Any], FORM: dict[str, Any]}),
    answers={200: json_answer(ReceivedResponse, "What became of it.")},
)
async def receive(request: web.Request) -> web.Response:
    """Take in what a sender reports: 200 once it is on disk, with what became of each part, be it nothing."""
    state = request.app[STATE]
    kind = request.match_info["kind"]
    senders = [sender for sender in state.rules.senders if sender.kind == kind]
    if not senders:
        raise NotFound(f"no block under webhooks is of the kind {kind!a}")
    headers = _headers(request)
    with state.load.bodies.held() as unproven:
        body = await read_body(request, LARGEST_EVENT, unproven)
        parsed = await asyncio.to_thread(_parsed, senders, headers, body, state.clock())
    taken = [one for each in parsed for one in await _take(state, each)]
    ignored = _ignored(kind, taken)
    state.instruments.annotations.ignored(kind, len(ignored))
    events = [EventResponse.model_validate(each) for each in taken if isinstance(each, Event)]
    decisions = [{"gate": decision_of(each)} for each in taken if isinstance(each, GateDecision)]
    recorded = _recorded(taken, state.external)
    return answer(ReceivedResponse(deployments=recorded, events=events, ignored=ignored, **next(iter(decisions), {})))


def sender_of(request: web.Request) -> str | None:
    """The kind whose delivery this is, where the configuration knows it; anybody may write any word into the path."""
    kind = request.match_info.get("kind")
    return kind if any(sender.kind == kind for sender in request.app[STATE].rules.senders) else None


def _headers(request: web.Request) -> Headers:
    names = {name.lower() for name in request.headers}
    return {name: ", ".join(request.headers.getall(name)) for name in names}


def _parsed(senders: Iterable[Sender], headers: Headers, body: bytes, now: datetime) -> Sequence[Parsed]:
    """What a delivery says, once it has proven itself: secrets may be files, and a body two million bytes."""
    return list(_authenticated(senders, headers, body, now).webhook.parse(headers, body))


def _authenticated(senders: Iterable[Sender], headers: Headers, body: bytes, now: datetime) -> Sender:
    proven = [sender for sender in senders if sender.proves(headers, body, now)]
    if not proven:
        raise Unauthorised("the signature or token of this delivery matches no secret of its kind")
    return proven[0]


async def _take(state: AppContext, parsed: Parsed) -> list[Taken]:
    match parsed:
        case Ignored():
            return [parsed]
        case Event():
            return [await _happened(state, parsed)]
        case CommitChange():
            return await _described(state, parsed)
        case ApprovalRequest():
            return [await _asked(state, parsed)]
        case Announcement():
            return [await _announced(state, parsed)]


async def _described(state: AppContext, change: CommitChange) -> list[Taken]:
    """What a commit changed belongs to deployments that were announced, or will be."""
    described = await state.store.deployments.save_commit_change(change)
    return [Announced(deployment=deployment) for deployment in described]


async def _asked(state: AppContext, request: ApprovalRequest) -> GateDecision | Ignored:
    decision = await state.approvals.take(request)
    if isinstance(decision, GateDecision):
        state.instruments.gate.asked(request.sender, decision)
    return decision


async def _announced(state: AppContext, announcement: Announcement) -> Announced | Ignored:
    rules = state.rules
    taken = await ingestion.ingest(
        announcement, rules=rules.mapping, schedule=rules.schedule, store=state.store, now=state.clock()
    )
    if isinstance(taken, Ignored):
        return taken
    if taken.changed:
        state.instruments.annotations.received(announcement.sender)
    if taken.changed and taken.deployment is not None:
        log.info("deployment announced", id=taken.deployment.id, by=announcement.sender, status=taken.deployment.status)
    return taken


async def _happened(state: AppContext, event: Event) -> Event:
    stored, created = await state.store.events.save(replace(event, told_at=state.clock()))
    state.instruments.annotations.received(event.received_from)
    log.info("event recorded", id=stored.id, kind=stored.kind, new=created)
    return stored


def _recorded(taken: Iterable[Taken], external: External) -> list[AnnouncedDeploymentResponse]:
    """Each deployment once, as it is after the whole delivery."""
    found: dict[str, AnnouncedDeploymentResponse] = {}
    for each in taken:
        if isinstance(each, Announced) and each.deployment is not None:
            deployment = each.deployment
            known = found.get(deployment.id)
            found[deployment.id] = AnnouncedDeploymentResponse(
                id=deployment.id,
                service=deployment.service,
                environment=deployment.environment,
                version=deployment.version,
                status=deployment.status,
                created=each.created or (known is not None and known.created),
                changed=each.changed or (known is not None and known.changed),
                links=links(deployment, external),
            )
    return list(found.values())


def _ignored(kind: str, taken: Iterable[Taken]) -> list[IgnoredResponse]:
    reasons = [each.reason for each in taken if isinstance(each, Ignored)]
    for reason in reasons:
        log.info("event ignored", kind=kind, reason=reason)
    return [IgnoredResponse(reason=reason) for reason in reasons]
