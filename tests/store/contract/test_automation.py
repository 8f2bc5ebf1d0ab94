"""What every store promises of the gate's decisions, of levels, canaries and actions."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from afdp_exporter.errors import Conflict, NotFound
from afdp_exporter.model import (
    Action,
    ActionState,
    ApprovalState,
    Deployment,
    GateEvaluation,
    GateVerdict,
    LevelChange,
    PendingApproval,
    Phase,
    Rollout,
)
from afdp_exporter.store import Store
from stored import MINUTE, action, decision

DAY = timedelta(days=1)


async def test_a_decision_that_repeats_the_last_one_on_its_subject_is_not_kept_again(
    store: Store, noon: datetime
) -> None:
    first = await store.decisions.keep(decision(noon), "ci")
    again = await store.decisions.keep(decision(noon + MINUTE), "argo")
    other = await store.decisions.keep(decision(noon + MINUTE, service="search"), "ci")
    changed = await store.decisions.keep(decision(noon + 2 * MINUTE, GateVerdict.HOLD), "ci")
    assert again == first
    assert [each.id for each in await store.decisions.search(since=noon)] == [changed.id, other.id, first.id]
    assert await store.decisions.search(since=noon, service="search") == [other]
    assert await store.decisions.search(since=noon + 2 * MINUTE) == [changed]
    assert await store.decisions.search(since=noon, limit=1) == [changed]


async def test_a_decision_on_a_planned_version_is_that_of_the_deployment_until_it_has_one_of_its_own(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    later = deployment(version="v2")
    assert await store.decisions.on(later) is None
    planned = await store.decisions.keep(decision(noon), "ci")
    assert await store.decisions.on(later) == planned
    own = await store.decisions.keep(decision(noon, GateVerdict.ROLLBACK, deployment_id="d1"), "self")
    assert await store.decisions.on(later) == own
    assert await store.decisions.on(replace(later, id="d2")) == planned


async def test_the_trail_of_levels_is_reported_oldest_first(store: Store, noon: datetime) -> None:
    changes = [
        LevelChange(service=service, environment="production", kind="level", level=level, by="rule", reason="", at=noon)
        for level, service in enumerate(("checkout", "search", "checkout"))
    ]
    for change in changes:
        await store.levels.record(change)
    assert await store.levels.trail() == changes
    assert await store.levels.trail("checkout") == [changes[0], changes[2]]


async def test_of_each_canary_the_newest_comparison_is_kept(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    for number in (1, 2, 3):
        await store.deployments.record(deployment(f"d{number}"), ())
        for minute in (number, number + 10):
            shown = Rollout(deployment_id=f"d{number}", as_of=noon + minute * MINUTE, comparisons=())
            await store.rollouts.keep("checkout", shown)
    assert (await store.rollouts.find("d1")) == Rollout(deployment_id="d1", as_of=noon + 11 * MINUTE, comparisons=())
    assert await store.rollouts.find("d4") is None
    found = await store.rollouts.newest("checkout", before=noon + 13 * MINUTE, limit=1)
    assert [each.deployment_id for each in found] == ["d2"]
    assert await store.rollouts.newest("search", before=noon + MINUTE * 60) == []


async def test_an_action_is_proposed_once_and_moved_only_from_the_state_that_is_expected(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    await store.deployments.record(deployment(), ())
    assert await store.actions.propose(action("d1", noon))
    assert not await store.actions.propose(replace(action("d1", noon), id="another"))
    proposed = frozenset({ActionState.PROPOSED})

    def claim(known: Action) -> Action:
        return replace(known, state=ActionState.CLAIMED)

    moved = await store.actions.move("rollback-d1", proposed, claim)
    assert moved == await store.actions.find("rollback-d1") == claim(action("d1", noon))
    with pytest.raises(Conflict):
        await store.actions.move("rollback-d1", proposed, claim)
    for missing in (store.actions.find("x"), store.actions.move("x", proposed, claim)):
        with pytest.raises(NotFound):
            await missing


async def test_actions_are_reported_newest_first_by_deployment_time_and_whether_they_are_open(
    store: Store, deployment: Callable[..., Deployment], noon: datetime
) -> None:
    for number, state in enumerate((ActionState.PROPOSED, ActionState.VERIFIED, ActionState.ACCEPTED)):
        await store.deployments.record(deployment(f"d{number}"), ())
        await store.actions.propose(action(f"d{number}", noon + number * MINUTE, state))

    async def ids(**words: object) -> list[str]:
        return [each.deployment_id for each in await store.actions.search(**words)]

    assert await ids() == ["d2", "d1", "d0"]
    assert await ids(only_open=True) == ["d2", "d0"]
    assert await ids(since=noon + MINUTE) == ["d2", "d1"]
    assert await ids(deployment_id="d1") == ["d1"]
    assert await ids(limit=1) == ["d2"]


async def test_a_request_for_an_approval_waits_until_it_is_answered_and_is_one_however_often_it_is_asked(
    store: Store, noon: datetime
) -> None:
    requests = [
        PendingApproval(
            id=f"r{number}", kind="azure_devops", service="checkout", environment="production", phase=Phase.PLAN,
            reply={"PlanId": "p"}, credential="canary-job", asked_at=noon - number * MINUTE, due_at=noon,
        )
        for number in range(3)
    ]  # fmt: skip
    for request in requests:
        assert await store.approvals.keep(request)
        assert not await store.approvals.keep(replace(request, service="search"))
    assert await store.approvals.waiting() == requests[::-1]
    assert await store.approvals.waiting(limit=1) == [requests[2]]
    tried = replace(requests[1], attempts=2, due_at=noon + MINUTE, said="hold")
    await store.approvals.change(tried)
    await store.approvals.change(replace(requests[2], state=ApprovalState.ANSWERED))
    await store.approvals.change(replace(requests[0], state=ApprovalState.GIVEN_UP))
    assert await store.approvals.waiting() == [tried]
    before = await store.changes.last()
    assert not await store.approvals.keep(requests[2])  # is answered
    assert await store.changes.last() == before
    assert not await store.approvals.keep(requests[1])  # asks again
    assert [(each.kind, each.id) for each in await store.changes.since(before)] == [("approval", "r1")]
    assert await store.approvals.waiting() == [tried]


async def test_an_evaluation_is_found_by_its_id_until_a_month_after_it_was_begun(store: Store, noon: datetime) -> None:
    first = GateEvaluation(
        id="one", service="checkout", environment="production", version="v2", deployment_id="d1", dry_run=True,
        ignored_rules=("errors",), begun_at=noon,
    )  # fmt: skip
    assert await store.approvals.evaluation("one") is None
    await store.approvals.keep_evaluation(first)
    assert await store.approvals.evaluation("one") == first
    anew = replace(first, begun_at=noon + 30 * DAY)
    await store.approvals.keep_evaluation(anew)
    assert await store.approvals.evaluation("one") == anew
    await store.approvals.keep_evaluation(replace(first, id="two", begun_at=noon + 61 * DAY))
    assert await store.approvals.evaluation("one") is None


async def test_false_alarms_are_kept_in_place_of_the_last_and_shown_to_all(store: Store) -> None:
    assert await store.levels.false_alarms() == {}
    await store.levels.keep_false_alarms({"latency_seconds": (1, 20), "orders": (0, 0)})
    await store.levels.keep_false_alarms({"latency_seconds": (2, 40)})
    assert await store.levels.false_alarms() == {"latency_seconds": (2, 40)}
    assert [change.kind for change in await store.changes.since(0)] == ["false_alarms"] * 2


async def test_a_level_that_several_find_is_in_the_trail_once(store: Store, noon: datetime) -> None:

    def change(level: int, kind: str = "level", service: str = "checkout") -> LevelChange:
        return LevelChange(
            service=service, environment="production", kind=kind, level=level, by="rule", reason="it is so", at=noon
        )

    for each in (change(1), change(1), change(1, service="search"), change(2), change(1), change(1, "allowed")):
        await store.levels.record(each)
    await store.levels.record(change(1, "allowed"))  # what people say is kept each time
    trail = await store.levels.trail("checkout")
    assert [(each.kind, each.level) for each in trail] == [
        ("level", 1), ("level", 2), ("level", 1), ("allowed", 1), ("allowed", 1)
    ]  # fmt: skip
