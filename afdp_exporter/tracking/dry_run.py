"""A sender's delivery tried out: what would be read from it, which rule names its service, what would be recorded."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from afdp_exporter.model import ApprovalRequest, CommitChange, Deployment, Event, Ignored
from afdp_exporter.tracking.mapping import Rule, facts_of, resolve_service
from afdp_exporter.tracking.merge import merge_announcements, rollouts
from afdp_exporter.webhooks import Parsed, Sender

_HEADER = re.compile(rb"([A-Za-z0-9-]+):[ \t]*([^\r\n]*)\r?\n")
_REQUEST = re.compile(rb"POST \S+(?: HTTP/[\d.]+)?\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """One part of a delivery: the facts that rules see, and the deployment or event that it reports, or why not."""

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
) -> list[DryRun]:
    """What a delivery would become; its signature is not asked for. Raises BadInput where it cannot be read."""
    known = tuple(rules)
    return [_one(part, known, now) for part in sender.webhook.parse(headers, body)]


def _aside(part: CommitChange | ApprovalRequest) -> str:
    """What is reported of a deployment without being one."""
    if isinstance(part, ApprovalRequest):
        return f"it asks the gate whether {part.version or 'a deployment'} may go on"
    traits = ", ".join(f"{name} {value}" for name, value in part.traits.items())
    return f"it adds to whatever deploys the commit {part.commit}: {traits}"


def _one(part: Parsed, rules: tuple[Rule, ...], now: datetime) -> DryRun:
    if isinstance(part, Ignored):
        return DryRun(facts={}, ignored=part.reason)
    if isinstance(part, Event):
        return DryRun(facts={}, event=part)
    if isinstance(part, CommitChange | ApprovalRequest):
        return DryRun(facts={}, ignored=_aside(part))
    facts = facts_of(part)
    placed = resolve_service(part, rules)
    if isinstance(placed, Ignored):
        return DryRun(facts=facts, ignored=placed.reason)
    life = merge_announcements([placed], received_at=now) if rollouts([placed]) else None
    if life is None:
        return DryRun(facts=facts, ignored="it adds to a deployment that another event has to report")
    return DryRun(facts=facts, deployment=life.deployment)
