"""Many who ask at once are answered by one decision, and nothing is kept that a change has overtaken."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from afdp_exporter.automation.gatekeeper import Gatekeeper
from afdp_exporter.errors import NotFound
from afdp_exporter.gate.settings import Enforcement, GateSettings
from afdp_exporter.model import CalendarEntry, CalendarEntryKind, GateVerdict, Look, LookState, Outcome, Status
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store import Amendment
from afdp_exporter.store.sqlite import SQLiteStore
from gated import MINUTE, NOON, deployment, impact, levels_of, reader_of
from remembering import remember


@dataclass
class SlowLooks:
    """The looks of a store, which come when they are let; they are the last that a decision reads."""

    looks: Any
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    let: asyncio.Event = field(default_factory=asyncio.Event)
    reads: int = 0

    async def of_deployment(self, deployment_id: str) -> list[Look]:
        self.reads += 1
        self.asked.set()
        await self.let.wait()
        found: list[Look] = await self.looks.of_deployment(deployment_id)
        return found


@pytest.fixture
def slow(store: SQLiteStore) -> SlowLooks:
    return SlowLooks(store.looks)


@pytest.fixture
def gatekeeper(store: SQLiteStore, slow: SlowLooks) -> Gatekeeper:
    seen: Any = SimpleNamespace(
        deployments=store.deployments, decisions=store.decisions, rollouts=store.rollouts,
        results=store.results, history=store.history,
        looks=slow,
    )  # fmt: skip
    return Gatekeeper(
        store=seen, planner=Planner(reader_of(store)), levels=levels_of(store),
        plans=Plans, settings=lambda _: GateSettings(mode=Enforcement.ENFORCED), clock=lambda: NOON,
    )  # fmt: skip


async def test_many_who_ask_at_once_are_answered_by_one_decision(
    store: SQLiteStore, slow: SlowLooks, gatekeeper: Gatekeeper
) -> None:
    await remember(store, deployment(), impact(Outcome.SUCCESS))
    question = await gatekeeper.of("d1")
    asking = [asyncio.create_task(gatekeeper.ask(question)) for _ in range(20)]
    await slow.asked.wait()
    asking[0].cancel()  # who asked first has gone
    slow.let.set()
    decisions = await asyncio.gather(*asking[1:])
    assert {each.verdict for each in decisions} == {GateVerdict.ALLOW}
    assert all(each is decisions[0] for each in decisions)
    assert slow.reads == 1


async def test_what_was_decided_before_a_change_is_not_kept_behind_it(
    store: SQLiteStore, slow: SlowLooks, gatekeeper: Gatekeeper
) -> None:
    await remember(store, deployment(), impact(Outcome.SUCCESS))
    question = await gatekeeper.of("d1")
    early = asyncio.create_task(gatekeeper.ask(question))
    await slow.asked.wait()
    look = Look(deployment_id="d1", after=timedelta(minutes=18), due_at=NOON)
    await store.deployments.amend("d1", lambda known: Amendment(deployment=known, looks=(look,)))
    later = replace(impact(Outcome.FAILURE), measured_at=NOON)
    await store.looks.finish(replace(look, state=LookState.DONE, done_at=NOON, outcome=later.outcome), later)
    gatekeeper.changed("checkout")
    slow.let.set()
    assert (await early).verdict is GateVerdict.ALLOW
    assert (await gatekeeper.ask(question)).verdict is GateVerdict.ROLLBACK


async def test_an_unknown_deployment_is_one_to_all_who_ask_and_known_once_it_is_there(
    store: SQLiteStore, slow: SlowLooks, gatekeeper: Gatekeeper
) -> None:
    slow.let.set()
    with pytest.raises(NotFound):
        await gatekeeper.of("d1")
    await remember(store, deployment(), impact(Outcome.SUCCESS))
    assert (await gatekeeper.ask(await gatekeeper.of("d1"))).verdict is GateVerdict.ALLOW


@dataclass
class Polled:
    """A gatekeeper by a clock of the test, and one that remembers nothing."""

    store: SQLiteStore
    slow: SlowLooks
    plans: Plans = field(default_factory=Plans)
    now: datetime = NOON

    def made(self) -> Gatekeeper:
        seen: Any = SimpleNamespace(
            deployments=self.store.deployments, decisions=self.store.decisions,
            rollouts=self.store.rollouts, results=self.store.results,
            history=self.store.history, looks=self.slow,
        )  # fmt: skip
        return Gatekeeper(
            store=seen, planner=Planner(reader_of(self.store)),
            levels=levels_of(self.store), plans=lambda: self.plans,
            settings=lambda _: GateSettings(mode=Enforcement.ENFORCED), clock=lambda: self.now,
        )  # fmt: skip


@pytest.fixture
def polled(store: SQLiteStore, slow: SlowLooks) -> Polled:
    slow.let.set()
    return Polled(store, slow)


async def test_whoever_polls_each_minute_is_answered_without_a_decision_while_nothing_changes(polled: Polled) -> None:
    await remember(polled.store, deployment(), impact(Outcome.SUCCESS))
    gatekeeper = polled.made()
    question = await gatekeeper.of("d1")
    for minutes in range(12):
        polled.now = NOON + minutes * MINUTE
        decision = await gatekeeper.ask(question)
        assert (decision.verdict, decision.valid_until) == (GateVerdict.ALLOW, polled.now + MINUTE)
        await gatekeeper.keep(decision, "api")
    assert polled.slow.reads == 1
    assert len(await polled.store.decisions.search(since=NOON - MINUTE)) == 1
    polled.now += 10 * MINUTE  # a quarter of an hour after it was decided
    await gatekeeper.ask(question)
    assert polled.slow.reads == 2


async def test_what_another_service_does_matters_to_who_is_harmed_alone(polled: Polled) -> None:
    await remember(polled.store, deployment(), impact(Outcome.SUCCESS))
    await remember(polled.store, deployment("d2", service="cart"), impact(Outcome.FAILURE, deployment_id="d2"))
    gatekeeper = polled.made()
    questions = [await gatekeeper.of(each) for each in ("d1", "d2")]
    for _ in range(2):
        for question in questions:
            await gatekeeper.ask(question)
        gatekeeper.changed("search")
    assert polled.slow.reads == 3


async def test_an_answer_ends_where_a_freeze_begins_or_ends_and_when_a_check_is_due(polled: Polled) -> None:
    running = deployment(status=Status.STARTED, finished_at=None)
    await remember(polled.store, running, impact(Outcome.SUCCESS))
    freeze = CalendarEntry(name="sale", kind=CalendarEntryKind.FREEZE, start=NOON + 5 * MINUTE, end=NOON + 8 * MINUTE)
    polled.plans = Plans(occasions=(freeze,))
    gatekeeper = polled.made()
    question = await gatekeeper.of("d1")
    verdicts = []
    for minutes in range(10):
        polled.now = NOON + minutes * MINUTE
        verdicts.append((await gatekeeper.ask(question)).verdict)
    assert [verdict is GateVerdict.HOLD for verdict in verdicts] == [False] * 5 + [True] * 3 + [False] * 2
    assert polled.slow.reads == 3

    look = Look(deployment_id="d1", after=timedelta(hours=1), due_at=polled.now + 4 * MINUTE)
    await polled.store.deployments.amend("d1", lambda known: Amendment(deployment=known, looks=(look,)))
    gatekeeper.changed("checkout")
    for _ in range(7):
        await gatekeeper.ask(question)
        polled.now += MINUTE
    assert polled.slow.reads == 3 + 1 + 3  # once while it is ahead, and each minute once it is due


async def test_what_is_remembered_is_what_would_be_decided(polled: Polled) -> None:
    """Whatever happens, and however often it is asked meanwhile."""
    chance = np.random.default_rng(16)
    services = ("checkout", "cart")
    for place, service in enumerate(services):
        each = deployment(f"d{place}", service=service)
        await remember(polled.store, each, impact(Outcome.SUCCESS, deployment_id=each.id))
    remembering = polled.made()
    questions = [await remembering.of(f"d{place}") for place in range(len(services))]
    for number in range(60):
        polled.now += int(chance.integers(0, 180)) * timedelta(seconds=1)
        if chance.random() < 0.3:
            place = int(chance.integers(len(services)))
            look = Look(deployment_id=f"d{place}", after=timedelta(hours=2, seconds=number), due_at=polled.now)
            await polled.store.deployments.amend(
                look.deployment_id, lambda known, look=look: Amendment(deployment=known, looks=(look,))
            )
            outcome = (Outcome.SUCCESS, Outcome.FAILURE, Outcome.DEGRADATION)[int(chance.integers(3))]
            found = replace(impact(outcome, deployment_id=look.deployment_id), measured_at=polled.now)
            done = replace(look, state=LookState.DONE, done_at=polled.now, outcome=outcome)
            await polled.store.looks.finish(done, found)
            remembering.changed(services[place])
        if chance.random() < 0.1:
            begin = polled.now + int(chance.integers(0, 300)) * timedelta(seconds=1)
            entry = CalendarEntry(name="freeze", kind=CalendarEntryKind.FREEZE, start=begin, end=begin + 4 * MINUTE)
            polled.plans = Plans(occasions=(entry,))
            remembering.changed()
        for question in questions:
            known, anew = await remembering.ask(question), await polled.made().ask(question)
            assert (known.verdict, known.reasons, known.matched_failures) == (
                anew.verdict, anew.reasons, anew.matched_failures
            )  # fmt: skip
