"""A rollback or hotfix tells of the deployment before it: that one is looked at again, by then with the return."""

from datetime import datetime, timedelta

from afdp_exporter.model import Deployment, Look, taken_back
from afdp_exporter.store import Amendment, Store
from afdp_exporter.watching.watch import Schedule, plan

_FROM, _UNTIL = timedelta(minutes=15), timedelta(hours=1)  # after the remedy: sooner nothing has returned


async def look_again(look: Look, *, store: Store, schedule: Schedule, within: timedelta, now: datetime) -> None:
    """Plan a look at each deployment that the one just looked at rolls back or fixes, as `within` decides."""
    if not _FROM <= look.after <= _UNTIL:
        return
    mending = await store.deployment(look.deployment_id)
    earlier = await store.between(mending.started_at - within, mending.started_at)
    for mended in taken_back(mending, earlier, within):
        again = Look(deployment_id=mended.id, after=now - mended.ended_at, due_at=now)

        def added(known: Deployment, again: Look = again) -> Amendment:
            return Amendment(deployment=known, looks=(*plan(known, schedule, now), again))

        await store.amend(mended.id, added)
