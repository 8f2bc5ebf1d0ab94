"""Where a service stands, counted from what is stored."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from afdp_exporter.automation.levels import Levels, count
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.errors import AnalysisError
from afdp_exporter.gate.ladder import Record
from afdp_exporter.model import (
    AUTOMATION,
    Action,
    ActionState,
    Attribution,
    Deployment,
    GateVerdict,
    LevelChange,
    Outcome,
    Phase,
    PoolingLevel,
    ShiftState,
    Status,
    TrailEntry,
)
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.store.sqlite import SQLiteStore
from gated import MINUTE, NOON, deployment, impact, levels_of
from remembering import remember
from stored import decision


def taken_back(of: Deployment, state: ActionState) -> Action:
    return Action(
        id=f"rollback-{of.id}", deployment_id=of.id, service=of.service, environment=of.environment, kind="rollback",
        executor="cluster", state=state, level=5, reason="it was worse", decided_at=NOON,
    )  # fmt: skip


async def record_of(store: MemoryStore) -> Record:
    counted = await count(store, {}, {}, NOON + timedelta(hours=1))
    return counted["checkout", "production"][0]


async def test_that_somebody_stopped_all_executors_changes_no_level() -> None:
    store = MemoryStore()
    await remember(store, deployment(), impact(Outcome.SUCCESS))
    paused = LevelChange(service="*", environment="*", kind="paused", level=1, by="ada", reason="", at=NOON)
    await store.levels.record(paused)
    levels = levels_of(store)
    await levels.refresh(NOON)
    assert set(levels.in_force()) == {("checkout", "production")}


@pytest.mark.parametrize(
    ("state", "label", "wrong"),
    [
        (ActionState.VERIFIED, None, False),
        (ActionState.VERIFIED, Outcome.SUCCESS, True),
        (ActionState.NOT_EFFECTIVE, None, True),
    ],
)
async def test_a_rollback_is_wrong_where_it_did_not_help_or_a_person_says_that_nothing_was_the_matter(
    state: ActionState, label: Outcome | None, wrong: bool
) -> None:
    store = MemoryStore()
    bad = replace(deployment(status=Status.ROLLED_BACK), labelled_outcome=label)
    await remember(store, bad, impact(Outcome.FAILURE))
    await store.actions.propose(taken_back(bad, state))
    record = await record_of(store)
    assert (record.since_wrong == 0) is wrong


async def test_what_automation_took_back_is_no_example_of_how_long_people_take() -> None:
    store = MemoryStore()
    for number in range(4):
        at = NOON - timedelta(days=4 - number)
        found = impact(Outcome.FAILURE, deployment_id=f"d{number}")
        shift = replace(
            found.shifts[0], onset=at, state=ShiftState.RECOVERED, recovered_at=at + timedelta(hours=1 + number)
        )
        bad = replace(deployment(f"d{number}"), started_at=at, finished_at=at)
        await remember(store, bad, replace(found, shifts=(shift,), measured_at=at + timedelta(hours=8)))
    begun = replace(taken_back(deployment("d3"), ActionState.VERIFIED), decided_at=NOON - timedelta(hours=20))
    trail = TrailEntry(at=begun.decided_at, state=ActionState.STARTED, by="afdp", reason="back")
    await store.actions.propose(replace(begun, trail=(trail,)))
    levels = levels_of(store)
    await levels.refresh(NOON)
    known = levels.experience("checkout", "production")
    assert (known.repair_time, known.repairs) == (timedelta(hours=2), 3)


async def _measured(
    store: MemoryStore,
    service: str,
    numbers: range,
    outcome: Outcome = Outcome.SUCCESS,
    **words: Any,  # noqa: ANN401
) -> None:
    for number in numbers:
        at = NOON - timedelta(days=30 - number)
        known = replace(deployment(f"{service}-{number}", service=service), started_at=at, finished_at=at, **words)
        await remember(store, known, impact(outcome, deployment_id=known.id))


async def test_a_young_service_rests_on_its_team_else_on_all_services_of_its_environment() -> None:
    store = MemoryStore()
    await _measured(store, "search", range(7), team="shop")
    await _measured(store, "checkout", range(3))
    levels = levels_of(store, false_alarms={"latency_seconds": (1, 400)})
    await levels.refresh(NOON)
    known = levels.of("checkout", "production")
    assert (known.level, known.basis) == (2, PoolingLevel.GLOBAL)
    assert [(each.level, each.reason) for each in await store.levels.trail("checkout")] == [
        (2, "earned by the deployments of all services")
    ]
    levels.teams = lambda: {"checkout": "shop"}
    await levels.refresh(NOON)
    assert levels.of("checkout", "production").basis is PoolingLevel.TEAM
    assert levels.of("billing", "production").level == 0  # nothing of it was ever measured


async def test_false_alarms_of_a_metric_that_a_service_does_not_have_are_none_of_its_own() -> None:
    store = MemoryStore()
    await _measured(store, "checkout", range(10))
    at = NOON - timedelta(days=1)
    found = impact(Outcome.SUCCESS, deployment_id="silent")
    shift = replace(found.shifts[0], metric="orders", verdict=Attribution.INSUFFICIENT_HISTORY)
    known = replace(deployment("silent"), started_at=at, finished_at=at)
    await remember(store, known, replace(found, shifts=(*found.shifts, shift)))
    alarms = {"latency_seconds": (1, 400), "orders": (90, 400), "queue_length": (90, 400)}
    levels = levels_of(store, false_alarms=alarms)
    await levels.refresh(NOON)
    assert levels.of("checkout", "production").level == 2
    judged = replace(shift, verdict=Attribution.NO_EFFECT)
    await remember(store, replace(known, id="told"), replace(found, deployment_id="told", shifts=(judged,)))
    await levels.refresh(NOON)
    assert levels.of("checkout", "production").level == 0


async def test_two_overrides_of_five_take_the_gate_back_until_a_person_allows_it_anew() -> None:
    store = MemoryStore()
    levels = levels_of(store, false_alarms={"latency_seconds": (1, 400)})
    await _measured(store, "checkout", range(23), status=Status.SUCCEEDED)
    await _measured(store, "checkout", range(23, 25), Outcome.FAILURE, status=Status.SUCCEEDED)

    async def allow(at: datetime) -> None:
        await levels.allow("checkout", "production", 3, by="ada", reason="", now=at)

    await allow(NOON - timedelta(days=30))
    in_force = LevelChange(
        service="checkout", environment="production", kind="level", level=3, by="rule", reason="", at=NOON
    )
    await store.levels.record(in_force)
    for number in range(25):
        at, verdict = NOON - timedelta(days=30 - number), GateVerdict.HOLD if number >= 23 else GateVerdict.ALLOW
        said = decision(at, verdict, deployment_id=f"checkout-{number}")
        await store.decisions.keep(replace(said, phase=Phase.CANARY), "argo")
    await levels.refresh(NOON)
    assert levels.of("checkout", "production").level == 2
    *_, last = await store.levels.trail("checkout")
    assert (last.level, last.reason) == (2, "people overrode 2 of the last 5 enforced decisions")
    missing = levels.of("checkout", "production").missing
    assert "a person has to allow level 3 anew, since people overrode 2 of the last 5 enforced decisions" in missing
    await allow(NOON)
    assert not [each for each in levels.of("checkout", "production").missing if "anew" in each]


async def test_what_a_person_allows_counts_at_once_without_a_worker(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "afdp.db")
    compute = open_compute(workers=1)
    await compute.close()
    levels = Levels(reader=StoreReader(store, compute, lambda: MINUTE))
    await _measured(store, "checkout", range(25), status=Status.SUCCEEDED)
    with pytest.raises(AnalysisError):
        await levels.refresh(NOON)
    await levels.allow("checkout", "production", 0, by="ada", reason="it took back the wrong one", now=NOON)
    assert levels.of("checkout", "production").permission.level == 0
    await store.close()


@pytest.mark.parametrize(("by", "overridden"), [("ada", 1), (AUTOMATION, 0)])
async def test_who_refuses_a_rollback_overrides_the_verdict_and_a_target_that_refuses_does_not(
    by: str, overridden: int
) -> None:
    store = MemoryStore()
    await remember(store, deployment(), impact(Outcome.FAILURE))
    await store.decisions.keep(
        replace(decision(NOON, GateVerdict.ROLLBACK, deployment_id="d1"), phase=Phase.POST), "self"
    )
    refused = TrailEntry(at=NOON, state=ActionState.REFUSED, by=by, reason="no")
    await store.actions.propose(replace(taken_back(deployment(), ActionState.REFUSED), trail=(refused,)))
    record = await record_of(store)
    assert record.overrides == (overridden, 1)


@pytest.mark.parametrize(
    ("dry", "real", "proven"),
    [
        (ActionState.SKIPPED, ActionState.VERIFIED, True),
        (ActionState.REFUSED, ActionState.VERIFIED, False),  # it never knew what to send
        (ActionState.SKIPPED, ActionState.REFUSED, False),
    ],
)
async def test_an_executor_is_proven_by_a_request_here_and_a_rollback_elsewhere_that_were_made(
    dry: ActionState, real: ActionState, *, proven: bool
) -> None:
    store = MemoryStore()
    here, elsewhere = deployment(), deployment("d2", environment="staging")
    await remember(store, here, impact(Outcome.FAILURE))
    await store.actions.propose(replace(taken_back(here, dry), dry_run=True, request={"sentence": "back"}))
    await store.actions.propose(taken_back(elsewhere, real))
    record = await record_of(store)
    assert record.proven is proven
