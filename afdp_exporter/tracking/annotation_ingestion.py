"""The use case of an annotation: what it announces becomes a deployment, or adds to the one it reported before."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from afdp_exporter.model import Annotation, Announcement, Deployment, Ignored
from afdp_exporter.store import Amendment, Store
from afdp_exporter.tracking import ingestion
from afdp_exporter.tracking.annotations import SENDER, AnnotationSettings, parse_annotation
from afdp_exporter.tracking.mapping import Rule, resolve_service
from afdp_exporter.watching.watch import Schedule, reschedule_looks

_SOON = timedelta(minutes=10)  # between two sentences of a tool about one deployment without a version


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationIngest:
    """What it goes by."""

    settings: AnnotationSettings
    rules: tuple[Rule, ...]
    schedule: Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingested:
    """The deployment that an annotation reports; or why it reports none."""

    deployment: Deployment | None = None
    ignored: Ignored | None = None


async def ingest(
    annotation: Annotation, by: AnnotationIngest, *, store: Store, now: datetime, before: Annotation | None = None
) -> Ingested:
    """Keep what an annotation says of a deployment; `before` is what it was until now.

    Raises BadInput for what cannot have happened yet.
    """
    announced = parse_annotation(annotation, by.settings, uuid.uuid4().hex)
    if isinstance(announced, Ignored):
        return Ingested(ignored=announced)
    if annotation.deployment_id is not None:
        begun = (before.at, annotation.at) if before is not None else None
        deployment = await _amend(annotation.deployment_id, announced, begun, by.schedule, store=store, now=now)
        return Ingested(deployment=deployment)
    continued = await _continued(announced, by.rules, store)
    taken = await ingestion.ingest(continued, rules=by.rules, schedule=by.schedule, store=store, now=now)
    return Ingested(ignored=taken) if isinstance(taken, Ignored) else Ingested(deployment=taken.deployment)


async def _amend(
    deployment_id: str,
    announced: Announcement,
    moved: tuple[datetime, datetime] | None,
    schedule: Schedule,
    *,
    store: Store,
    now: datetime,
) -> Deployment:
    """A changed annotation reports its deployment anew: its times, and what words it has.

    Where the deployment began with the annotation, its start moves along.
    """
    ingestion.check_time(announced, now)
    words = {
        name: getattr(announced, name)
        for name in ("version", "commit", "actor", "team", "url", "description")
        if getattr(announced, name) is not None
    }

    def change(deployment: Deployment) -> Amendment:
        began = moved[1] if moved is not None and deployment.started_at == moved[0] else deployment.started_at
        ended = announced.finished_at or (deployment.finished_at and max(deployment.finished_at, began))
        times = {"started_at": announced.started_at or began, "finished_at": ended}
        changed = replace(deployment, **(words | times), status=announced.status or deployment.status)
        return Amendment(deployment=changed, looks=reschedule_looks(deployment, changed, schedule, now))

    return await store.deployments.amend(deployment_id, change)


async def _continued(announced: Announcement, rules: Iterable[Rule], store: Store) -> Announcement:
    """Reported as part of the newest deployment of its service, where both are about the same one."""
    placed = resolve_service(announced, rules)
    if isinstance(placed, Ignored):
        return announced
    page = await store.deployments.page(service=placed.origin.service, environment=placed.origin.environment, limit=1)
    newest = next(iter(page.deployments), None)
    if newest is None or newest.received_from != SENDER or not _same(newest, announced):
        return announced
    return replace(announced, key=newest.id.removeprefix(f"{SENDER}:"))


def _same(newest: Deployment, announced: Announcement) -> bool:
    """One version is one deployment, however often its tool reports it; without versions, what is close in time."""
    if announced.version is not None and newest.version is not None:
        return announced.version == newest.version
    if newest.running:
        return True
    close = announced.at is not None and abs(announced.at - newest.ended_at) <= _SOON
    return close and announced.version == newest.version and announced.description != newest.description
