"""The use case of an annotation: what it announces becomes a deployment, or tells more of the one it told of before."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from afdp_exporter.model import Annotation, Announcement, Deployment, Ignored, Status
from afdp_exporter.store import Amendment, Store
from afdp_exporter.tracking import reception
from afdp_exporter.tracking.annotations import SENDER, AnnotationSettings, announced
from afdp_exporter.tracking.mapping import Rule, place
from afdp_exporter.watching.watch import Schedule, plan_anew

_SOON = timedelta(minutes=10)  # between two sentences of a tool about one deployment without a version


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotating:
    """What it goes by."""

    settings: AnnotationSettings
    rules: tuple[Rule, ...]
    schedule: Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The deployment that an annotation tells of; or why it tells of none."""

    deployment: Deployment | None = None
    ignored: Ignored | None = None


async def take(
    annotation: Annotation, by: Annotating, *, store: Store, now: datetime, before: Annotation | None = None
) -> Taken:
    """Keep what an annotation says of a deployment; `before` is what it was until now.

    Raises BadInput for what cannot have happened yet.
    """
    told = announced(annotation, by.settings, uuid.uuid4().hex)
    if isinstance(told, Ignored):
        return Taken(ignored=told)
    if annotation.deployment_id is not None:
        begun = (before.at, annotation.at) if before is not None else None
        deployment = await _amend(annotation.deployment_id, told, begun, by.schedule, store=store, now=now)
        return Taken(deployment=deployment)
    continued = await _continued(told, by.rules, store)
    taken = await reception.receive(continued, rules=by.rules, schedule=by.schedule, store=store, now=now)
    return Taken(ignored=taken) if isinstance(taken, Ignored) else Taken(deployment=taken.deployment)


async def _amend(
    deployment_id: str,
    told: Announcement,
    moved: tuple[datetime, datetime] | None,
    schedule: Schedule,
    *,
    store: Store,
    now: datetime,
) -> Deployment:
    """A changed annotation tells its deployment anew: its times, and what words it has.

    Where the deployment began with the annotation, its start moves along.
    """
    reception.check_time(told, now)
    words = {
        name: getattr(told, name)
        for name in ("version", "commit", "actor", "team", "url", "description")
        if getattr(told, name) is not None
    }

    def change(deployment: Deployment) -> Amendment:
        began = moved[1] if moved is not None and deployment.started_at == moved[0] else deployment.started_at
        ended = told.finished_at or (deployment.finished_at and max(deployment.finished_at, began))
        times = {"started_at": told.started_at or began, "finished_at": ended}
        changed = replace(deployment, **(words | times), status=told.status or deployment.status)
        return Amendment(deployment=changed, looks=plan_anew(deployment, changed, schedule, now))

    return await store.amend(deployment_id, change)


async def _continued(told: Announcement, rules: Iterable[Rule], store: Store) -> Announcement:
    """Told as part of the newest deployment of its service, where both are about the same one."""
    placed = place(told, rules)
    if isinstance(placed, Ignored):
        return told
    page = await store.deployments(service=placed.origin.service, environment=placed.origin.environment, limit=1)
    newest = next(iter(page.deployments), None)
    if newest is None or newest.received_from != SENDER or not _same(newest, told):
        return told
    return replace(told, key=newest.id.removeprefix(f"{SENDER}:"))


def _same(newest: Deployment, told: Announcement) -> bool:
    """One version is one deployment, however often its tool tells of it; without versions, what is close in time."""
    if told.version is not None and newest.version is not None:
        return told.version == newest.version
    if newest.status is Status.STARTED and newest.finished_at is None:
        return True
    close = told.at is not None and abs(told.at - newest.ended_at) <= _SOON
    return close and told.version == newest.version and told.description != newest.description
