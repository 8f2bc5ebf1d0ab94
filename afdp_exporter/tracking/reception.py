"""The use case of being told: an announcement -> its service and environment -> the stored life of its deployment."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.fields import fitting_traits
from afdp_exporter.model import Announcement, Deployment, Ignored, Status
from afdp_exporter.store import Amendment, Announced, History, Store
from afdp_exporter.tracking.life import Life, assemble, deployment_id, revised
from afdp_exporter.tracking.mapping import Rule, place
from afdp_exporter.watching.watch import Schedule, plan, plan_anew

_AHEAD = timedelta(hours=1)


async def receive(
    announcement: Announcement, *, rules: Iterable[Rule], schedule: Schedule, store: Store, now: datetime
) -> Announced | Ignored:
    """Keep what was announced; answered once it is on disk. Raises BadInput for what cannot have happened yet."""
    check_time(announcement, now)
    placed = place(announcement, rules)
    if isinstance(placed, Ignored):
        return placed
    placed = replace(placed, traits=fitting_traits(placed.traits))  # which may be anything in a sender's own JSON

    def change(stored: Deployment | None, before: History, after: History) -> Amendment | None:
        life = _life(after)
        return None if life is None else _amendment(stored, _life(before), life, schedule, now)

    return await store.announce(deployment_id(placed), placed, now, change)


def _life(history: History) -> Life | None:
    if history.received_at is None:
        return None
    return assemble(history.announcements, received_at=history.received_at)


def _amendment(
    stored: Deployment | None, before: Life | None, after: Life, schedule: Schedule, now: datetime
) -> Amendment:
    if stored is None:
        return Amendment(
            deployment=after.deployment, looks=plan(after.deployment, schedule, now) if after.happened else ()
        )
    deployment = revised(stored, before.deployment if before is not None else None, after.deployment)
    if not after.happened:
        return Amendment(deployment=deployment, looks=())
    begun = before is not None and not before.happened
    looks = plan(deployment, schedule, now) if begun else plan_anew(stored, deployment, schedule, now)
    return Amendment(deployment=deployment, looks=looks)


def check_time(announcement: Announcement, now: datetime) -> None:
    """Raise BadInput for what cannot have happened yet."""
    times = {name: getattr(announcement, name) for name in ("at", "started_at", "finished_at")}
    late = [name for name, time in times.items() if time is not None and time - now > _AHEAD]
    if late and announcement.status is not Status.PLANNED:
        raise BadInput(
            *(Fault(name, "lies more than an hour ahead: the clock of the sender is wrong") for name in late)
        )
