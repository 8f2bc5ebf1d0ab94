"""`/webhooks/{kind}`: what tools tell in their own words."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog
from aiohttp import web

from afdp_exporter.errors import NotFound, Unauthorised
from afdp_exporter.external import External
from afdp_exporter.handlers.answers import answer
from afdp_exporter.handlers.deployments import links
from afdp_exporter.handlers.reading import read_body
from afdp_exporter.handlers.state import STATE, State
from afdp_exporter.model import Announcement, Change, Event, Ignored
from afdp_exporter.store import Announced
from afdp_exporter.tracking import reception
from afdp_exporter.watching.report import event_json
from afdp_exporter.webhooks import Headers, Sender, Told

log = structlog.get_logger(__name__)

LARGEST_EVENT = 2 * 1024 * 1024
"""Of a push with two thousand commits; deployments and statuses take some ten thousand bytes."""


async def receive(request: web.Request) -> web.Response:
    """Take in what a sender tells: 200 once it is on disk, with what became of each part, be it nothing."""
    state = request.app[STATE]
    kind = request.match_info["kind"]
    senders = [sender for sender in state.rules.senders if sender.kind == kind]
    if not senders:
        raise NotFound(f"no block under webhooks is of the kind {kind!a}")
    body = await read_body(request, LARGEST_EVENT)
    headers = _headers(request)
    parsed = await asyncio.to_thread(_parsed, senders, headers, body, state.clock())
    told = [taken for each in parsed for taken in await _take(state, each)]
    ignored = _ignored(kind, told)
    state.instruments.annotations.ignored(kind, len(ignored))
    events = [event_json(each) for each in told if isinstance(each, Event)]
    if events:
        await state.recall()
    return answer({"deployments": _recorded(told, state.external), "events": events, "ignored": ignored})


def sender_of(request: web.Request) -> str | None:
    """The kind whose delivery this is, where the configuration knows it; anybody may write any word into the path."""
    kind = request.match_info.get("kind")
    return kind if any(sender.kind == kind for sender in request.app[STATE].rules.senders) else None


def _headers(request: web.Request) -> Headers:
    names = {name.lower() for name in request.headers}
    return {name: ", ".join(request.headers.getall(name)) for name in names}


def _parsed(senders: Iterable[Sender], headers: Headers, body: bytes, now: datetime) -> Sequence[Told]:
    """What a delivery tells, once it has proven itself: secrets may be files, and a body two million bytes."""
    return list(_authenticated(senders, headers, body, now).webhook.parse(headers, body))


def _authenticated(senders: Iterable[Sender], headers: Headers, body: bytes, now: datetime) -> Sender:
    proven = [sender for sender in senders if sender.proves(headers, body, now)]
    if not proven:
        raise Unauthorised("the signature or token of this delivery matches no secret of its kind")
    return proven[0]


async def _take(state: State, told: Told) -> list[Announced | Event | Ignored]:
    match told:
        case Ignored():
            return [told]
        case Event():
            return [await _happened(state, told)]
        case Change():
            return await _described(state, told)
        case Announcement():
            return [await _announced(state, told)]


async def _described(state: State, told: Change) -> list[Announced | Event | Ignored]:
    """What a commit changed belongs to deployments that were told of, or will be."""
    described = await state.store.describe(told)
    for deployment in described:
        state.told(deployment)
    return [Announced(deployment=deployment) for deployment in described]


async def _announced(state: State, told: Announcement) -> Announced | Ignored:
    rules = state.rules
    taken = await reception.receive(
        told, rules=rules.mapping, schedule=rules.schedule, store=state.store, now=state.clock()
    )
    if isinstance(taken, Ignored):
        return taken
    if taken.changed:
        state.instruments.annotations.received(told.sender)
    if taken.changed and taken.deployment is not None:
        state.told(taken.deployment)
        log.info("deployment announced", id=taken.deployment.id, by=told.sender, status=taken.deployment.status)
    return taken


async def _happened(state: State, told: Event) -> Event:
    stored, created = await state.store.tell(replace(told, told_at=state.clock()))
    state.instruments.annotations.received(told.received_from)
    log.info("event recorded", id=stored.id, kind=stored.kind, new=created)
    return stored


def _recorded(told: Iterable[Announced | Event | Ignored], external: External) -> list[dict[str, Any]]:
    """Each deployment once, as it is after the whole delivery."""
    found: dict[str, dict[str, Any]] = {}
    for each in told:
        if isinstance(each, Announced) and each.deployment is not None:
            deployment = each.deployment
            known = found.get(deployment.id, {})
            found[deployment.id] = {
                "id": deployment.id,
                "service": deployment.service,
                "environment": deployment.environment,
                "version": deployment.version,
                "status": deployment.status,
                "created": each.created or known.get("created", False),
                "changed": each.changed or known.get("changed", False),
                "links": links(deployment, external),
            }
    return list(found.values())


def _ignored(kind: str, told: Iterable[Announced | Event | Ignored]) -> list[dict[str, str]]:
    reasons = [each.reason for each in told if isinstance(each, Ignored)]
    for reason in reasons:
        log.info("event ignored", kind=kind, reason=reason)
    return [{"reason": reason} for reason in reasons]
