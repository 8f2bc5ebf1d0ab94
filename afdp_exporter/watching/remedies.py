"""What a deployment takes back, or may have ended, is looked at again once it can have returned."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from afdp_exporter.model import Deployment, Look, reverted_by
from afdp_exporter.store import Store

_FROM, _UNTIL = timedelta(minutes=15), timedelta(hours=1)  # after the remedy: sooner nothing has returned


async def looks_again(look: Look, *, store: Store, within: timedelta, now: datetime) -> tuple[Look, ...]:
    """A look at each deployment that the one just looked at takes back, or whose harm it may have ended."""
    if not _FROM <= look.after <= _UNTIL:
        return ()
    mending = await store.deployments.find(look.deployment_id)
    earlier = await store.deployments.overlapping(mending.started_at - within, mending.started_at)
    concerned = (*reverted_by(mending, earlier, within), *await _going_on(mending, earlier, store))
    mended = {each.id: each for each in concerned}.values()
    return tuple(Look(deployment_id=each.id, after=now - each.ended_at, due_at=now) for each in mended)


async def _going_on(mending: Deployment, earlier: Iterable[Deployment], store: Store) -> tuple[Deployment, ...]:
    """The earlier deployments of the service whose harm goes on, or is held to have ended by this one."""
    own = {
        each.id: each
        for each in earlier
        if (each.service, each.environment) == (mending.service, mending.environment) and each.id != mending.id
    }
    known = await store.results.impacts(tuple(own))
    harms = {name: impact.harm for name, impact in known.items()}
    return tuple(
        own[name] for name, harm in harms.items() if harm is not None and (harm.active or harm.ended_by == mending.id)
    )
