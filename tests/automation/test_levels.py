"""Where a service stands, counted from what is stored."""

from dataclasses import replace
from datetime import timedelta

import pytest

from afdp_exporter.automation.levels import Levels
from afdp_exporter.model import Action, ActionState, Deployment, LevelChange, Outcome, ShiftState, Status, TrailEntry
from afdp_exporter.store.memory import MemoryStore
from gated import NOON, deployment, impact
from remembering import remember


def taken_back(of: Deployment, state: ActionState) -> Action:
    return Action(
        id=f"rollback-{of.id}", deployment_id=of.id, service=of.service, environment=of.environment, kind="rollback",
        executor="cluster", state=state, level=5, reason="it was worse", decided_at=NOON,
    )  # fmt: skip


async def test_that_somebody_stopped_all_executors_changes_no_level() -> None:
    store = MemoryStore()
    await remember(store, deployment(), impact(Outcome.SUCCESS))
    paused = LevelChange(service="*", environment="*", kind="paused", level=1, by="ada", reason="", at=NOON)
    await store.levels.record(paused)
    levels = Levels(store=store)
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
    record = (await Levels(store=store)._records(NOON + timedelta(hours=1)))["checkout", "production"]
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
    levels = Levels(store=store)
    await levels.refresh(NOON)
    known = levels.experience("checkout", "production")
    assert (known.repair_time, known.repairs) == (timedelta(hours=2), 3)
