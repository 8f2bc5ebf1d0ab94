"""What a deployment takes back, or may have ended, is looked at again once it can have returned."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from afdp_exporter.model import Deployment, Look, taken_back
from afdp_exporter.store import Amendment, Store
from afdp_exporter.watching.watch import Schedule, plan

_FROM, _UNTIL = timedelta(minutes=15), timedelta(hours=1)  # after the remedy: sooner nothing has returned


async def look_again(look: Look, *, store: Store, schedule: Schedule, within: timedelta, now: datetime) -> None:
    """Plan a look at each deployment that the one just looked at takes back, or whose harm it may have ended."""
    if not _FROM <= look.after <= _UNTIL:
        return
    mending = await store.deployment(look.deployment_id)
    earlier = await store.between(mending.started_at - within, mending.started_at)
    concerned = (*taken_back(mending, earlier, within), *await _going_on(mending, earlier, store))
    for mended in {each.id: each for each in concerned}.values():
        again = Look(deployment_id=mended.id, after=now - mended.ended_at, due_at=now)

        def added(known: Deployment, again: Look = again) -> Amendment:
            return Amendment(deployment=known, looks=(*plan(known, schedule, now), again))

        await store.amend(mended.id, added)


async def _going_on(mending: Deployment, earlier: Iterable[Deployment], store: Store) -> tuple[Deployment, ...]:
    """The earlier deployments of the service whose harm goes on, or is held to have ended by this one."""
    own = {
        each.id: each
        for each in earlier
        if (each.service, each.environment) == (mending.service, mending.environment) and each.id != mending.id
    }
    known = await store.impacts(tuple(own))
    harms = {name: impact.harm for name, impact in known.items()}
    return tuple(
        own[name] for name, harm in harms.items() if harm is not None and (harm.active or harm.ended_by == mending.id)
    )
