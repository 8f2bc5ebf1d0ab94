"""What was learned stays in use, and is learned anew where something was measured."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from afdp_exporter.model import (
    Attribution,
    Basis,
    Deployment,
    Impact,
    Layer,
    Look,
    LookState,
    Outcome,
    Prediction,
    Shift,
    Status,
)
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.workers import Workers

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def deployment(service: str, number: int, status: Status = Status.SUCCEEDED) -> Deployment:
    start = NOW - (10 - number) * HOUR
    return Deployment(
        id=f"{service}-{number}",
        service=service,
        environment="production",
        started_at=start,
        status=status,
        received_at=start,
    )


async def measure(store: SQLiteStore, service: str, number: int) -> None:
    told = deployment(service, number)
    after = timedelta(minutes=30)
    look = Look(deployment_id=told.id, after=after, due_at=told.started_at + after, state=LookState.DONE)
    shift = Shift(
        metric="latency_seconds",
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED,
        reason="",
        change=0.1 + 0.01 * number,
    )
    await store.record(told, (Look(deployment_id=told.id, after=after, due_at=look.due_at),))
    impact = Impact(
        deployment_id=told.id,
        measured_at=look.due_at,
        shifts=(shift,),
        outcome=Outcome.DEGRADATION,
        outcome_reason="slower",
    )
    await store.finish_look(look, impact)


async def test_a_service_is_learned_anew_once_it_was_measured_and_others_once_they_rest_on_it(
    store: SQLiteStore, workers: Workers
) -> None:
    for number in range(4):
        await measure(store, "api", number)
        await measure(store, "web", number)
    planner, renewed = Planner(store=store, workers=workers), asyncio.Event()

    async def told() -> None:
        renewed.set()

    async def ask(service: str) -> Prediction:
        return await planner.predict(deployment(service, 9, Status.PLANNED), Plans(), NOW)

    assert [(found.basis, found.n) for found in [await ask("api"), await ask("web"), await ask("new")]] == [
        (Basis.SERVICE, 4),
        (Basis.SERVICE, 4),
        (Basis.GLOBAL, 8),
    ]
    running = asyncio.create_task(planner.run(Plans, lambda: NOW, told))
    await measure(store, "api", 5)
    await measure(store, "web", 5)
    assert (await ask("api")).n == 4
    planner.measured("api-5")
    await asyncio.wait_for(renewed.wait(), 60)
    assert [(await ask(service)).n for service in ("api", "web", "new")] == [5, 4, 10]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
