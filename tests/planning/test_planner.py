"""What was learned stays in use, and is learned anew where something was measured."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from afdp_exporter.compute import ComputePool
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Impact,
    Layer,
    Look,
    LookState,
    Outcome,
    PoolingLevel,
    Prediction,
    Shift,
    Status,
)
from afdp_exporter.planning.planner import Planner, surroundings
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.store.sqlite import SQLiteStore

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
    recorded = deployment(service, number)
    after = timedelta(minutes=30)
    look = Look(deployment_id=recorded.id, after=after, due_at=recorded.started_at + after, state=LookState.DONE)
    shift = Shift(
        metric="latency_seconds",
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED,
        reason="",
        change=0.1 + 0.01 * number,
    )
    await store.deployments.record(recorded, (Look(deployment_id=recorded.id, after=after, due_at=look.due_at),))
    impact = Impact(
        deployment_id=recorded.id,
        measured_at=look.due_at,
        shifts=(shift,),
        outcome=Outcome.DEGRADATION,
        outcome_reason="slower",
    )
    await store.looks.finish(look, impact)


async def test_a_service_is_learned_anew_once_it_was_measured_and_others_once_they_rest_on_it(
    store: SQLiteStore, compute: ComputePool
) -> None:
    for number in range(4):
        await measure(store, "api", number)
        await measure(store, "web", number)
    planner = Planner(StoreReader(store, compute, lambda: timedelta(minutes=1)))

    async def ask(service: str) -> Prediction:
        return await planner.predict(deployment(service, 9, Status.PLANNED), Plans(), NOW)

    assert [(found.basis, found.n) for found in [await ask("api"), await ask("web"), await ask("new")]] == [
        (PoolingLevel.SERVICE, 4),
        (PoolingLevel.SERVICE, 4),
        (PoolingLevel.GLOBAL, 8),
    ]
    await measure(store, "api", 5)
    await measure(store, "web", 5)
    assert (await ask("api")).n == 4
    planner.measured("api-5")
    await planner.renew(Plans(), NOW)
    assert [(await ask(service)).n for service in ("api", "web", "new")] == [5, 4, 10]


async def test_the_last_deployment_of_a_service_counts_also_before_it_is_measured(store: SQLiteStore) -> None:
    for number in range(3):
        await measure(store, "api", number)
    recent = replace(deployment("api", 4), started_at=NOW - timedelta(hours=2), finished_at=NOW - timedelta(hours=1))
    running = deployment("web", 5)
    for each in (recent, replace(running, started_at=NOW - timedelta(minutes=1))):
        await store.deployments.record(each, ())
    planned = replace(deployment("api", 9, Status.PLANNED), started_at=NOW)
    around = await surroundings(store, planned)
    assert [each.deployment.id for each in around.own] == ["api-0", "api-1", "api-2", "api-4"]
    assert around.in_flight == 1
