"""A store that knows what a deployment did, as if somebody had looked at it."""

from dataclasses import replace

from afdp_exporter.model import Deployment, Impact, Look, LookState
from afdp_exporter.store import Store


async def remember(store: Store, deployment: Deployment, impact: Impact) -> None:
    """Keep a deployment and the one look at it, which found this."""
    at = impact.measured_at
    look = Look(deployment_id=deployment.id, after=at - deployment.ended_at, due_at=at)
    await store.deployments.record(deployment, (look,))
    await store.looks.finish(replace(look, state=LookState.DONE, done_at=at, outcome=impact.outcome), impact)
