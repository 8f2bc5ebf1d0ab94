"""The use case of reception: an announcement -> its service and environment -> the stored lives of its thread.

An announcement without a time is of when it came; the same again within a minute is a sender that tries again, later
it is news. No event is awaited for longer than a day: the rollouts of an object that were followed by another one
before that are settled, and their announcements forgotten.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, pairwise, takewhile
from typing import TypeAlias

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import coerce_traits
from afdp_exporter.model import AUTOMATION, Announcement, Deployment, Ignored, Recurrence, Status
from afdp_exporter.store import Amendment, Announced, Arrival, Assembled, Store, Stored
from afdp_exporter.tracking.mapping import Rule, place
from afdp_exporter.tracking.merge import (
    Life,
    apply_manual_edits,
    deployment_id,
    merge_announcements,
    numbered,
    rollouts,
    thread_id,
)
from afdp_exporter.watching.watch import Schedule, reschedule_looks, schedule_looks

_AHEAD = timedelta(hours=1)
_DELAYED = timedelta(days=1)
_CLOCKS = timedelta(minutes=1)  # by which that of a target may be behind ours
_CARRIED_OUT = timedelta(minutes=15)  # within which a target shows what it was asked for, by its own clock

_Rollouts: TypeAlias = Mapping[str, Sequence[Announcement]]


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
    ours = await _taken_back(placed, placed.at or now, store)

    def change(stored: Stored, kept: Announcement, before: Sequence[Arrival], after: Sequence[Arrival]) -> Assembled:
        earlier = _counted(kept, before, after, stored)
        old = _joined(rollouts([arrival.announcement for arrival in before], earlier), ours, stored)
        if earlier.get(kept.key, 0) > 0 and (kept.recurrence is Recurrence.ONCE or _lies_before(kept, old)):
            return Assembled(deployment_id=deployment_id(kept), keep=False)
        new = _joined(rollouts([arrival.announcement for arrival in after], earlier), ours, stored)
        came = {arrival.announcement.event: arrival.received_at for arrival in after}
        own = {each.event: name for name, announced in new.items() for each in announced}.get(kept.event)
        amended = []
        for name in (name for name, announced in new.items() if announced != old.get(name)):
            life, known = _life(new, name, came), _life(old, name, came)
            if life is not None and life != known:
                amended.append(_amendment(stored(name), known, life, schedule, now))
        life = None if own is None else _life(new, own, came)
        keep = bool(amended) or life is None or not _goes_on(kept, life.deployment)
        forgotten, counts = _settled(new, after, stored, earlier, now - _DELAYED)
        return Assembled(deployment_id=own, amendments=tuple(amended), keep=keep, forgotten=forgotten, earlier=counts)

    return await store.deployments.apply_announcement(thread_id(placed), placed, now, change)


def _goes_on(announcement: Announcement, deployment: Deployment) -> bool:
    """Whether a state is observed so late that no delayed event may come before it; else all would be kept for ever."""
    at = announcement.at
    return announcement.observed and at is not None and at - deployment.ended_at > _DELAYED


async def _taken_back(placed: Announcement, at: datetime, store: Store) -> list[str]:
    """The ids of the rollbacks of ours that an announcement may be about."""
    actions = await store.actions.search(since=at - _DELAYED)
    return [each.id for each in actions if each.service == placed.origin.service and each.begun and not each.dry_run]


def _joined(rolled_out: _Rollouts, ours: Iterable[str], stored: Stored) -> _Rollouts:
    """The rollouts by the ids of their deployments; what a target shows of a rollback of ours is that rollback."""
    rollbacks = [known for name in ours if (known := stored(name)) is not None]
    if not rollbacks:
        return rolled_out
    named: dict[str, Sequence[Announcement]] = {}
    for name, announced in rolled_out.items():
        found = None if stored(name) else next((each for each in rollbacks if _shows(announced, each)), None)
        named[name if found is None else found.id] = announced
    return named


def _shows(announced: Sequence[Announcement], rollback: Deployment) -> bool:
    """Whether what was announced of a target is what a rollback of ours has made of it."""
    begun = announced[0].started_at or announced[0].at
    versions = {each.version for each in announced if each.version is not None}
    places = {each.origin.environment for each in announced if each.origin.environment is not None}
    return (
        versions == {rollback.version}
        and places <= {rollback.environment}
        and begun is not None
        and -_CLOCKS <= begun - rollback.started_at <= _CARRIED_OUT
    )


def _life(rolled_out: _Rollouts, name: str, came: Mapping[str, datetime]) -> Life | None:
    """The deployment of a thread with this id."""
    announced = rolled_out.get(name, ())
    if not announced:
        return None
    received_at = min(came[each.event] for each in announced)
    return merge_announcements(announced, received_at=received_at, known_as=name)


def _counted(
    announcement: Announcement, before: Sequence[Arrival], after: Sequence[Arrival], stored: Stored
) -> dict[str, int]:
    """By key, how many deployments came before those whose announcements are kept."""
    earlier: dict[str, int] = {}
    for arrival in before:
        key = arrival.announcement.key
        earlier[key] = max(arrival.earlier, earlier.get(key, 0))
    if before and announcement.key not in {announcement.thread, *earlier} and not _is_of_one_run(after):
        names = (numbered(deployment_id(announcement), number) for number in count(1))
        earlier[announcement.key] = next(known for known, name in enumerate(names) if stored(name) is None)
    return earlier


def _settled(
    rolled_out: _Rollouts, arrivals: Sequence[Arrival], stored: Stored, earlier: Mapping[str, int], since: datetime
) -> tuple[tuple[str, ...], dict[str, int]]:
    """The events that no later one has to be read with, and what is counted in place of them, by event.

    What comes belongs to the newest rollout of its time, so that those are settled which another one followed before
    the time since which what happened may still be reported, if that is known since then.
    """
    if _is_of_one_run(arrivals):
        return (), {}
    old = {arrival.announcement.event for arrival in arrivals if max(_at(arrival), arrival.received_at) < since}
    followed = takewhile(lambda pair: rolled_out[pair[1]][0].event in old and stored(pair[0]), pairwise(rolled_out))
    settled = [rolled_out[name] for name, _ in followed]
    kept = list(rolled_out.values())[len(settled) :]
    let_go = old.union(each.event for announced in settled for each in announced)
    forgotten = let_go.difference(each.event for announced in kept for each in announced)
    counts = Counter(earlier) + Counter(announced[0].key for announced in settled)
    said = {arrival.announcement.event: arrival.earlier for arrival in arrivals}
    first = {announced[0].key: announced[0].event for announced in reversed(kept)}
    return tuple(sorted(forgotten)), {event: counts[key] for key, event in first.items() if counts[key] > said[event]}


def _lies_before(announcement: Announcement, rolled_out: _Rollouts) -> bool:
    """Whether it is of a time before those rollouts whose announcements are kept."""
    first = min((each.at for announced in rolled_out.values() for each in announced if each.at), default=None)
    return first is not None and announcement.at is not None and announcement.at < first


def _is_of_one_run(arrivals: Iterable[Arrival]) -> bool:
    """Whether a thread is of the few attempts of one run, whose start is named again and again, or of which only some
    are numbered: what such a name means only all of them together tell."""
    all_of = [arrival.announcement for arrival in arrivals]
    return len({each.recurrence for each in all_of}) > 1 or any(each.started_at is not None for each in all_of)


def _at(arrival: Arrival) -> datetime:
    return arrival.announcement.at or arrival.received_at


def _amendment(
    stored: Deployment | None, before: Life | None, after: Life, schedule: Schedule, now: datetime
) -> Amendment:
    if stored is None:
        return Amendment(
            deployment=after.deployment, looks=schedule_looks(after.deployment, schedule, now) if after.happened else ()
        )
    if before is None and stored.actor == AUTOMATION:
        deployment = replace(
            stored,
            started_at=after.deployment.started_at,
            finished_at=after.deployment.finished_at,
            status=after.deployment.status,
            traits={**after.deployment.traits, **stored.traits},
        )
    else:
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
