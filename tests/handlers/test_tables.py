"""Rows for Grafana's JSON data sources."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import ClientSession
from jsonschema import Draft202012Validator

from afdp_exporter.model import Attribution as Verdict
from afdp_exporter.model import (
    ChangeType,
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    Look,
    LookState,
    Outcome,
    Shift,
    ShiftState,
    Worse,
)
from afdp_exporter.store import Amendment
from afdp_exporter.store.sqlite import SQLiteStore
from api_description import DESCRIBED
from remembering import remember

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def slower(store: SQLiteStore, name: str, hours: float, environment: str = "production") -> None:
    at = NOW - hours * HOUR
    deployment = Deployment(
        id=name,
        service="api",
        environment=environment,
        started_at=at,
        received_at=at,
        version=f"v-{name}",
        change_types=(ChangeType.DATABASE,),
    )
    shift = Shift(
        metric="latency_seconds",
        layer=Layer.TECHNICAL,
        verdict=Verdict.ATTRIBUTED,
        reason="it rose",
        worse=Worse.UP,
        onset=at,
        before=0.2,
        change=0.015,
        low=0.012,
        high=0.018,
    )
    impact = Impact(
        deployment_id=name,
        measured_at=at + HOUR,
        shifts=(shift,),
        outcome=Outcome.DEGRADATION,
        outcome_reason="slower",
        costs=(Cost(currency="USD", per_hour=Estimate(low=950, median=1200, high=1460)),),
        story=("Latency rose by 15 ms [12, 18].", "It costs $1,200 an hour."),
    )
    await remember(store, deployment, impact)


def as_described(rows: object, schema: str) -> None:
    components = DESCRIBED["components"]
    Draft202012Validator(components["schemas"][schema] | {"components": components}).validate(rows)


async def test_stories_come_as_rows_the_newest_first_with_their_cost_and_its_range(
    client: ClientSession, store: SQLiteStore
) -> None:
    await slower(store, "old", 50)
    await slower(store, "new", 30)
    await slower(store, "staged", 40, environment="staging")
    answer = await (await client.get("/api/v1/tables/stories", params={"environment": "production"})).json()
    as_described(answer, "StoryRows")
    assert [row["deployment_id"] for row in answer["rows"]] == ["new", "old"]
    newest = answer["rows"][0]
    assert newest["story"] == "Latency rose by 15 ms [12, 18]. It costs $1,200 an hour."
    assert (newest["cost_per_hour_low"], newest["cost_per_hour"], newest["cost_per_hour_high"]) == (950, 1200, 1460)
    assert (newest["cost_total"], newest["status"]) == (None, None)
    assert newest["headline"].startswith("api v-new (2026-03-01 06:00 UTC): ")
    await client.patch("/api/v1/deployments/new", json={"outcome": "success", "note": "planned"})
    answer = await (await client.get("/api/v1/tables/stories", params={"limit": 1})).json()
    assert [(row["deployment_id"], row["outcome"]) for row in answer["rows"]] == [("new", "success")]


async def test_what_is_over_costs_nothing_an_hour_and_keeps_its_total(
    client: ClientSession, store: SQLiteStore
) -> None:
    at = NOW - 30 * HOUR
    await slower(store, "blip", 30)
    known = await store.results.impact("blip")
    assert known is not None
    (shift,), (cost,) = known.shifts, known.costs
    back = replace(shift, state=ShiftState.RECOVERED, recovered_at=at + HOUR)
    total = Estimate(low=340, median=390, high=440)
    look = Look(deployment_id="blip", after=2 * HOUR, due_at=at + 2 * HOUR)
    await store.deployments.amend("blip", lambda known: Amendment(deployment=known, looks=(look,)))
    over = replace(known, measured_at=look.due_at, shifts=(back,), costs=(replace(cost, total=total, ended=True),))
    await store.looks.finish(replace(look, state=LookState.DONE), over)
    answer = await (await client.get("/api/v1/tables/stories")).json()
    as_described(answer, "StoryRows")
    (row,) = answer["rows"]
    assert (row["cost_per_hour_low"], row["cost_per_hour"], row["cost_per_hour_high"]) == (None,) * 3
    assert (row["cost_total_low"], row["cost_total"], row["cost_total_high"]) == (340, 390, 440)
    assert row["status"] == "over after 1 hour, $390 [$340, $440] in all"
    assert row["measured_at"] == "2026-03-01T08:00:00Z"


async def test_similar_deployments_come_as_rows_without_the_one_that_is_asked_for(
    store: SQLiteStore, start: Callable[[], Any]
) -> None:
    for number in range(4):
        await slower(store, f"d{number}", 30 + 20 * number)
    client = await start()  # after all of them: what is learned of one holds for a while
    answer = await (await client.get("/api/v1/tables/similar", params={"deployment_id": "d0"})).json()
    as_described(answer, "SimilarRows")
    found = {row["deployment_id"] for row in answer["rows"]}
    assert found <= {"d1", "d2", "d3"}
    assert found
    assert all(row["why"] for row in answer["rows"])


async def test_what_is_not_known_is_reported_as_such(client: ClientSession) -> None:
    assert (await client.get("/api/v1/tables/similar", params={"deployment_id": "nobody"})).status == 404
    assert (await client.get("/api/v1/tables/similar")).status == 422
    assert await (await client.get("/api/v1/tables/stories")).json() == {"rows": []}
