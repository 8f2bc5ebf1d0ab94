"""The use case of reception: an announcement -> its service and environment -> the stored lives of its thread.

An announcement without a time is of when it came; the same again within a minute is a sender that tries again, later
it is news.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import coerce_traits
from afdp_exporter.model import Announcement, Deployment, Ignored, Status
from afdp_exporter.store import Amendment, Announced, Arrival, Assembled, Store, Stored
from afdp_exporter.tracking.mapping import Rule, place
from afdp_exporter.tracking.merge import Life, apply_manual_edits, merge_announcements, rollouts, thread_id
from afdp_exporter.watching.watch import Schedule, reschedule_looks, schedule_looks

_AHEAD = timedelta(hours=1)
_DELAYED = timedelta(days=1)


async def ingest(
    announcement: Announcement, *, rules: Iterable[Rule], schedule: Schedule, store: Store, now: datetime
) -> Announced | Ignored:
    """Keep what was announced; answered once it is on disk. Raises BadInput for what cannot have happened yet."""
    check_time(announcement, now)
    placed = place(announcement, rules)
    if isinstance(placed, Ignored):
        return placed
    placed = replace(placed, traits=coerce_traits(placed.traits))  # which may be anything in a sender's own JSON
    if placed.at is None:
        placed = replace(placed, at=now, event=f"{placed.event}@{now:%Y-%m-%dT%H:%M}")

    def change(stored: Stored, kept: Announcement, before: Sequence[Arrival], after: Sequence[Arrival]) -> Assembled:
        old = {name: life for name, (life, _) in _lives(before).items()}
        new = _lives(after)
        own = {each.event: name for name, (_, announced) in new.items() for each in announced}.get(kept.event)
        amended = [
            _amendment(stored(name), old.get(name), life, schedule, now)
            for name, (life, _) in new.items()
            if life != old.get(name)
        ]
        keep = bool(amended) or own is None or not _goes_on(kept, new[own][0].deployment)
        return Assembled(deployment_id=own, amendments=tuple(amended), keep=keep)

    return await store.deployments.apply_announcement(thread_id(placed), placed, now, change)


def _goes_on(announcement: Announcement, deployment: Deployment) -> bool:
    """Whether a state is observed so late that no delayed event may come before it; else all would be kept for ever."""
    at = announcement.at
    return announcement.observed and at is not None and at - deployment.ended_at > _DELAYED


def _lives(arrivals: Sequence[Arrival]) -> dict[str, tuple[Life, list[Announcement]]]:
    """The deployments of a thread by their ids, and the announcements that each was merged from."""
    came = {arrival.announcement.event: arrival.received_at for arrival in arrivals}
    lives: dict[str, tuple[Life, list[Announcement]]] = {}
    for name, announced in rollouts([arrival.announcement for arrival in arrivals]).items():
        life = merge_announcements(announced, received_at=min(came[each.event] for each in announced), known_as=name)
        if life is not None:
            lives[name] = life, announced
    return lives


def _amendment(
    stored: Deployment | None, before: Life | None, after: Life, schedule: Schedule, now: datetime
) -> Amendment:
    if stored is None:
        return Amendment(
            deployment=after.deployment, looks=schedule_looks(after.deployment, schedule, now) if after.happened else ()
        )
    deployment = apply_manual_edits(stored, before.deployment if before is not None else None, after.deployment)
    if not after.happened:
        return Amendment(deployment=deployment, looks=())
    begun = before is not None and not before.happened
    looks = schedule_looks(deployment, schedule, now) if begun else reschedule_looks(stored, deployment, schedule, now)
    return Amendment(deployment=deployment, looks=looks)


def check_time(announcement: Announcement, now: datetime) -> None:
    """Raise BadInput for what cannot have happened yet."""
    times = {name: getattr(announcement, name) for name in ("at", "started_at", "finished_at")}
    late = [name for name, time in times.items() if time is not None and time - now > _AHEAD]
    if late and announcement.status is not Status.PLANNED:
        raise BadInput(
            *(Fault(name, "lies more than an hour ahead: the clock of the sender is wrong") for name in late)
        )
