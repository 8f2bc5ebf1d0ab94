"""An action's life: decided once, begun at most once, whatever crashes; verified by the metrics, with a trail."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from afdp_exporter.automation.actions import Actions
from afdp_exporter.automation.gatekeeper import Gatekeeper
from afdp_exporter.automation.levels import Levels
from afdp_exporter.errors import ActionRefused, ActionUnknown, Conflict
from afdp_exporter.executors import Executor, Order, Plan, Scope, Way
from afdp_exporter.gate.ladder import Permission, Standing
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import (
    Action,
    ActionState,
    Attribution,
    Deployment,
    Impact,
    Layer,
    Look,
    LookState,
    Outcome,
    Shift,
    ShiftState,
    Status,
    Worse,
)
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.settings import build
from afdp_exporter.store import Amendment
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.watch import Schedule
from gated import levels_of
from looking import claim_looks
from real_parts.engine import Swarm, ended
from remembering import remember

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Crash(BaseException):
    """The process ends here."""


@dataclass
class Target:
    """What executors act on: counts calls, and crashes or fails where a test wants it."""

    calls: int = 0
    returned: bool = False
    before: BaseException | None = None  # raised before the call has an effect ...
    after: BaseException | None = None  # ... and behind it
    unread: Exception | None = None  # raised where it is read before
    checks: int = 0
    seen: list[Order] = field(default_factory=list)

    async def check(self, order: Order) -> Plan:
        self.checks += 1
        self.seen.append(order)
        if self.unread is not None and order.deployment_id == "d2":
            raise self.unread
        return Plan(order=order, sentence="back to v1", request={"path": "/x"}, seen={"version": 7}, done=self.returned)

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        if self.before is not None:
            raise self.before
        self.calls += 1
        self.returned = True
        if self.after is not None:
            raise self.after
        return {"status": 200}

    async def verify(self, plan: Plan) -> bool | None:
        return self.returned


class At(Levels):
    """A service whose automation stands at a level."""

    level = 5

    def of(self, service: str, environment: str) -> Standing:
        return Standing(level=self.level, earned=self.level, permission=Permission(level=self.level), missing=())


@pytest.fixture
def acting(store: SQLiteStore) -> Callable[..., Actions]:
    """Makes the part of the exporter that acts, as a start does."""

    def made(target: Executor, *, level: int = 5, dry_run: bool = False, now: datetime = NOON) -> Actions:
        levels = levels_of(store, At)
        levels.level = level
        gatekeeper = Gatekeeper(
            store=store, planner=Planner(levels.reader), levels=levels, plans=Plans,
            settings=lambda _: GateSettings(), clock=lambda: now,
        )  # fmt: skip
        scope = Scope(services=("checkout",), dry_run=dry_run)
        return Actions(
            store=store, gatekeeper=gatekeeper, ways=lambda: (Way(name="k8s", kind="x", executor=target, scope=scope),),
            settings=lambda _: GateSettings(), schedule=Schedule, clock=lambda: now, moved=lambda _: None,
            booked=lambda _: None,
        )  # fmt: skip

    return made


async def failed(store: SQLiteStore, deployment_id: str = "d2", **words: Any) -> Deployment:  # noqa: ANN401
    plain = Deployment(
        id=deployment_id, service="checkout", environment="production", version="v2", previous_version="v1",
        started_at=NOON - 10 * MINUTE, finished_at=NOON - 9 * MINUTE, received_at=NOON,
    )  # fmt: skip
    deployment = replace(plain, **words)
    await remember(store, deployment, impact(deployment.id, ShiftState.ACTIVE))
    return deployment


def impact(deployment_id: str, state: ShiftState, *, at: datetime = NOON - MINUTE) -> Impact:
    shift = Shift(
        metric="error_ratio", layer=Layer.TECHNICAL, worse=Worse.UP, verdict=Attribution.ATTRIBUTED, reason="it rose",
        change=0.4, low=0.3, high=0.5, change_ratio=40.0, attribution_ratio=0.99, onset=NOON - 9 * MINUTE, state=state,
        recovered_at=at if state is ShiftState.RECOVERED else None,
    )  # fmt: skip
    return Impact(
        deployment_id=deployment_id, measured_at=at, shifts=(shift,), outcome=Outcome.FAILURE, outcome_reason="severe"
    )


async def states(store: SQLiteStore) -> list[ActionState]:
    (action,) = await store.actions.search()
    return [entry.state for entry in action.trail]


async def test_a_failure_is_taken_back_once_and_the_rollback_is_a_deployment_of_its_own(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(), await failed(store)
    actions = acting(target)
    await actions.decide(bad.id)
    await actions.work()
    await actions.decide(bad.id)  # the next check says the same
    await actions.work()
    assert target.calls == 1
    assert await states(store) == [
        ActionState.PROPOSED, ActionState.CLAIMED, ActionState.STARTED, ActionState.ACCEPTED,
    ]  # fmt: skip
    assert (await store.deployments.find(bad.id)).status is Status.ROLLED_BACK
    (action,) = await store.actions.search()
    back = await store.deployments.find(action.id)
    assert back.version == "v1"
    assert back.traits["rollback_of"] == bad.id
    assert [look.after for look in await store.looks.of_deployment(back.id)] == list(Schedule().looks)


async def test_a_real_swarm_is_taken_back_once_by_two_exporters(
    store: SQLiteStore, acting: Callable[..., Actions], swarm: Swarm
) -> None:
    await swarm.create("checkout-of-actions", "v1")
    await swarm.update("checkout-of-actions", "v2")
    bad = await failed(store)
    executor = build("executors", "swarm", {"url": swarm.url, "target": "$service-of-actions"}, "")
    exporters = [acting(executor), acting(executor)]
    for _ in range(3):
        await asyncio.gather(*(each.decide(bad.id) for each in exporters))
        await asyncio.gather(*(each.work() for each in exporters))
    await swarm.until("checkout-of-actions", ended("rollback_completed"))
    started = acting(executor)  # a restart
    await started.recover()
    await started.decide(bad.id)
    await started.work()
    assert await swarm.running("checkout-of-actions") == {"shop/checkout:v1"}
    assert (await states(store)).count(ActionState.STARTED) == 1
    assert (await states(store))[-1] is ActionState.ACCEPTED
    assert (await store.deployments.find(bad.id)).status is Status.ROLLED_BACK


@pytest.mark.parametrize("state", [ShiftState.RECOVERED, ShiftState.ACTIVE])
async def test_the_metrics_say_whether_it_helped(
    store: SQLiteStore, acting: Callable[..., Actions], state: ShiftState
) -> None:
    target, bad = Target(), await failed(store)
    actions = acting(target)
    await actions.decide(bad.id)
    await actions.work()
    later = NOON + 40 * MINUTE
    look = Look(deployment_id=bad.id, after=49 * MINUTE, due_at=later)
    await store.deployments.amend(bad.id, lambda known: Amendment(deployment=known, looks=(look,)))
    (taken,) = await claim_looks(store, later, limit=1, lease=MINUTE)
    await store.looks.finish(replace(taken, state=LookState.DONE, done_at=later), impact(bad.id, state, at=later))
    await acting(target, now=later).work()
    expected = ActionState.VERIFIED if state is ShiftState.RECOVERED else ActionState.NOT_EFFECTIVE
    assert (await states(store))[-1] is expected


async def test_a_rollback_that_no_check_has_seen_is_not_called_useless(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(), await failed(store)  # whose newest check was made before it was taken back
    actions = acting(target)
    await actions.decide(bad.id)
    await actions.work()
    await acting(target, now=NOON + 40 * MINUTE).work()
    assert (await states(store))[-1] is ActionState.ACCEPTED
    await acting(target, now=NOON + 25 * 60 * MINUTE).work()
    assert (await states(store))[-1] is ActionState.UNKNOWN


@pytest.mark.parametrize(
    ("error", "state", "calls"),
    [
        (ActionRefused("stale"), ActionState.REFUSED, 0),
        (ActionUnknown("no answer"), ActionState.UNKNOWN, 0),
    ],
)
async def test_what_was_refused_or_is_unknown_is_never_begun_again(
    store: SQLiteStore, acting: Callable[..., Actions], error: Exception, state: ActionState, calls: int
) -> None:
    target, bad = Target(before=error), await failed(store)
    actions = acting(target)
    await actions.decide(bad.id)
    await actions.work()
    target.before = None
    for _ in range(3):
        await actions.decide(bad.id)
        await actions.work()
    await acting(target).recover()
    assert (await states(store))[-1] is state
    assert target.calls == calls


@pytest.mark.parametrize("effect", [False, True])
async def test_a_crash_around_the_call_never_repeats_it(
    store: SQLiteStore, acting: Callable[..., Actions], effect: bool
) -> None:
    target, bad = Target(), await failed(store)
    setattr(target, "after" if effect else "before", Crash())
    actions = acting(target)
    await actions.decide(bad.id)
    with pytest.raises(Crash):
        await actions.work()
    target.before = target.after = None
    started = acting(target)
    await started.recover()
    await started.work()
    assert target.calls == int(effect)
    assert (await states(store))[-1] is (ActionState.ACCEPTED if effect else ActionState.UNKNOWN)


@pytest.mark.parametrize("step", range(1, 5))
async def test_a_crash_at_any_kept_step_loses_no_intent_and_begins_nothing_twice(
    store: SQLiteStore, acting: Callable[..., Actions], step: int
) -> None:
    target, bad = Target(), await failed(store)
    kept = 0

    def crashing(_: Action) -> None:
        nonlocal kept
        kept += 1
        if kept == step:
            raise Crash

    actions = acting(target)
    actions.moved = crashing
    with pytest.raises(Crash):  # noqa: PT012 - whichever of the two comes to that step
        await actions.decide(bad.id)
        await actions.work()
    started = acting(target)
    await started.recover()
    for _ in range(3):
        await started.decide(bad.id)
        await started.work()
    assert target.calls <= 1
    (action,) = await store.actions.search()
    assert action.state in {ActionState.ACCEPTED, ActionState.UNKNOWN}
    assert (action.state is ActionState.ACCEPTED) is (target.calls == 1)


@pytest.mark.parametrize(("level", "state"), [(2, None), (3, ActionState.AWAITING_APPROVAL)])
async def test_below_level_four_nothing_is_begun_without_a_person(
    store: SQLiteStore, acting: Callable[..., Actions], level: int, state: ActionState | None
) -> None:
    target, bad = Target(), await failed(store)
    actions = acting(target, level=level)
    await actions.decide(bad.id)
    await actions.work()
    found = await store.actions.search()
    assert [action.state for action in found] == ([] if state is None else [state])
    assert target.checks == 0
    if found:
        await actions.approve(found[0].id, by="ada")
        await actions.work()
        assert target.calls == 1
        with pytest.raises(Conflict):
            await actions.refuse(found[0].id, by="bob")


async def test_nothing_is_taken_back_to_a_version_that_failed_itself_unless_a_person_wants_it(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    at = NOON - 3 * 60 * MINUTE
    await failed(store, "d1", version="v1", previous_version="v0", started_at=at, finished_at=at)
    target, bad = Target(), await failed(store)
    actions = acting(target)
    await actions.decide(bad.id)
    await actions.work()
    (action,) = await store.actions.search()
    assert (action.state, target.calls) == (ActionState.SKIPPED, 0)
    assert "v1, which it would lead back to, failed itself" in action.trail[-1].reason


async def test_while_a_check_waits_for_its_source_nothing_is_begun(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(), await failed(store)
    look = Look(deployment_id=bad.id, after=10 * MINUTE, due_at=NOON + MINUTE)
    await store.deployments.amend(bad.id, lambda known: Amendment(deployment=known, looks=(look,)))
    actions = acting(target, now=NOON + 2 * MINUTE)
    await actions.decide(bad.id)
    (taken,) = await claim_looks(store, NOON + 2 * MINUTE, limit=1, lease=MINUTE)
    await store.looks.postpone(taken, NOON + 3 * MINUTE, "prometheus is away")
    await actions.work()
    assert (await states(store))[-1] is ActionState.PROPOSED
    assert target.checks == 0
    (taken,) = await claim_looks(store, NOON + 4 * MINUTE, limit=1, lease=MINUTE)
    found = impact(bad.id, ShiftState.ACTIVE, at=NOON + 4 * MINUTE)
    await store.looks.finish(replace(taken, state=LookState.DONE, done_at=NOON + 4 * MINUTE), found)
    await acting(target, now=NOON + 5 * MINUTE).work()
    assert target.calls == 1


async def test_what_waits_for_a_person_is_begun_once_the_level_lets_it(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(), await failed(store)
    await acting(target, level=3).decide(bad.id)
    assert await states(store) == [ActionState.AWAITING_APPROVAL]
    severe = acting(target, level=5)
    await severe.decide(bad.id)
    await severe.work()
    await severe.decide(bad.id)
    await severe.work()
    assert target.calls == 1
    (action,) = await store.actions.search()
    assert (action.level, action.state, action.approved_by) == (5, ActionState.ACCEPTED, None)


async def test_what_a_person_has_refused_stays_refused(store: SQLiteStore, acting: Callable[..., Actions]) -> None:
    target, bad = Target(), await failed(store)
    await acting(target, level=3).decide(bad.id)
    severe = acting(target, level=5)
    (action,) = await store.actions.search()
    await severe.refuse(action.id, by="ada")
    await severe.decide(bad.id)
    await severe.work()
    assert target.calls == 0


async def test_a_dry_run_sends_nothing_and_keeps_the_request(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(), await failed(store)
    actions = acting(target, level=0, dry_run=True)
    await actions.decide(bad.id)
    await actions.work()
    (action,) = await store.actions.search()
    assert action.state is ActionState.SKIPPED
    assert action.request["request"] == {"path": "/x"}
    assert target.calls == 0
    assert (await store.deployments.find(bad.id)).status is Status.SUCCEEDED


async def test_the_breakers_hold_a_second_rollback_of_a_service_and_a_person_can_stop_all(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target = Target()
    first = await failed(store, "d1", started_at=NOON - 30 * MINUTE, finished_at=NOON - 29 * MINUTE)
    actions = acting(target)
    await actions.decide(first.id)
    await actions.work()
    target.returned = False
    later = NOON + 5 * MINUTE
    second = await failed(store, "d3", started_at=NOON + MINUTE, finished_at=NOON + 2 * MINUTE, version="v3")
    again = acting(target, now=later)
    await again.decide(second.id)
    await again.work()
    newest, _ = await store.actions.search()
    assert newest.state is ActionState.SKIPPED
    assert "six hours" in newest.trail[-1].reason
    await again.pause(by="ada", paused=True)
    stopped = await again.paused()
    assert stopped is not None
    assert stopped.by == "ada"
    third = await failed(store, "d4", started_at=NOON + 3 * MINUTE, finished_at=NOON + 4 * MINUTE, version="v4")
    await again.decide(third.id)
    await again.work()
    newest, *_ = await store.actions.search()
    assert "ada has stopped all executors" in newest.trail[-1].reason
    assert target.calls == 1


@pytest.mark.parametrize("fixed", [False, True])
async def test_a_target_that_shows_it_no_more_speaks_against_the_rollback_unless_a_fix_was_deployed(
    store: SQLiteStore, acting: Callable[..., Actions], fixed: bool
) -> None:
    target, bad = Target(), await failed(store)
    actions = acting(target)
    await actions.decide(bad.id)
    await actions.work()
    target.returned = False
    if fixed:
        fix = replace(bad, id="d9", version="v3", started_at=NOON + MINUTE, finished_at=NOON + MINUTE)
        await store.deployments.record(fix, ())
    await acting(target, now=NOON + 2 * MINUTE).work()
    assert (await states(store))[-1] is (ActionState.ACCEPTED if fixed else ActionState.NOT_EFFECTIVE)


async def test_a_newer_deployment_leaves_nothing_to_take_back(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(), await failed(store)
    fix = replace(bad, id="d9", version="v3", started_at=NOON - MINUTE, finished_at=NOON - MINUTE)
    await store.deployments.record(fix, ())
    actions = acting(target)
    await actions.decide(bad.id)
    await actions.work()
    (action,) = await store.actions.search()
    assert action.state is ActionState.SKIPPED
    assert "deployed since then" in action.trail[-1].reason


@pytest.mark.parametrize("error", [ActionUnknown("it answers 503"), KeyError("spec")])
async def test_a_target_that_cannot_be_read_is_read_again_and_keeps_no_other_waiting(
    store: SQLiteStore, acting: Callable[..., Actions], error: Exception
) -> None:
    target, bad, other = Target(unread=error), await failed(store), await failed(store, "d3", environment="staging")
    actions = acting(target)
    scope = Scope(services=("checkout",), environments=("production", "staging"), dry_run=False)
    actions.ways = lambda: (Way(name="k8s", kind="x", executor=target, scope=scope),)
    for each in (bad, other):
        await actions.decide(each.id)
    for _ in range(3):
        await actions.work()
    mine, theirs = sorted(await store.actions.search(), key=lambda each: each.deployment_id)
    assert (mine.state, theirs.state, target.calls) == (ActionState.PROPOSED, ActionState.ACCEPTED, 1)
    assert len(mine.trail) == 2
    target.unread, target.returned = None, False
    await actions.work()
    assert target.calls == 2
    assert (await store.actions.search(deployment_id=bad.id))[0].state is ActionState.ACCEPTED


async def test_a_target_that_nobody_can_read_for_an_hour_is_left_alone_with_the_reason(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(unread=ActionUnknown("it answers 503")), await failed(store)
    actions = acting(target)
    await actions.decide(bad.id)
    await actions.work()
    target.unread = None
    await acting(target, now=NOON + 61 * MINUTE).work()
    (action,) = await store.actions.search()
    assert (action.state, target.calls) == (ActionState.SKIPPED, 0)
    assert action.trail[-1].reason == "the verdict is older than an hour; it answers 503"


async def test_harm_that_is_over_before_anything_was_begun_is_not_taken_back(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(), await failed(store)
    actions = acting(target)
    await actions.decide(bad.id)
    look = Look(deployment_id=bad.id, after=10 * MINUTE, due_at=NOON + MINUTE)
    await store.deployments.amend(bad.id, lambda known: Amendment(deployment=known, looks=(look,)))
    (taken,) = await claim_looks(store, NOON + 2 * MINUTE, limit=1, lease=MINUTE)
    done = replace(taken, state=LookState.DONE, done_at=NOON + 2 * MINUTE)
    await store.looks.finish(done, impact(bad.id, ShiftState.RECOVERED, at=NOON + 2 * MINUTE))
    await acting(target, now=NOON + 3 * MINUTE).work()
    (action,) = await store.actions.search()
    assert (action.state, target.checks, target.calls) == (ActionState.PROPOSED, 0, 0)
    assert action.trail[-1].reason.startswith("it waits: the verdict is ")


async def test_a_rollback_is_recorded_where_a_crash_came_before(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(), await failed(store)
    actions = acting(target)
    await actions.decide(bad.id)

    def crashing(action: Action) -> None:
        if action.state is ActionState.ACCEPTED:
            raise Crash

    actions.moved = crashing
    with pytest.raises(Crash):
        await actions.work()
    started = acting(target, now=NOON + 5 * MINUTE)
    await started.recover()
    for _ in range(2):
        await started.work()
    assert (await store.deployments.find(bad.id)).status is Status.ROLLED_BACK
    back = await store.deployments.find((await store.actions.search())[0].id)
    assert (back.version, back.started_at) == ("v1", NOON)
    assert target.calls == 1


async def test_a_rollback_that_its_target_has_reported_first_is_not_recorded_again(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    bad = await failed(store)
    seen = replace(bad, id="seen", version=bad.previous_version, previous_version=bad.version, started_at=NOON)

    class Watched(Target):
        async def apply(self, plan: Plan) -> Mapping[str, Any]:
            await store.deployments.record(seen, ())
            return await super().apply(plan)

    actions = acting(Watched())
    await actions.decide(bad.id)
    for _ in range(2):
        await actions.work()
    assert (await store.deployments.find(bad.id)).status is Status.ROLLED_BACK
    newest = (await store.deployments.page()).deployments
    assert [each.id for each in newest if each.started_at >= NOON] == [seen.id]


async def test_an_approval_that_is_older_than_an_hour_begins_nothing(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(), await failed(store)
    await acting(target, level=3).decide(bad.id)
    (action,) = await store.actions.search()
    await acting(target, level=3, now=NOON + 120 * MINUTE).approve(action.id, by="ada")
    await acting(target, level=3, now=NOON + 181 * MINUTE).work()  # as after an outage of the exporter
    (action,) = await store.actions.search()
    assert (action.state, target.calls) == (ActionState.SKIPPED, 0)
    assert action.trail[-1].reason == "the approval is older than an hour"


async def test_an_approval_is_carried_out_however_old_the_verdict(
    store: SQLiteStore, acting: Callable[..., Actions]
) -> None:
    target, bad = Target(), await failed(store)
    await acting(target, level=3).decide(bad.id)
    (action,) = await store.actions.search()
    late = acting(target, level=3, now=NOON + 120 * MINUTE)
    await late.approve(action.id, by="ada")
    await late.work()
    assert target.calls == 1
