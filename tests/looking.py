"""Takes looks as the runner of jobs does."""

from datetime import datetime, timedelta

from afdp_exporter.model import Look
from afdp_exporter.store import Store
from afdp_exporter.store.follow_ups import CHECK


async def claim_looks(store: Store, now: datetime, *, limit: int, lease: timedelta, owner: str = "test") -> list[Look]:
    """Hold looks whose time has come, the longest due first."""
    jobs = await store.jobs.claim(CHECK, now, owner=owner, limit=limit, lease=lease)
    found = [await store.looks.of_job(job) for job in jobs]
    return [look for look in found if look is not None]


async def next_look_at(store: Store) -> datetime | None:
    """When the next look can be taken."""
    return (await store.jobs.next_at([CHECK])).get(CHECK)
