"""Which looks are due: read from the store, so that a restart loses nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from afdp_exporter.model import Deployment, Look
from afdp_exporter.settings import STRICT, Duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long after its end a deployment is looked at."""

    __pydantic_config__: ClassVar = STRICT

    looks: tuple[Duration, ...] = (
        timedelta(minutes=2),
        timedelta(minutes=5),
        timedelta(minutes=10),
        timedelta(minutes=15),
        timedelta(minutes=30),
        timedelta(minutes=60),
        timedelta(hours=24),
    )

    def __post_init__(self) -> None:
        if not self.looks or any(after <= timedelta(0) for after in self.looks):
            raise ValueError("at least one look is needed, each longer than 0s")


def plan(deployment: Deployment, schedule: Schedule, now: datetime) -> tuple[Look, ...]:
    """The looks at a deployment. Of those that lie in the past already only the latest is taken: it sees the most."""
    if deployment.planned:
        return ()
    looks = [
        Look(deployment_id=deployment.id, after=after, due_at=deployment.ended_at + after)
        for after in sorted(set(schedule.looks))
    ]
    past = [look for look in looks if look.due_at <= now]
    return tuple(past[-1:] + [look for look in looks if look.due_at > now])
