"""The moment of a deployment -> its Context, from what was known then and nothing later."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import TypeAlias

from afdp_exporter.model import Context, Deployment, Occasion, Outcome, Outline

RECENT = 5
"""How many of the service's last outcomes a context holds."""

Known: TypeAlias = Mapping[str, Outline]
"""By deployment id, what became of it, and when it was measured."""


def moment(
    deployment: Deployment,
    *,
    earlier: Sequence[Deployment],
    impacts: Known,
    zone: tzinfo,
    calendar: Sequence[Occasion] = (),
    holidays: Mapping[date, str] | None = None,
    load_ratio: float | None = None,
    load_season_ratio: float | None = None,
    levels: Mapping[str, float] | None = None,
) -> Context:
    """The state that `deployment` meets. `impacts` are by deployment id; those measured after its start do not count.

    `earlier` may hold anything in any order: what starts later is left out. `holidays` is what the library
    `holidays` gives for a country, or any mapping from date to name.
    """
    start = deployment.started_at
    before = sorted((other for other in earlier if other.started_at < start), key=lambda other: other.started_at)
    same = [other for other in before if _same_place(other, deployment)]
    local = start.astimezone(zone)
    return Context(
        at=local,
        occasions=tuple(event for event in calendar if _is_on(event, deployment)),
        holiday=holidays.get(local.date()) if holidays else None,
        load_ratio=load_ratio,
        load_season_ratio=load_season_ratio,
        since_last=start - same[-1].started_at if same else None,
        in_flight=sum(_under_way(other, start) for other in before),
        recent=_recent(same, impacts, start),
        levels=dict(levels or {}),
    )


def _is_on(event: Occasion, deployment: Deployment) -> bool:
    return event.start <= deployment.started_at <= event.end and event.concerns(deployment.service)


def _same_place(one: Deployment, other: Deployment) -> bool:
    return one.service == other.service and one.environment == other.environment


def _under_way(deployment: Deployment, now: datetime) -> bool:
    if deployment.finished_at is None:
        return now - deployment.started_at < timedelta(minutes=15)
    return deployment.finished_at > now


def _recent(same: Sequence[Deployment], impacts: Known, now: datetime) -> tuple[Outcome, ...]:
    known = [impacts[other.id] for other in reversed(same) if other.id in impacts]
    return tuple(each.outcome for each in known if each.measured_at <= now)[:RECENT]
