"""What holds were worth and what they cost, and what a person's later word corrects."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from afdp_exporter.automation.books import Books
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import (
    Action,
    ActionState,
    CanaryComparison,
    CanaryVerdict,
    CarryOver,
    Deployment,
    Estimate,
    Extrapolation,
    GateMode,
    GateVerdict,
    Impact,
    Look,
    Outcome,
    Phase,
    Rollout,
    ShiftState,
    Status,
    TrailEntry,
)
from afdp_exporter.store import Amendment
from afdp_exporter.store.memory import MemoryStore
from gated import MINUTE, NOON, deployment, impact, levels_of
from remembering import remember
from stored import decision

HOUR = timedelta(hours=1)
BEGAN, ENDED = NOON - 20 * MINUTE, NOON - 8 * MINUTE


@dataclass
class Held:
    """A canary at 5 % of the traffic that a pipeline kept waiting for ten minutes, and what is booked of it."""

    store: MemoryStore = field(default_factory=MemoryStore)
    told: list[Action] = field(default_factory=list)

    def books(self, **settings: Any) -> Books:  # noqa: ANN401
        known = GateSettings(**{"delay_cost_per_hour": 30.0, "repair_time": HOUR, **settings})
        return Books(
            store=self.store, levels=levels_of(self.store), settings=lambda _: known, clock=lambda: NOON,
            booked=self.told.append,
        )  # fmt: skip

    async def lived(
        self,
        outcome: Outcome = Outcome.FAILURE,
        *,
        rollout: bool = True,
        over_at: Any = ENDED,  # noqa: ANN401
        **words: Any,  # noqa: ANN401
    ) -> None:
        usual = {"status": Status.ROLLED_BACK, "traffic_ratio": 0.05, "started_at": BEGAN, "finished_at": ENDED}
        canary = deployment(**{**usual, **words})
        found = impact(outcome, cost=20.0 if outcome is Outcome.FAILURE else None)
        if outcome is Outcome.FAILURE:
            state = ShiftState.ACTIVE if over_at is None else ShiftState.RECOVERED
            back = replace(found.shifts[0], state=state, recovered_at=over_at)
            found = replace(found, shifts=(back,))
        await remember(self.store, canary, found)
        if rollout:
            await self.store.rollouts.keep("checkout", compared())

    async def decided(self, verdict: GateVerdict, minute: int, *, caller: str = "argo", **words: Any) -> None:  # noqa: ANN401
        said = replace(
            decision(BEGAN + minute * MINUTE, verdict, deployment_id="d1"), phase=Phase.CANARY, mode=GateMode.ENFORCED
        )
        await self.store.decisions.keep(replace(said, **words), caller)

    async def booked(self, **settings: Any) -> Action | None:  # noqa: ANN401
        await self.books(**settings).work()
        holds = [each for each in await self.store.actions.search() if each.kind == "hold"]
        return holds[0] if holds else None


def compared(verdict: CanaryVerdict = CanaryVerdict.WORSE) -> Rollout:
    """A canary that would cost 400 dollars an hour at full traffic, 300 at least."""
    factor = CarryOver(factor=Estimate(low=0.8, median=1.0, high=1.2), n=3)
    return Rollout(
        deployment_id="d1", as_of=NOON - 9 * MINUTE, traffic_ratio=0.05,
        comparisons=(CanaryComparison(metric="latency_seconds", verdict=verdict, reason="", minutes=10),),
        extrapolation=Extrapolation(
            traffic_ratio=0.05, currency="USD", carry_over=factor,
            cost_per_hour=Estimate(low=300.0, median=400.0, high=520.0),
        ),
    )  # fmt: skip


@pytest.fixture
def held() -> Held:
    return Held()


async def test_a_hold_after_which_a_harmful_version_never_went_on_is_booked_once_at_its_lower_point(held: Held) -> None:
    await held.lived()
    await held.decided(GateVerdict.HOLD, 2)
    found = await held.booked()
    assert found is not None
    # harm since minute 1, twelve minutes in all: 49 of an hour are spared to 95 % of the traffic
    assert found.prevented == pytest.approx(300.0 * 49 / 60 * 0.95)
    assert found.spent == pytest.approx(30.0 * 10 / 60)
    assert (found.state, found.currency, found.begun) == (ActionState.VERIFIED, "USD", False)
    assert found.arithmetic == (
        "$400 an hour [$300, $520] at full traffic, of which the lower point, x 49 minutes not suffered (assumed, "
        "since no earlier failure says: 1 hour; here 11 minutes) at 95 % of the traffic not reached = at least $233, "
        "less $5 for a wait of 10 minutes = $228 net"
    )
    assert await held.booked() == found
    assert [each.id for each in held.told] == [found.id]


async def test_without_a_comparison_the_share_that_was_measured_is_carried_to_the_rest(held: Held) -> None:
    await held.lived(rollout=False)
    await held.decided(GateVerdict.HOLD, 2)
    found = await held.booked()
    assert found is not None
    assert found.prevented == pytest.approx(16.0 * 49 / 60 * 19)


async def test_a_hold_of_what_did_no_harm_is_a_cost_and_no_more(held: Held) -> None:
    await held.lived(Outcome.SUCCESS, status=Status.SUCCEEDED)
    await held.decided(GateVerdict.HOLD, 2)
    await held.decided(GateVerdict.ALLOW, 8)
    found = await held.booked()
    assert found is not None
    assert (found.state, found.prevented) == (ActionState.NOT_EFFECTIVE, None)
    assert found.spent == pytest.approx(3.0)
    assert found.arithmetic == "$3 for a wait of 6 minutes"
    assert found.trail[-1].reason == "it waited, and did no harm"


@pytest.mark.parametrize(
    ("lived", "then"),
    [
        ({"status": Status.SUCCEEDED}, None),  # it went on all the same
        ({}, GateVerdict.ALLOW),  # it was let go, and then taken back
        ({"over_at": ENDED - MINUTE}, None),  # its metrics were back by themselves
        ({"over_at": None}, None),  # they are not back without it either
        ({"traffic_ratio": 1.0}, None),  # nothing was left to reach
        ({"traffic_ratio": None}, None),
        ({"labelled_outcome": Outcome.SUCCESS}, None),
    ],
)
async def test_nothing_is_spared_where_the_hold_did_not_keep_harm_from_the_rest(
    held: Held, lived: dict[str, Any], then: GateVerdict | None
) -> None:
    await held.lived(**lived)
    await held.decided(GateVerdict.HOLD, 2)
    if then is not None:
        await held.decided(then, 5)
    found = await held.booked()
    assert found is not None
    assert found.prevented is None
    assert found.spent is not None
    assert found.spent > 0


async def test_what_was_taken_back_by_a_rollback_is_booked_with_that_alone(held: Held) -> None:
    await held.lived()
    await held.decided(GateVerdict.HOLD, 2)
    await held.store.actions.propose(rollback())
    found = await held.booked()
    assert found is not None
    assert found.prevented is None


@pytest.mark.parametrize(
    "words",
    [
        {"caller": "self"},  # nobody was told to wait
        {"mode": GateMode.SHADOW, "enforced_verdict": GateVerdict.ALLOW},
        {"phase": Phase.POST},
    ],
)
async def test_what_kept_nobody_waiting_is_not_booked(held: Held, words: dict[str, Any]) -> None:
    await held.lived()
    await held.decided(GateVerdict.HOLD, 2, **words)
    assert await held.booked() is None


async def test_a_hold_is_booked_after_the_last_check(held: Held) -> None:
    await held.lived()
    await held.decided(GateVerdict.HOLD, 2)
    later = Look(deployment_id="d1", after=HOUR, due_at=NOON + HOUR)
    await held.store.deployments.amend("d1", lambda known: Amendment(deployment=known, looks=(later,)))
    assert await held.booked() is None


async def test_a_held_version_that_another_one_replaced_never_went_on(held: Held) -> None:
    await held.lived(status=Status.STARTED, finished_at=None, rollout=True)
    await held.decided(GateVerdict.HOLD, 2)
    assert await held.booked() is None
    await held.store.deployments.record(deployment("d2", version="v3", started_at=ENDED, finished_at=None), ())
    found = await held.booked()
    assert found is not None
    assert found.prevented == pytest.approx(300.0 * 49 / 60 * 0.95)
    assert found.trail[-1].reason == "it never went on"


async def test_a_plan_that_waited_costs_the_wait_until_it_was_deployed(held: Held) -> None:
    await held.lived(Outcome.SUCCESS, status=Status.SUCCEEDED)
    planned = {"deployment_id": None, "version": "v2", "phase": Phase.PLAN}
    await held.decided(GateVerdict.HOLD, -60, **planned)
    await held.decided(GateVerdict.ALLOW, -30, **planned)
    found = await held.booked()
    assert found is not None
    assert found.spent == pytest.approx(15.0)


async def test_how_long_harm_lasts_is_asked_of_the_service_of_its_team_and_of_all(held: Held) -> None:
    await _earlier(held.store, "search", 90, team="shop")
    await _earlier(held.store, "billing", 70)
    await held.lived(team="shop")
    await held.decided(GateVerdict.HOLD, 2)
    found = await held.booked()
    assert found is not None
    assert found.arithmetic is not None
    assert "surely the median of 1 earlier failure of its team: 1.5 hours" in found.arithmetic


async def _earlier(store: MemoryStore, service: str, minutes: int, *, number: int = 0, **words: Any) -> None:  # noqa: ANN401
    at, name = NOON - timedelta(days=3 + number), f"{service}-{number}"
    known = deployment(name, service=service, started_at=at, finished_at=at, **words)
    await remember(store, known, _suffered(name, at, at + minutes * MINUTE))


def rollback(**words: Any) -> Action:  # noqa: ANN401
    begun = TrailEntry(at=ENDED, state=ActionState.STARTED, by="afdp", reason="back to v1")
    plain = Action(
        id="rollback-d1", deployment_id="d1", service="checkout", environment="production", kind="rollback",
        executor="cluster", state=ActionState.VERIFIED, level=4, reason="it was worse", decided_at=ENDED,
        currency="USD", prevented=120.0, spent=50.0, trail=(begun,),
    )  # fmt: skip
    return replace(plain, **words)


async def test_what_a_person_calls_wrong_later_is_booked_as_a_cost_once(held: Held) -> None:
    await held.lived()
    await held.store.actions.propose(rollback())
    await held.books().work()
    assert (await held.store.actions.find("rollback-d1")).corrected is None

    def cleared(known: Deployment) -> Amendment:
        return Amendment(deployment=replace(known, labelled_outcome=Outcome.SUCCESS))

    await held.store.deployments.amend("d1", cleared)
    for _ in range(2):
        await held.books().work()
    found = await held.store.actions.find("rollback-d1")
    assert (found.corrected, found.prevented, found.state) == (120.0, 120.0, ActionState.VERIFIED)
    assert [each.corrected for each in held.told] == [120.0]


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_booked_of_many_holds_is_below_what_they_have_spared_in_truth(held: Held, seed: int) -> None:
    chance, store, truth = np.random.default_rng(seed), held.store, 0.0
    for number in range(30):
        await _earlier(store, "checkout", int(50 * np.exp(chance.normal(0, 0.4))) + 1, number=number)
    for number in range(60):
        name, cost = f"held-{number}", float(400 * np.exp(chance.normal(0, 0.5)))
        began = BEGAN - timedelta(days=2) + number * MINUTE * 40
        await remember(
            store,
            deployment(name, started_at=began, finished_at=began + 12 * MINUTE, status=Status.ROLLED_BACK,
                       traffic_ratio=0.05),
            _suffered(name, began + MINUTE, began + 12 * MINUTE),
        )  # fmt: skip
        known = cost * float(chance.normal(1.0, 0.1))
        full = compared().extrapolation
        assert full is not None
        per_hour = Estimate(low=0.8 * known, median=known, high=1.2 * known)
        await store.rollouts.keep(
            "checkout",
            replace(compared(), deployment_id=name, extrapolation=replace(full, cost_per_hour=per_hour)),
        )
        await held.decided(GateVerdict.HOLD, 2, deployment_id=name, decided_at=began + 2 * MINUTE)
        truth += cost * 0.95 * max(50 * float(np.exp(chance.normal(0, 0.4))) - 11, 0) / 60
    await held.books().work()
    booked = [each.prevented or 0.0 for each in await store.actions.search()]
    assert len(booked) == 60
    assert 0.3 * truth < sum(booked) < truth


def _suffered(name: str, since: datetime, until: datetime) -> Impact:
    found = impact(Outcome.FAILURE, deployment_id=name)
    shift = replace(found.shifts[0], onset=since, state=ShiftState.RECOVERED, recovered_at=until)
    return replace(found, shifts=(shift,), measured_at=until + HOUR)
