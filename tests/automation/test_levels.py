"""Where a service stands, counted from what is stored."""

from dataclasses import replace
from datetime import timedelta

import pytest

from afdp_exporter.automation.levels import Levels
from afdp_exporter.model import Action, ActionState, Deployment, LevelChange, Outcome, Status
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
    await store.automation.record_level(paused)
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
    await store.automation.propose(taken_back(bad, state))
    record = (await Levels(store=store)._records(NOON + timedelta(hours=1)))["checkout", "production"]
    assert (record.since_wrong == 0) is wrong
