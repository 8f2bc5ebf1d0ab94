"""The gate over HTTP: a planned deployment, one that is measured, and every way to be asked."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from afdp_exporter.model import (
    Look,
    LookState,
    Outcome,
    PoolingLevel,
    Rollout,
    SignalVerdict,
    Status,
    Strategy,
    Switch,
    WarmUpSignal,
)
from afdp_exporter.store.sqlite import SQLiteStore
from gated import ENFORCED, MINUTE, NOON, deployment, impact
from looking import claim_looks
from remembering import remember


async def test_a_version_of_which_nothing_is_known_is_unknown_and_passes(start: Callable[..., Any]) -> None:
    client = await start()
    async with client.get("/api/v1/gate", params={"service": "checkout", "version": "v2"}) as answer:
        found = await answer.json()
    assert answer.status == 200
    assert found["verdict"] == "unknown"
    assert found["enforced_verdict"] == "allow"
    assert found["mode"] == "shadow"
    assert found["phase"] == "plan"
    assert found["data"] == {
        "ok": True, "verdict": "allow", "successPercent": found["data"]["successPercent"],
        "score": found["data"]["score"], "reason": found["data"]["reason"],
    }  # fmt: skip
    async with client.get("/api/v1/deployments") as listed:
        assert (await listed.json())["deployments"] == []


@pytest.mark.parametrize(
    ("outcome", "verdict", "status"),
    [
        (Outcome.SUCCESS, "allow", 200),
        (Outcome.DEGRADATION, "hold", 403),
        (Outcome.FAILURE, "rollback", 409),
        (Outcome.UNKNOWN, "unknown", 200),
    ],
)
async def test_what_was_measured_decides_after_a_deployment(
    start: Callable[..., Any],
    store: SQLiteStore,
    outcome: Outcome,
    verdict: str,
    status: int,
) -> None:
    client = await start(**ENFORCED)
    await remember(store, deployment(), impact(outcome))
    asked = {"service": "checkout", "version": "v2", "codes": "strict"}
    async with client.get("/api/v1/gate", params=asked) as answer:
        found = await answer.json()
    assert (found["verdict"], answer.status) == (verdict, status)
    assert found["mode"] == "enforced"
    assert found["deployment"]["id"] == "d1"
    async with client.get("/api/v1/gate", params={**asked, "format": "text"}) as answer:
        assert (await answer.text()).startswith(found["enforced_verdict"])


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
async def test_in_shadow_an_expression_with_a_limit_of_its_own_stops_nothing(
    start: Callable[..., Any], store: SQLiteStore, outcome: Outcome
) -> None:
    client = await start()
    await remember(store, deployment(), impact(outcome))
    async with client.get("/api/v1/gate", params={"deployment_id": "d1"}) as answer:
        found = await answer.json()
    assert (found["mode"], found["enforced_verdict"]) == ("shadow", "allow")
    assert found["confidence_ratio"] is not None
    assert (found["data"]["ok"], found["data"]["successPercent"], found["data"]["score"]) == (True, 1.0, 100.0)


async def test_the_cheapest_way_on_is_taken_and_its_figures_are_given(
    start: Callable[..., Any], store: SQLiteStore
) -> None:
    gates = {"default": {"mode": "enforced", "rollback_cost": 40, "repair_time": "2h"}}
    client = await start(policy={"gates": gates})
    await remember(store, deployment(), impact(Outcome.DEGRADATION, cost=1000.0))
    async with client.get("/api/v1/gate", params={"deployment_id": "d1"}) as answer:
        found = await answer.json()
    assert found["verdict"] == "rollback"
    assert found["decided_by"] == "expected_loss"
    losses = found["expected_loss"]
    assert losses["promote"] == pytest.approx(2000, rel=0.02)
    assert losses["rollback"] == 40
    assert losses["currency"] == "USD"
    async with client.get("/api/v1/deployments/d1") as answer:
        report = await answer.json()
    assert report["gate"]["verdict"] == "rollback"


@pytest.mark.parametrize(
    ("failures", "basis", "whose"),
    [
        ({"bad": "checkout", "mate": "cart", "stranger": "search"}, "service", "this service"),
        ({"mate": "cart", "stranger": "search"}, "team", "this team"),
        ({"stranger": "search"}, "all", "other services"),
    ],
)
async def test_what_begins_as_an_earlier_failure_did_is_rolled_back(
    start: Callable[..., Any], store: SQLiteStore, failures: dict[str, str], basis: str, whose: str
) -> None:
    client = await start(**ENFORCED)
    earlier = NOON - timedelta(days=3)
    teams = {"checkout": "buyers", "cart": "buyers", "search": "finders"}
    for name, service in failures.items():
        failed = deployment(
            name, service=service, version="v1", started_at=earlier, finished_at=earlier, team=teams[service]
        )
        await remember(store, failed, impact(Outcome.FAILURE, deployment_id=name, worse=0.31))
    await remember(store, deployment(team="buyers"), impact(Outcome.DEGRADATION))
    async with client.get("/api/v1/gate", params={"deployment_id": "d1"}) as answer:
        found = await answer.json()
    assert found["verdict"] == "rollback"
    assert [(match["id"], match["basis"]) for match in found["matched_failures"]] == [(next(iter(failures)), basis)]
    assert any(f"of {whose} did" in reason for reason in found["reasons"])


async def test_a_source_that_is_away_gives_unknown(start: Callable[..., Any], store: SQLiteStore) -> None:
    client = await start(policy={"gates": {"default": {"mode": "enforced", "when_unknown": "hold"}}})
    look = Look(deployment_id="d1", after=5 * MINUTE, due_at=NOON - 13 * MINUTE)
    await store.deployments.record(deployment(), (look,))
    (taken,) = await claim_looks(store, NOON, limit=5, lease=MINUTE)
    assert taken.state is LookState.RUNNING
    await store.looks.postpone(taken, NOON + MINUTE, "prometheus is away")
    async with client.get("/api/v1/gate", params={"deployment_id": "d1"}) as answer:
        found = await answer.json()
    assert answer.status == 200
    assert (found["verdict"], found["enforced_verdict"]) == ("unknown", "hold")
    assert "prometheus is away" in " ".join(found["reasons"])


async def test_a_freeze_holds_what_is_planned(start: Callable[..., Any]) -> None:
    freeze = {"name": "year-end", "kind": "freeze", "start": "2026-03-02T00:00:00Z", "end": "2026-03-03T00:00:00Z"}
    client = await start(calendar=[freeze], **ENFORCED)
    body = {"service": "checkout", "version": "v3", "change_types": ["database"], "traits": {"table_rows": 2_000_000}}
    async with client.post("/api/v1/gate", json=body) as answer:
        found = await answer.json()
    assert found["verdict"] == "hold"
    assert "year-end" in found["reasons"][0]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "service"),
        ({"service": "checkout", "phase": "later"}, "phase"),
        ({"service": "checkout", "wait": "21"}, "wait"),
        ({"service": "checkout", "verdict": "allow"}, "verdict"),
        ({"service": "checkout", "traffic_ratio": "0"}, "traffic_ratio"),
    ],
)
async def test_a_wrong_question_is_refused_by_field(
    start: Callable[..., Any], asked: dict[str, str], field: str
) -> None:
    client = await start()
    async with client.get("/api/v1/gate", params=asked) as answer:
        assert answer.status == 422
        assert [fault["field"] for fault in (await answer.json())["errors"]] == [field]


async def test_an_unknown_deployment_is_not_found(start: Callable[..., Any]) -> None:
    client = await start()
    async with client.get("/api/v1/gate", params={"deployment_id": "nowhere"}) as answer:
        assert answer.status == 404


async def test_an_answer_is_new_as_soon_as_something_has_changed(start: Callable[..., Any], store: SQLiteStore) -> None:
    client = await start(**ENFORCED)
    await remember(store, deployment(), impact(Outcome.SUCCESS))
    async with client.get("/api/v1/gate", params={"deployment_id": "d1"}) as answer:
        assert (await answer.json())["verdict"] == "allow"
    async with client.patch("/api/v1/deployments/d1", json={"outcome": "failure"}) as changed:
        assert changed.status == 200
    async with client.get("/api/v1/gate", params={"deployment_id": "d1"}) as answer:
        assert (await answer.json())["verdict"] == "rollback"


async def test_the_page_shows_decisions_with_their_reasons_and_how_far_automation_goes(
    start: Callable[..., Any], store: SQLiteStore
) -> None:
    client = await start()
    nothing = await (await client.get("/gate")).text()
    assert "No pipeline has asked yet" in nothing
    measured = replace(impact(Outcome.FAILURE), outcome_reason="severely worse: latency_seconds")
    await remember(store, deployment(version="<b>v2"), measured)
    async with client.get("/api/v1/gate", params={"deployment_id": "d1"}) as answer:
        assert "latency_seconds" in (await answer.json())["reasons"][0]
    page = await (await client.get("/gate")).text()
    assert "rollback" in page
    assert "shadow: allow" in page
    assert "severely worse: latency." in page
    assert "&lt;b&gt;v2" in page
    assert "<b>v2" not in page


async def test_a_person_allows_a_level_stops_everything_and_the_trail_says_who(start: Callable[..., Any]) -> None:
    client = await start()
    body = {"level": 4, "by": "ada", "reason": "three good months"}
    async with client.put("/api/v1/automation/checkout", json=body) as answer:
        assert answer.status == 200
    async with client.post("/api/v1/automation/pause", json={"by": "bob"}) as answer:
        assert (await answer.json())["paused"]["by"] == "bob"
    async with client.post("/api/v1/automation/resume", json={"by": "bob"}) as answer:
        assert (await answer.json())["paused"] is None
    async with client.put("/api/v1/automation/checkout", json={"level": 6, "by": "ada"}) as answer:
        assert answer.status == 422
        assert [fault["field"] for fault in (await answer.json())["errors"]] == ["level"]
    async with client.post("/api/v1/actions/none/approve", json={"by": "ada"}) as answer:
        assert answer.status == 404


async def test_a_level_that_acts_without_asking_waits_for_a_second_person_and_trust_shows_it(
    start: Callable[..., Any], store: SQLiteStore
) -> None:
    await remember(store, deployment(), impact(Outcome.SUCCESS))
    client, found = await start(), {}
    for by, level in (("ada", 4), ("Ada", 4), ("bob", 5)):
        body = {"level": level, "by": by, "reason": "three <good> months"}
        async with client.put("/api/v1/automation/checkout", json=body) as answer:
            ((found[by]),) = (await answer.json())["services"]
    assert [(found[by]["allowed"], found[by]["to_confirm"]) for by in found] == [
        (3, {"level": 4, "by": "ada"}), (3, {"level": 4, "by": "Ada"}), (4, {"level": 5, "by": "bob"}),
    ]  # fmt: skip
    assert [each["by"] for each in found["bob"]["history"] if each["kind"] == "allowed"] == ["ada", "Ada", "bob"]
    page = await (await client.get("/trust")).text()
    assert "9 more measured deployments" in page
    assert "allows level 5</td><td>bob</td><td>three &lt;good&gt; months" in page


async def test_a_green_before_its_switch_is_reported_in_the_answer_and_on_the_page(
    start: Callable[..., Any], store: SQLiteStore
) -> None:
    client = await start(**ENFORCED)
    green = deployment(strategy=Strategy.BLUE_GREEN, finished_at=None, status=Status.STARTED)
    await store.deployments.record(green, ())
    signal = WarmUpSignal(metric="memory_bytes", verdict=SignalVerdict.USUAL, n=20, age_minutes=9, value=5e8)
    switch = Switch(signals=(signal,), log_odds=2.0, confidence_ratio=0.93, n=41, basis=PoolingLevel.SERVICE)
    await store.rollouts.keep("checkout", Rollout(deployment_id=green.id, as_of=NOON, comparisons=(), switch=switch))
    async with client.get("/api/v1/gate", params={"service": "checkout", "version": "v2"}) as answer:
        found = await answer.json()
    assert (found["phase"], found["verdict"], found["confidence_ratio"]) == ("preview", "allow", 0.93)
    assert (found["switch"]["n"], found["switch"]["basis"]) == (41, "service")
    assert found["switch"]["signals"][0]["metric"] == "memory_bytes"
    async with client.get("/gate") as answer:
        page = await answer.text()
    assert "93 %" in page
    assert "41 switches" in page


async def test_a_deployment_is_asked_about_by_its_own_version_alone(
    start: Callable[..., Any], store: SQLiteStore
) -> None:
    client = await start()
    await remember(store, deployment(), impact(Outcome.SUCCESS))
    for version, status in (("v2", 200), ("v3", 422)):
        async with client.get("/api/v1/gate", params={"deployment_id": "d1", "version": version}) as answer:
            assert answer.status == status, await answer.text()
