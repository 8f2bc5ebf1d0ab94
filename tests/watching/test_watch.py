"""Due work is a row in the store: taken once, answered once, and never lost."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.errors import AnalysisError, SourceUnavailable
from afdp_exporter.jobs import Kind
from afdp_exporter.jobs.runner import Runner
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Impact,
    Layer,
    Look,
    LookState,
    Outcome,
    Rival,
    Shift,
    ShiftState,
    Status,
    Worse,
)
from afdp_exporter.store import Amendment
from afdp_exporter.store.follow_ups import CHECK
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.analysis import AnalysisResult, Missing
from afdp_exporter.watching.watch import Analyse, AnalysisWorker, Schedule, next_while_active, schedule_looks
from looking import claim_looks, next_look_at

START = datetime(2026, 11, 2, 14, tzinfo=UTC)
HOUR = timedelta(hours=1)
SCHEDULE = Schedule(looks=(timedelta(minutes=2), timedelta(minutes=10)))


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


class Notes:
    """What the watcher reported."""

    def __init__(self) -> None:
        self.verdicts: list[str] = []

    def looked(self, deployment_id: str, verdict: str, seconds: float) -> None:
        assert seconds >= 0
        self.verdicts.append(verdict)


def deployment(**changes: object) -> Deployment:
    known: dict[str, object] = {"id": "d1", "service": "api", "environment": "production", "started_at": START}
    return Deployment(**(known | {"received_at": START} | changes))  # type: ignore[arg-type]


def impact(look: Look, at: datetime) -> Impact:
    shift = Shift(metric="m", layer=Layer.USER, verdict=Attribution.NO_EFFECT, reason="nothing moved")
    return Impact(
        deployment_id=look.deployment_id,
        measured_at=at,
        shifts=(shift,),
        outcome=Outcome.SUCCESS,
        outcome_reason="nothing moved",
    )


class Analysis:
    """Answers looks, after failing as often as it is asked to."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.asked: list[timedelta] = []

    async def __call__(self, look: Look, now: datetime) -> AnalysisResult:
        self.asked.append(look.after)
        if self.failures:
            raise self.failures.pop(0)
        return AnalysisResult(impact=impact(look, now), courses=(), account={"points": 3})


async def follow_up(look: Look, now: datetime) -> tuple[Look, ...]:
    """Whatever was deployed as `rolled-back` is looked at again."""
    return (replace(look, deployment_id="rolled-back", due_at=now),) if look.deployment_id == "rollback" else ()


def watcher(store: SQLiteStore, analysis: Analyse, clock: Clock, notes: Notes) -> Runner:
    answering = AnalysisWorker(
        store=store, analyse=analysis, schedule=lambda: SCHEDULE, observer=notes, clock=clock, follow_up=follow_up
    )
    return Runner(store, Kind(name=CHECK, run=answering.answer, slots=lambda: 2), clock=clock)


async def test_a_look_is_answered_when_its_time_has_come_and_only_once(store: SQLiteStore) -> None:
    clock, notes, analysis = Clock(), Notes(), Analysis()
    recorded = deployment()
    await store.deployments.record(recorded, schedule_looks(recorded, SCHEDULE, START))
    watching = watcher(store, analysis, clock, notes)
    assert not await watching.drain()
    clock.now += timedelta(minutes=2)
    assert await watching.drain()
    assert not await watching.drain()
    clock.now += timedelta(hours=1)
    assert await watching.drain()
    assert analysis.asked == [timedelta(minutes=2), timedelta(minutes=10)]
    assert notes.verdicts == ["no_effect", "no_effect"]
    assert {look.state for look in await store.looks.of_deployment("d1")} == {LookState.DONE}
    assert (await store.looks.of_deployment("d1"))[0].account == {"points": 3}
    kept = await store.results.impact("d1")
    assert kept is not None
    assert kept.measured_at == clock.now


async def test_a_source_that_is_away_for_a_day_leaves_the_look_waiting_and_never_without_effect(
    store: SQLiteStore,
) -> None:
    clock, notes = Clock(), Notes()
    analysis = Analysis(*(SourceUnavailable("connection", "no connection") for _ in range(20)))
    recorded = deployment()
    await store.deployments.record(recorded, schedule_looks(recorded, Schedule(looks=(timedelta(minutes=2),)), START))
    watching = watcher(store, analysis, clock, notes)
    clock.now += timedelta(minutes=2)
    while analysis.failures:
        assert await watching.drain()
        assert await store.results.impact("d1") is None
        (look,) = await store.looks.of_deployment("d1")
        assert look.state is LookState.WAITING
        waits_until = await next_look_at(store)
        assert waits_until is not None
        assert timedelta(0) < waits_until - clock.now <= timedelta(minutes=5)
        clock.now = waits_until
    assert await watching.drain()
    assert notes.verdicts == ["no_effect"]
    assert (await store.looks.of_deployment("d1"))[0].state is LookState.DONE


@pytest.mark.parametrize(
    "failure", [None, SourceUnavailable("connection", "no connection"), AnalysisError("took longer than 30 s")]
)
async def test_a_look_that_a_clock_takes_too_early_waits_until_it_is_due_once_that_is_set_back(
    store: SQLiteStore, failure: Exception | None
) -> None:
    clock, notes, recorded = Clock(), Notes(), deployment()
    analysis = Analysis(*[failure] * 3 if failure is not None else [])

    async def set_back(look: Look, now: datetime) -> AnalysisResult:
        clock.now = START + timedelta(seconds=30)
        return await analysis(look, now)

    await store.deployments.record(recorded, schedule_looks(recorded, Schedule(looks=(timedelta(minutes=2),)), START))
    watching = watcher(store, set_back, clock, notes)
    for _ in range(3):
        clock.now += timedelta(minutes=2)
        assert await watching.drain()
        assert await next_look_at(store) == START + timedelta(minutes=2)
    watching, clock.now = watcher(store, analysis, clock, notes), START + timedelta(minutes=2)
    assert await watching.drain()
    assert notes.verdicts == ["no_effect"]


async def test_an_answer_is_of_the_time_at_which_its_look_was_due_wherever_the_clock_is_set_meanwhile(
    store: SQLiteStore,
) -> None:
    clock, recorded = Clock(), deployment()

    async def set_back(look: Look, now: datetime) -> tuple[Look, ...]:
        clock.now = START
        return ()

    await store.deployments.record(recorded, schedule_looks(recorded, Schedule(looks=(timedelta(minutes=2),)), START))
    answering = AnalysisWorker(
        store=store, analyse=Analysis(), schedule=lambda: SCHEDULE, observer=Notes(), clock=clock, follow_up=set_back
    )
    clock.now += timedelta(minutes=3)
    assert await Runner(store, Kind(name=CHECK, run=answering.answer), clock=clock).drain()
    (look,) = await store.looks.of_deployment("d1")
    assert (look.state, look.done_at) == (LookState.DONE, START + timedelta(minutes=3))


async def test_a_look_that_fails_again_and_again_is_given_up_with_its_reason(store: SQLiteStore) -> None:
    clock, notes = Clock(), Notes()
    analysis = Analysis(*(AnalysisError("took longer than 30 s") for _ in range(9)))
    recorded = deployment()
    await store.deployments.record(recorded, schedule_looks(recorded, Schedule(looks=(timedelta(minutes=2),)), START))
    watching = watcher(store, analysis, clock, notes)
    clock.now += timedelta(minutes=2)
    while await watching.drain():
        clock.now += timedelta(minutes=1)
    (look,) = await store.looks.of_deployment("d1")
    assert (look.state, look.reason) == (LookState.FAILED, "took longer than 30 s")
    assert len(analysis.asked) == 3
    assert notes.verdicts == ["failed"]
    assert await store.results.impact("d1") is None


async def test_an_unforeseen_error_in_one_look_does_not_stop_the_others(store: SQLiteStore) -> None:
    clock, notes, analysis = Clock(), Notes(), Analysis(KeyError("oops"))
    for name in ("d1", "d2"):
        recorded = deployment(id=name)
        await store.deployments.record(
            recorded, schedule_looks(recorded, Schedule(looks=(timedelta(minutes=2),)), START)
        )
    clock.now += timedelta(minutes=2)
    assert await watcher(store, analysis, clock, notes).drain()
    states = {(await store.looks.of_deployment(name))[0].state for name in ("d1", "d2")}
    assert states == {LookState.DONE, LookState.WAITING}


async def test_what_was_under_way_at_the_end_is_due_at_the_next_start(tmp_path: Path) -> None:
    first = await SQLiteStore.open(tmp_path / "afdp.db")
    recorded = deployment()
    await first.deployments.record(recorded, schedule_looks(recorded, SCHEDULE, START))
    taken = await claim_looks(first, START + timedelta(minutes=2), limit=4, lease=timedelta(minutes=5))
    assert len(taken) == 1
    await first.close()
    second = await SQLiteStore.open(tmp_path / "afdp.db")
    clock, notes, analysis = Clock(), Notes(), Analysis()
    clock.now += timedelta(minutes=2)
    assert await watcher(second, analysis, clock, notes).drain()
    assert notes.verdicts == ["no_effect"]
    await second.close()


async def test_a_slow_look_holds_up_no_other(store: SQLiteStore) -> None:
    clock, notes, go_on, answered = Clock(), Notes(), asyncio.Event(), list[str]()
    for name in ("slow", *(f"d{number}" for number in range(5))):
        await store.deployments.record(
            deployment(id=name), schedule_looks(deployment(id=name), Schedule(looks=(HOUR,)), START)
        )
    clock.now += HOUR

    async def analyse(look: Look, now: datetime) -> AnalysisResult:
        if look.deployment_id == "slow":
            await go_on.wait()
        answered.append(look.deployment_id)
        if len(answered) == 5:
            go_on.set()
        return AnalysisResult(impact=impact(look, now), courses=(), account={})

    async with asyncio.timeout(60):
        assert await watcher(store, analyse, clock, notes).drain()
    assert answered[-1] == "slow"
    assert len(answered) == 6


async def test_what_an_answer_calls_for_is_planned_with_it_once_however_often_it_failed(store: SQLiteStore) -> None:
    clock, notes, analysis = Clock(), Notes(), Analysis(KeyError("oops"), KeyError("oops"))
    for name in ("rolled-back", "rollback"):
        await store.deployments.record(deployment(id=name), ())
    await store.deployments.amend(
        "rollback", lambda d: Amendment(deployment=d, looks=schedule_looks(d, Schedule(looks=(HOUR,)), START))
    )
    clock.now += HOUR
    watching = watcher(store, analysis, clock, notes)
    while await watching.drain():
        planned = await store.looks.of_deployment("rolled-back")
        clock.now += timedelta(minutes=1)
    assert len(planned) == 1
    assert len(await store.looks.of_deployment("rolled-back")) == 1


class Gaps:
    """Answers looks of which one metric is missing, for as long as it is asked to."""

    def __init__(self, missing: int, *, away: bool) -> None:
        self.missing, self.away, self.asked = missing, away, 0

    async def __call__(self, look: Look, now: datetime) -> AnalysisResult:
        self.asked += 1
        found = impact(look, now)
        if self.asked > self.missing:
            return AnalysisResult(impact=found, courses=(), account={})
        unknown = Shift(metric="n", layer=Layer.USER, verdict=Attribution.INCONCLUSIVE, reason="no answer within 30 s")
        missing = (Missing("n", "no answer within 30 s", away=self.away),)
        return AnalysisResult(
            impact=replace(found, shifts=(*found.shifts, unknown)), courses=(), account={}, missing=missing
        )


async def waited_for(store: SQLiteStore, gaps: Gaps, clock: Clock, notes: Notes) -> Look:
    """Works as often as the look wants to be tried again."""
    watching = watcher(store, gaps, clock, notes)
    while await watching.drain():
        (look,) = await store.looks.of_deployment("d1")
        waits_until = await next_look_at(store)
        if waits_until is None:
            return look
        assert (look.state, look.reason) == (LookState.WAITING, "n: no answer within 30 s")
        assert (known := await store.results.impact("d1")) is not None
        assert [shift.metric for shift in known.shifts] == ["m", "n"]  # what is known is not held up
        clock.now = waits_until
    raise AssertionError("a look that waits is due again")


@pytest.mark.parametrize("away", [False, True], ids=["a failing query", "a source that is away"])
async def test_a_metric_without_answer_is_asked_again_while_the_others_are_known(
    store: SQLiteStore, away: bool
) -> None:
    clock, notes, gaps = Clock(), Notes(), Gaps(2, away=away)
    await store.deployments.record(
        deployment(), schedule_looks(deployment(), Schedule(looks=(timedelta(minutes=2),)), START)
    )
    clock.now += timedelta(minutes=2)
    assert (await waited_for(store, gaps, clock, notes)).state is LookState.DONE
    assert (gaps.asked, notes.verdicts) == (3, ["no_effect"])
    known = await store.results.impact("d1")
    assert known is not None
    assert [shift.metric for shift in known.shifts] == ["m"]


async def test_a_failing_query_is_given_up_after_a_few_tries_and_a_source_that_is_away_is_not(
    store: SQLiteStore,
) -> None:
    clock, notes, gaps = Clock(), Notes(), Gaps(1000, away=False)
    await store.deployments.record(
        deployment(), schedule_looks(deployment(), Schedule(looks=(timedelta(minutes=2),)), START)
    )
    clock.now += timedelta(minutes=2)
    look = await waited_for(store, gaps, clock, notes)
    assert (look.state, gaps.asked) == (LookState.DONE, 4)
    assert clock.now - look.due_at < timedelta(minutes=2)
    gaps = Gaps(20, away=True)
    recorded = deployment(id="d2")
    await store.deployments.record(recorded, schedule_looks(recorded, Schedule(looks=(timedelta(minutes=2),)), START))
    watching = watcher(store, gaps, clock, notes)
    while await watching.drain():
        clock.now = await next_look_at(store) or clock.now
    assert gaps.asked == 21


async def test_an_answer_that_knows_less_than_the_last_is_not_kept_while_the_look_waits(store: SQLiteStore) -> None:
    clock, notes = Clock(), Notes()
    await store.deployments.record(deployment(), schedule_looks(deployment(), SCHEDULE, START))
    clock.now += timedelta(minutes=2)

    async def both(look: Look, now: datetime) -> AnalysisResult:
        known = impact(look, now)
        shifts = (*known.shifts, replace(known.shifts[0], metric="n", verdict=Attribution.ATTRIBUTED))
        return AnalysisResult(impact=replace(known, shifts=shifts), courses=(), account={})

    assert await watcher(store, both, clock, notes).drain()
    clock.now += timedelta(minutes=8)
    assert await watcher(store, Gaps(1, away=True), clock, notes).drain()
    known = await store.results.impact("d1")
    assert known is not None
    assert known.shifts[1].verdict is Attribution.ATTRIBUTED


@given(age=st.integers(0, 3000), minutes=st.sets(st.integers(1, 1440), min_size=1, max_size=8))
def test_of_looks_in_the_past_only_the_latest_is_made_and_every_coming_one_is(age: int, minutes: set[int]) -> None:
    now = START + timedelta(minutes=age)
    looks = schedule_looks(deployment(), Schedule(looks=tuple(timedelta(minutes=each) for each in minutes)), now)
    past = [look for look in looks if look.due_at <= now]
    assert [look.after for look in past] == [timedelta(minutes=each) for each in sorted(minutes) if each <= age][-1:]
    assert len(looks) - len(past) == sum(each > age for each in minutes)


def test_a_planned_deployment_has_no_looks_yet() -> None:
    assert schedule_looks(deployment(status=Status.PLANNED), SCHEDULE, START) == ()


def test_looks_count_from_the_end_of_the_rollout() -> None:
    looks = schedule_looks(deployment(finished_at=START + timedelta(minutes=20)), SCHEDULE, START)
    assert looks[0].due_at == START + timedelta(minutes=22)


def harm(look: Look, at: datetime, state: ShiftState) -> Impact:
    """Latency that got worse, in a state."""
    shift = Shift(
        metric="latency_seconds",
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED,
        reason="it moved",
        worse=Worse.UP,
        change=0.1,
        state=state,
        as_of=at,
    )
    return replace(impact(look, at), shifts=(shift,), outcome=Outcome.DEGRADATION)


class Harmful(Analysis):
    """Finds harm that goes on until it ends."""

    ends: datetime = START + timedelta(days=99)

    async def __call__(self, look: Look, now: datetime) -> AnalysisResult:
        self.asked.append(look.after)
        state = ShiftState.ACTIVE if now < self.ends else ShiftState.RECOVERED
        return AnalysisResult(impact=harm(look, now, state), courses=(), account={})


async def every_look(store: SQLiteStore, analysis: Analysis, clock: Clock, until: datetime) -> list[timedelta]:
    """Let time pass from look to look, each with a watcher of its own; how long after the deployment each was."""
    while True:
        while await watcher(store, analysis, clock, Notes()).drain():
            pass
        due = await next_look_at(store)
        if due is None or due > until:
            return analysis.asked
        clock.now = due


async def test_harm_is_looked_at_hourly_until_it_is_over(store: SQLiteStore) -> None:
    recorded, analysis = deployment(), Harmful()
    analysis.ends = START + timedelta(hours=3, minutes=30)
    await store.deployments.record(recorded, schedule_looks(recorded, SCHEDULE, START))
    asked = await every_look(store, analysis, Clock(), START + timedelta(days=30))
    minutes = [each / timedelta(minutes=1) for each in asked]
    assert minutes == [2, 10, 70, 130, 190, 250]


async def test_harm_that_never_ends_is_looked_at_for_a_week(store: SQLiteStore) -> None:
    recorded, analysis = deployment(), Harmful()
    await store.deployments.record(recorded, schedule_looks(recorded, SCHEDULE, START))
    asked = await every_look(store, analysis, Clock(), START + timedelta(days=30))
    assert asked[-1] == timedelta(days=7)
    assert max(later - sooner for sooner, later in pairwise(asked)) == timedelta(hours=1)


async def test_looks_that_were_missed_while_harm_went_on_are_not_made_up_for(store: SQLiteStore) -> None:
    recorded, analysis, clock = deployment(), Harmful(), Clock()
    await store.deployments.record(recorded, schedule_looks(recorded, SCHEDULE, START))
    await every_look(store, analysis, clock, START + timedelta(hours=1))
    clock.now = START + timedelta(days=2, hours=5)  # nothing ran meanwhile
    asked = await every_look(store, analysis, clock, clock.now + timedelta(minutes=5))
    assert [each / timedelta(hours=1) for each in asked[-3:]] == pytest.approx([10 / 60, 70 / 60, 52 + 10 / 60])


def test_no_look_comes_between_planned_ones_that_come_as_soon() -> None:
    schedule = Schedule(looks=(timedelta(minutes=30), timedelta(minutes=60), timedelta(hours=4)))
    asked = Look(deployment_id="d1", after=timedelta(minutes=30), due_at=START)
    active = harm(asked, START, ShiftState.ACTIVE)
    assert next_while_active(asked, active, schedule, START) == ()
    asked = replace(asked, after=timedelta(minutes=60))
    (again,) = next_while_active(asked, active, schedule, START)
    assert (again.after, again.due_at) == (timedelta(hours=2), START + timedelta(hours=1))
    assert next_while_active(asked, harm(asked, START, ShiftState.RECOVERED), schedule, START) == ()
    assert next_while_active(asked, impact(asked, START), schedule, START) == ()


def test_the_first_look_waits_until_series_in_such_steps_can_be_judged() -> None:
    looks = (timedelta(minutes=2), timedelta(minutes=5), timedelta(hours=1))
    in_minutes = Schedule(looks=looks).at_steps_of(timedelta(minutes=1)).looks
    assert in_minutes == (timedelta(minutes=4), timedelta(minutes=5), timedelta(hours=1))
    assert Schedule(looks=looks).at_steps_of(timedelta(seconds=15)).looks == looks
    in_fives = Schedule(looks=looks).at_steps_of(timedelta(minutes=5)).looks
    assert in_fives == (timedelta(minutes=20), timedelta(hours=1))


async def test_the_report_of_a_rival_is_brought_in_line_once_and_only_once(store: SQLiteStore) -> None:
    clock, notes, looked = Clock(), Notes(), []
    first, second = deployment(), deployment(id="d2", service="search", started_at=START + timedelta(minutes=4))
    await store.deployments.record(first, schedule_looks(first, SCHEDULE, START))
    await store.deployments.record(second, schedule_looks(second, SCHEDULE, START))
    by_id = {"d1": first, "d2": second}

    async def contested(look: Look, now: datetime) -> AnalysisResult:
        looked.append((look.deployment_id, look.due_at))
        other = by_id["d2" if look.deployment_id == "d1" else "d1"]
        rival = Rival(deployment_id=other.id, service=other.service, started_at=other.started_at, share_ratio=0.5)
        found = replace(impact(look, min(now, look.due_at)), rivals=(rival,) if now >= second.started_at else ())
        return AnalysisResult(impact=found, courses=(), account={})

    watching = watcher(store, contested, clock, notes)
    for minutes in (2, 6, 10, 14, 15):
        clock.now = START + timedelta(minutes=minutes)
        while await watching.drain():
            pass
    seen = {name: sorted({(at - START) / timedelta(minutes=1) for one, at in looked if one == name}) for name in by_id}
    assert seen["d1"] == [2, 6, 10, 14]
    assert seen["d2"] == [6, 10, 14]
    assert len(looked) == len(set(looked))
    reports = await store.results.impacts(("d1", "d2"))
    assert reports["d1"].measured_at == reports["d2"].measured_at
