"""What the next deployment will do, asked over HTTP of a store with a planted law: migrations cost $1,000 an hour."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession, web

from afdp_exporter.model import (
    Attribution,
    ChangeType,
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    Outcome,
    Shift,
    Worse,
)
from afdp_exporter.store.sqlite import SQLiteStore
from issuing import Issuer
from loopback import Serve
from remembering import remember

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PLANNED = {
    "service": "api",
    "change_types": ["code", "database"],
    "started_at": "2026-03-03T09:00:00Z",
    "team": "platform",
    "actor": "ada",
}


async def _remember_one(store: SQLiteStore, number: int, chance: np.random.Generator) -> None:
    migration = number % 3 == 0
    start = NOON - timedelta(hours=13 * (60 - number))
    deployment = Deployment(
        id=f"d{number}",
        service="api",
        environment="production",
        team="platform",
        started_at=start,
        finished_at=start + timedelta(minutes=2),
        change_types=(ChangeType.CODE, ChangeType.DATABASE) if migration else (ChangeType.CODE,),
        received_at=start,
    )
    loss = float(chance.normal(1000 if migration else 0, 60))
    shift = Shift(
        metric="revenue_usd_per_hour",
        layer=Layer.BUSINESS,
        verdict=Attribution.ATTRIBUTED if migration else Attribution.NO_EFFECT,
        reason="planted",
        worse=Worse.DOWN,
        before=20_000.0,
        change=-loss,
        low=-loss - 100,
        high=-loss + 100,
    )
    impact = Impact(
        deployment_id=deployment.id,
        measured_at=deployment.ended_at + timedelta(hours=1),
        shifts=(shift,),
        outcome=Outcome.DEGRADATION if migration else Outcome.SUCCESS,
        outcome_reason="planted",
        costs=(Cost(currency="USD", per_hour=Estimate(low=loss - 100, median=loss, high=loss + 100)),) * migration,
    )
    await remember(store, deployment, impact)


@pytest.fixture
async def seasoned(store: SQLiteStore, start: Callable[[], Any]) -> ClientSession:
    """A client of an exporter with sixty measured deployments."""
    chance = np.random.default_rng(4)
    for number in range(60):
        await _remember_one(store, number, chance)
    client = await start()
    assert isinstance(client, ClientSession)
    return client


async def test_what_similar_deployments_cost_is_predicted_with_its_range_and_its_evidence(
    seasoned: ClientSession,
) -> None:
    answer = await seasoned.post("/api/v1/predictions", json=PLANNED)
    assert answer.status == 200
    prediction = await answer.json()
    assert (prediction["basis"], prediction["n"]) == ("service", 60)
    cost = prediction["cost_per_hour"]
    assert cost["currency"] == "USD"
    assert cost["chance_ratio"] > 0.85
    assert cost["low"] <= cost["median"] <= cost["high"]
    assert 800 < cost["if_moved"]["low"] <= cost["if_moved"]["median"] <= cost["if_moved"]["high"] < 1200
    revenue = prediction["metrics"]["revenue_usd_per_hour"]
    assert revenue["low"] <= -1000 <= revenue["high"]
    assert prediction["risk_ratio"] > 0.5
    assert prediction["similar"]
    assert all(similar["why"] for similar in prediction["similar"])
    assert prediction["warnings"]
    harmless = await (await seasoned.post("/api/v1/predictions", json=PLANNED | {"change_types": ["code"]})).json()
    assert harmless["risk_ratio"] < prediction["risk_ratio"]


async def test_what_nobody_has_seen_is_predicted_cold_and_wide(client: ClientSession) -> None:
    prediction = await (await client.post("/api/v1/predictions", json=PLANNED)).json()
    assert (prediction["basis"], prediction["n"], prediction["similar"], prediction["cost_per_hour"]) == (
        "cold",
        0,
        [],
        None,
    )
    assert prediction["risk"]["high"] - prediction["risk"]["low"] > 0.2


async def test_traits_of_requests_are_priced_in_the_answer_on_the_page_and_at_the_gate(client: ClientSession) -> None:
    traits = {"replicas_delta": 3, "cpu_request_delta_cores": 6}
    prediction = await (await client.post("/api/v1/predictions", json=PLANNED | {"traits": traits})).json()
    bill = prediction["cloud_cost_per_hour"]
    assert bill["low"] == pytest.approx(6 * 0.031611)
    assert bill["low"] <= bill["median"] < bill["high"]
    assert bill["currency"] == "USD"
    assert bill["sentence"].startswith("3 more pods, 6 more cores: +$0.19 an hour [")
    page = await client.get("/predictions?service=api&traits=replicas_delta = 3%0Acpu_request_delta_cores = 6")
    assert bill["sentence"] in (await page.text()).replace("&#43;", "+")
    planned = PLANNED | {"traits": traits, "version": "v2", "environment": "production"}
    gate = await (await client.post("/api/v1/gate", json=planned)).json()
    assert f"{bill['sentence']}." in gate["reasons"]
    silent = await (await client.post("/api/v1/predictions", json=PLANNED)).json()
    assert silent["cloud_cost_per_hour"] is None


async def test_the_rates_of_the_configuration_count(start: Callable[..., Any]) -> None:
    rates = {"currency": "EUR", "cpu_core_hour": 0, "memory_gib_hour": 0, "storage_gib_month": 730}
    client = await start(policy={"planning": {"cloud_rates": rates}})
    planned = PLANNED | {"traits": {"storage_request_delta_gib": -2.5, "cpu_request_delta_cores": 100}}
    bill = (await (await client.post("/api/v1/predictions", json=planned)).json())["cloud_cost_per_hour"]
    assert (bill["low"], bill["high"], bill["currency"]) == (-2.5, -2.5, "EUR")
    assert bill["sentence"] == "100 more cores, 2.5 GiB less storage: -€2.50 an hour"


async def test_a_prediction_records_nothing(client: ClientSession) -> None:
    await client.post("/api/v1/predictions", json=PLANNED)
    assert (await (await client.get("/api/v1/deployments")).json())["deployments"] == []


async def test_every_fault_of_a_planned_deployment_is_named(client: ClientSession) -> None:
    answer = await client.post("/api/v1/predictions", json={"change_types": ["magic"], "sevrice": "api"})
    assert answer.status == 422
    named = {fault["field"] for fault in (await answer.json())["errors"]}
    assert named == {"service", "sevrice", "change_types[0]"}


async def test_what_was_learned_is_reported_in_sentences_with_their_evidence(seasoned: ClientSession) -> None:
    patterns = (await (await seasoned.get("/api/v1/patterns")).json())["patterns"]
    about_migrations = [
        pattern
        for pattern in patterns
        if {"trait": "change_types", "op": "has", "value": "database"} in pattern["conditions"]
    ]
    assert about_migrations
    for pattern in about_migrations:
        assert pattern["n"] == len(pattern["deployments"]) >= 15
        assert pattern["q_value"] <= 0.05
        assert pattern["effect"]["low"] <= pattern["effect"]["median"] <= pattern["effect"]["high"]
        assert pattern["sentence"]
    only_hints = (await (await seasoned.get("/api/v1/patterns?kind=hint")).json())["patterns"]
    assert all(pattern["kind"] == "hint" for pattern in only_hints)


async def test_the_coming_hours_are_ranked(seasoned: ClientSession) -> None:
    windows = await (await seasoned.get("/api/v1/windows?service=api&hours=24")).json()
    assert len(windows["hours"]) == 24
    assert windows["sentence"]
    assert bool(windows["best"]) is (windows["saving"] is not None)
    assert min(hour["start"] for hour in windows["hours"]) == "2026-03-02T12:00:00Z"


@pytest.mark.parametrize("query", ["", "?service=api&hours=0", "?service=api&hours=x", "?service=api&ours=3"])
async def test_windows_need_a_service_and_a_number_of_hours(client: ClientSession, query: str) -> None:
    assert (await client.get(f"/api/v1/windows{query}")).status in {400, 422}


async def test_a_prediction_for_a_service_that_is_not_configured_says_so(start: Callable[..., Any]) -> None:
    client = await start(services=[{"name": "checkout"}])
    found = await (await client.post("/api/v1/predictions", json={"service": "chekout"})).json()
    assert found["warnings"][0] == "The service chekout is not known; did you mean checkout? Known: checkout."


async def test_what_a_bill_has_of_list_prices_counts_in_the_answer_and_on_metrics(
    start: Callable[..., Any], serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issuer, days = Issuer(), [NOON.date() - timedelta(days=number) for number in range(40)]
    columns = [{"name": name} for name in ("Cost", "UsageDate", "Currency")]
    rows = [[24 * 0.75, int(f"{day:%Y%m%d}"), "USD"] for day in days]
    answer = {"properties": {"columns": columns, "rows": rows}}

    async def azure(request: web.Request) -> web.Response:
        return await issuer.issue(request) if "oauth2" in request.path else web.json_response(answer)

    url = await serve(azure)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
    hours = range(int((NOON - timedelta(days=20)).timestamp()), int(NOON.timestamp()), 3600)
    lines = ["timestamp,metric,value", *(f"{at},node_total_hourly_cost,1" for at in hours)]
    (tmp_path / "prices.csv").write_text("\n".join(lines))
    login = {"oauth": {"client_id": "1", "tenant_id": "2", "client_secret": "s"}}
    block = {"kind": "azure", "url": url, "scope": "/subscriptions/1", "azuread": login}
    bill = block | {"list_price": "node_total_hourly_cost"}
    client = await start(bills=[bill], policy={"planning": {"cloud_rates": {"bill": "azure", "cpu_core_hour": 0.1}}})
    async with asyncio.timeout(30):
        while 'afdp_bill_days{bill="azure"}' not in (shown := await (await client.get("/metrics")).text()):  # noqa: ASYNC110 - what is shown is all there is to see
            await asyncio.sleep(0.01)
    assert 'afdp_bill_ratio{bill="azure"} 0.75' in shown
    traits = {"replicas_delta": 3, "cpu_request_delta_cores": 6}
    predicted = await (await client.post("/api/v1/predictions", json=PLANNED | {"traits": traits})).json()
    cost = predicted["cloud_cost_per_hour"]
    assert cost["low"] == pytest.approx(0.75 * 0.6)
    assert cost["billed"]["ratio"]["median"] == pytest.approx(0.75)
    assert cost["billed"]["days"] >= 17
    assert cost["sentence"].endswith(f"as azure was billed: 75 % of list prices over {cost['billed']['days']} days")
