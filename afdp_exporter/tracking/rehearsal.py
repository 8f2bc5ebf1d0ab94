"""A sender's delivery tried out: what would be read from it, which rule names its service, what would be recorded."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from afdp_exporter.model import Change, Deployment, Event, Ignored
from afdp_exporter.tracking.life import assemble, rollouts
from afdp_exporter.tracking.mapping import Rule, facts_of, place
from afdp_exporter.webhooks import Sender, Told

_HEADER = re.compile(rb"([A-Za-z0-9-]+):[ \t]*([^\r\n]*)\r?\n")
_REQUEST = re.compile(rb"POST \S+(?: HTTP/[\d.]+)?\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """One part of a delivery: the facts that rules see, and the deployment or event that it tells of, or why not."""

    facts: Mapping[str, str]
    deployment: Deployment | None = None
    event: Event | None = None
    ignored: str | None = None


def read_delivery(content: bytes) -> tuple[dict[str, str], bytes]:
    """Headers by their lower-case names, and body: of a request as it was sent, of headers and body, of a body alone.

    Between headers and body there is an empty line.
    """
    rest = content[match.end() :] if (match := _REQUEST.match(content)) else content
    headers: dict[str, str] = {}
    while found := _HEADER.match(rest):
        headers[found[1].decode().lower()] = found[2].decode("utf-8", "replace").strip()
        rest = rest[found.end() :]
    if not headers:
        return {}, content
    return headers, re.sub(rb"^\r?\n", b"", rest)


def rehearse(
    sender: Sender, rules: Iterable[Rule], headers: Mapping[str, str], body: bytes, *, now: datetime
) -> list[Rehearsed]:
    """What a delivery would become; its signature is not asked for. Raises BadInput where it cannot be read."""
    known = tuple(rules)
    return [_one(told, known, now) for told in sender.webhook.parse(headers, body)]


def _one(told: Told, rules: tuple[Rule, ...], now: datetime) -> Rehearsed:
    if isinstance(told, Ignored):
        return Rehearsed(facts={}, ignored=told.reason)
    if isinstance(told, Event):
        return Rehearsed(facts={}, event=told)
    if isinstance(told, Change):
        traits = ", ".join(f"{name} {value}" for name, value in told.traits.items())
        return Rehearsed(facts={}, ignored=f"it adds to whatever deploys the commit {told.commit}: {traits}")
    facts = facts_of(told)
    placed = place(told, rules)
    if isinstance(placed, Ignored):
        return Rehearsed(facts=facts, ignored=placed.reason)
    life = assemble([placed], received_at=now) if rollouts([placed]) else None
    if life is None:
        return Rehearsed(facts=facts, ignored="it adds to a deployment that another event has to tell of")
    return Rehearsed(facts=facts, deployment=life.deployment)
