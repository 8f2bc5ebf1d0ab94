"""What did this deployment do? Asked of series with a known truth, and of sources that fail."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdp_exporter.compute import ComputePool
from afdp_exporter.errors import SourceError, SourceUnavailable
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Floats,
    Impact,
    Layer,
    Look,
    Metric,
    Outcome,
    Series,
    Service,
    Shift,
    Window,
    Worse,
)
from afdp_exporter.sources import Bound, Fetched
from afdp_exporter.sources._promql import SpeaksPromQL
from afdp_exporter.sources.recording import InMemorySource
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.analysis import AnalysisResult, Analyst, assess, question_of
from afdp_exporter.watching.evidence import AnalysisSettings, MetricData, MonitoringConfig
from afdp_exporter.watching.watch import Schedule, schedule_looks

STEP = timedelta(minutes=1)
START = datetime(2026, 11, 2, 14, tzinfo=UTC)
NOW = START + timedelta(hours=1)
TIMES = np.arange((START - timedelta(days=7)).timestamp(), NOW.timestamp() + 1, STEP.total_seconds())
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='latency{service="$service"}', worse=Worse.UP)


class Notes:
    """What was reported of the sources."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed: list[str] = []

    def queried(self, source: str, seconds: float) -> None:
        assert seconds >= 0
        self.answered += 1

    def query_failed(self, source: str, error: SourceError) -> None:
        self.failed.append(error.reason)


def wandering(seed: int, *, shift: float = 0.0) -> Floats:
    """A level of 100 that wanders by itself (AR(1), phi .8), with a step at the deployment."""
    draws = np.random.default_rng(seed).normal(0, 1, TIMES.size)
    wander = np.zeros(TIMES.size)
    for index in range(1, TIMES.size):
        wander[index] = 0.8 * wander[index - 1] + draws[index]
    return np.asarray(100 + wander + np.where(START.timestamp() <= TIMES, shift, 0.0))


def series(values: Floats, *, name: str = "latency", service: str = "api", warnings: tuple[str, ...] = ()) -> Series:
    return Series(metric=name, labels={"service": service}, times=TIMES, values=values, warnings=warnings)


class Asked:
    """A deployment of `api` at START, looked at an hour later."""

    def __init__(self, folder: Path, compute: ComputePool) -> None:
        self.folder, self.compute, self.notes = folder, compute, Notes()

    async def __call__(
        self,
        source: object,
        *metrics: Metric,
        services: Mapping[str, Service] | None = None,
        step: timedelta = STEP,
        **fields: object,
    ) -> tuple[Impact, Mapping[str, object]]:
        answer = await self.whole(source, *metrics, services=services, step=step, **fields)
        return answer.impact, answer.account

    async def again(
        self, source: object, *metrics: Metric, services: Mapping[str, Service]
    ) -> tuple[Impact, Mapping[str, object]]:
        other = Asked(self.folder / "again", self.compute)
        other.folder.mkdir()
        return await other(source, *metrics, services=services)

    async def whole(
        self,
        source: object,
        *metrics: Metric,
        services: Mapping[str, Service] | None = None,
        step: timedelta = STEP,
        **fields: object,
    ) -> AnalysisResult:
        store = await SQLiteStore.open(self.folder / "afdp.db")
        try:
            known: dict[str, object] = {"id": "d", "service": "api", "environment": "production", "started_at": START}
            deployment = Deployment(**(known | {"received_at": START} | fields))  # type: ignore[arg-type]
            await store.deployments.record(
                deployment, schedule_looks(deployment, Schedule(looks=(timedelta(hours=1),)), NOW)
            )
            (look,) = await store.looks.of_deployment("d")
            watched = MonitoringConfig(
                sources={"only": source},  # type: ignore[dict-item]
                metrics=metrics or (LATENCY,),
                services=services or {},
                settings=AnalysisSettings(step=step),
            )
            return await self._answer(look, watched, store)
        finally:
            await store.close()

    async def _answer(self, look: Look, watched: MonitoringConfig, store: SQLiteStore) -> AnalysisResult:
        reader = StoreReader(store, self.compute, lambda: watched.settings.deadline)
        analyst = Analyst(watched=lambda: watched, reader=reader, observer=self.notes)
        return await analyst.conclude(await analyst.measure(look, NOW))


@pytest.fixture
def ask(tmp_path: Path, compute: ComputePool) -> Asked:
    return Asked(tmp_path, compute)


def only(impact: Impact) -> Shift:
    (shift,) = impact.shifts
    return shift


async def test_the_course_that_is_kept_shows_what_was_judged(ask: Asked) -> None:
    answer = await ask.whole(InMemorySource([series(wandering(1, shift=15))]))
    (course,), shift = answer.courses, only(answer.impact)
    assert course.level is not None
    assert course.level.measured - course.level.expected == pytest.approx(shift.change)
    assert course.level.measured - course.level.low == pytest.approx(shift.high)
    assert course.start + len(course.measured) * course.step == NOW + STEP
    assert course.start + (len(course.measured) - len(course.expected)) * course.step == START
    judged = answer.account["metrics"]["latency_seconds"]["judged"]  # type: ignore[index]
    assert judged["verdict"] == "attributed"
    assert judged["step_seconds"] == 60


async def test_a_step_at_the_deployment_is_attributed_with_its_size(ask: Asked) -> None:
    impact, account = await ask(InMemorySource([series(wandering(1, shift=15))]))
    shift = only(impact)
    assert shift.verdict is Attribution.ATTRIBUTED
    assert shift.low is not None
    assert shift.high is not None
    assert shift.low <= 15 <= shift.high
    assert shift.onset is not None
    assert abs(shift.onset - START) <= STEP
    assert impact.story
    assert account["metrics"]["latency_seconds"]["points"] == TIMES.size  # type: ignore[index]
    assert ask.notes.answered == 1


async def test_a_series_that_goes_on_as_before_blames_nobody(ask: Asked) -> None:
    impact, _ = await ask(InMemorySource([series(wandering(2))]))
    assert only(impact).verdict is Attribution.NO_EFFECT


def until(values: Floats, minutes: float) -> Floats:
    """The values up to so many minutes after the deployment, nothing after that."""
    return np.where(START.timestamp() + 60.0 * minutes < TIMES, np.nan, values)


@pytest.mark.parametrize("minutes", [10, 20, 29, 45])
async def test_an_improvement_that_was_seen_before_the_data_ended_makes_no_success(ask: Asked, minutes: float) -> None:
    impact, _ = await ask(InMemorySource([series(until(wandering(1, shift=-15), minutes))]))
    assert impact.outcome is Outcome.UNKNOWN
    assert "its data ends at" in only(impact).reason


async def test_harm_that_was_seen_before_the_data_ended_stays_harm_and_says_where_they_end(ask: Asked) -> None:
    impact, _ = await ask(InMemorySource([series(until(wandering(1, shift=15), 25))]))
    assert impact.outcome is Outcome.DEGRADATION
    assert "its data ends at 2026-11-02 14:25 UTC, 35 minutes before the end of the check" in only(impact).reason


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), minutes=st.floats(1.0, 30.0), shift=st.sampled_from([0.0, -2.0, -4.0]))
def test_nothing_is_called_a_success_whose_data_end_in_the_first_half_of_the_check(
    seed: int, minutes: float, shift: float
) -> None:
    evidence = (MetricData(metric=LATENCY, series=series(until(wandering(seed, shift=shift), minutes))),)
    deployment = Deployment(
        id="d", service="api", environment="production", started_at=START, finished_at=START, received_at=START
    )
    watched = MonitoringConfig(sources={}, metrics=(LATENCY,), settings=AnalysisSettings(step=STEP))
    assert assess(question_of(deployment, evidence, others=(), now=NOW, watched=watched)).outcome is not Outcome.SUCCESS


@pytest.mark.parametrize(("rate", "outcome"), [(200.0, Outcome.SUCCESS), (320.0, Outcome.FAILURE)])
async def test_a_counter_that_starts_again_is_a_success_as_long_as_it_grows_as_before(
    ask: Asked, rate: float, outcome: Outcome
) -> None:
    begun = START.timestamp() + 30.0 < TIMES
    counted = np.cumsum(np.random.default_rng(8).poisson(np.where(begun, rate, 200.0))).astype(float)
    counted[begun] -= counted[begun][0]
    impact, _ = await ask(InMemorySource([series(counted)]))
    assert impact.outcome is outcome


class Answer(SpeaksPromQL):
    """A source with one answer to everything."""

    def __init__(self, *found: Series, error: SourceError | None = None) -> None:
        self.found, self.error = list(found), error

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        return [self.error or self.found for _ in asked]


async def test_a_source_that_is_away_leaves_the_look_unanswered(ask: Asked) -> None:
    with pytest.raises(SourceUnavailable, match="no connection"):
        await ask(Answer(error=SourceUnavailable("connection", "no connection")))
    assert ask.notes.failed == ["connection"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], "no data for latency"),
        ([series(wandering(3)), series(wandering(4))], "2 series answer"),
        ([series(wandering(5), warnings=("a store did not answer",))], "a store did not answer"),
        ([series(np.full(TIMES.size, np.nan))], ""),
        ([series(np.where(START.timestamp() > TIMES, wandering(6), np.nan))], ""),
    ],
    ids=["empty", "ambiguous", "partial", "all gaps", "nothing after the deployment"],
)
async def test_data_that_cannot_tell_is_never_no_effect(ask: Asked, found: list[Series], expected: str) -> None:
    impact, _ = await ask(Answer(*found))
    shift = only(impact)
    assert shift.verdict in {Attribution.INCONCLUSIVE, Attribution.INSUFFICIENT_HISTORY}
    assert expected in shift.reason


async def test_a_query_that_needs_what_the_deployment_lacks_is_inconclusive(ask: Asked) -> None:
    versioned = replace(LATENCY, query='latency{version="$version"}')
    impact, _ = await ask(InMemorySource([series(wandering(7))]), versioned)
    assert "$version" in only(impact).reason


async def test_what_moved_the_other_services_too_is_not_blamed_on_the_deployment(ask: Asked) -> None:
    names = ("api", "web", "mail", "search")
    everywhere = InMemorySource(
        [series(wandering(10 + place, shift=15), service=name) for place, name in enumerate(names)]
    )
    services = {name: Service(name=name) for name in names}
    impact, account = await ask(everywhere, services=services)
    assert only(impact).verdict is not Attribution.ATTRIBUTED
    assert account["metrics"]["latency_seconds"]["witnesses"] == ["mail", "search", "web"]  # type: ignore[index]


async def test_the_other_services_are_no_alibi_for_a_shift_of_its_own(ask: Asked) -> None:
    names = ("api", "web", "mail", "search")
    shifts = {"api": 15.0}
    tape = InMemorySource(
        [series(wandering(20 + place, shift=shifts.get(name, 0.0)), service=name) for place, name in enumerate(names)]
    )
    impact, _ = await ask(tape, services={name: Service(name=name) for name in names})
    assert only(impact).verdict is Attribution.ATTRIBUTED


@pytest.mark.parametrize("shift", [0.0, 12.0])
async def test_a_value_that_a_source_holds_is_no_further_measurement(ask: Asked, shift: float, tmp_path: Path) -> None:
    named = {"latency": wandering(4, shift=shift), "replicas": np.where(TIMES[4000] > TIMES, 2.0, 3.0)}
    coarse = [
        Series(metric=name, labels={"service": "api"}, times=TIMES[::5], values=values[::5])
        for name, values in named.items()
    ]
    replicas = Metric(name="replicas", layer=Layer.SYSTEM, query='replicas{service="$service"}')
    impact, account = await ask(InMemorySource(coarse), LATENCY, replicas)
    again = Asked(tmp_path / "again", ask.compute)
    again.folder.mkdir()
    every_five, other = await again(InMemorySource(coarse), LATENCY, replicas, step=5 * STEP)
    assert impact == every_five
    assert account == other
    assert account["step_seconds"] == 300.0


SERVICES = {"web": Service(name="web", metrics=("latency_seconds",)), "apis": Service(name="apis", metrics=())}


async def test_an_unknown_service_is_asked_nothing_that_another_has_for_its_own_and_is_reported_as_unknown(
    ask: Asked,
) -> None:
    tape = InMemorySource(
        [series(wandering(30)), series(wandering(31), service="web"), series(wandering(32), name="visits")]
    )
    impact, account = await ask(tape, services=SERVICES)
    assert impact.shifts == ()
    assert impact.outcome is Outcome.UNKNOWN
    assert impact.outcome_reason == "The service api is not known; did you mean apis? Known: apis, web"
    assert impact.story[0].endswith("The service api is not known; did you mean apis? Known: apis, web.")
    assert ask.notes.answered == 0

    visits = Metric(name="visits", layer=Layer.USER, query="visits")
    shared = replace(LATENCY, name="shared_latency_seconds")
    again, account = await ask.again(tape, LATENCY, visits, shared, services=SERVICES)
    assert {shift.metric for shift in again.shifts} == {"visits", "shared_latency_seconds"}
    assert account["metrics"]["shared_latency_seconds"]["witnesses"] == []  # type: ignore[index]


async def test_an_analysis_knows_the_nearest_deployments_however_many_there_are(
    tmp_path: Path, compute: ComputePool
) -> None:
    """Of its own service and of all: what a check costs does not grow with what is deployed elsewhere."""
    store = await SQLiteStore.open(tmp_path / "afdp.db")
    own = {"service": "api", "environment": "production", "received_at": START}
    for number in range(600):
        at = START + (number - 300) * timedelta(seconds=10)
        name = "api" if number % 2 else f"service {number}"
        await store.deployments.record(
            Deployment(id=f"d{number}", started_at=at, finished_at=at, **(own | {"service": name})),  # type: ignore[arg-type]
            (),
        )
    watched = MonitoringConfig(sources={}, metrics=())
    reader = StoreReader(store, compute, lambda: watched.settings.deadline)
    analyst = Analyst(watched=lambda: watched, reader=reader, observer=Notes())
    look = Look(deployment_id="d301", after=timedelta(hours=1), due_at=START + timedelta(hours=1))
    others = {each.id for each in (await analyst.measure(look, NOW)).case.others}
    await store.close()
    assert {f"d{number}" for number in range(252, 351)} - {"d301"} <= others  # the nearest of all
    assert {f"d{number}" for number in range(203, 400, 2)} - {"d301"} <= others  # and of its own
    assert len(others) < 300


def test_an_unknown_service_is_no_rival() -> None:
    at = {"environment": "production", "started_at": START, "received_at": START}
    api, web, other = (Deployment(id=name, service=name, **at) for name in ("api", "web", "nobodys"))  # type: ignore[arg-type]
    watched = MonitoringConfig(
        sources={}, metrics=(LATENCY,), services={name: Service(name=name) for name in ("api", "web")}
    )
    others = question_of(api, (), others=(api, web, other), now=NOW, watched=watched).case.others
    assert others == (web,)
    everybody = question_of(api, (), others=(web, other), now=NOW, watched=replace(watched, services={}))
    assert everybody.case.others == (web, other)


@pytest.mark.parametrize(
    ("minutes", "expected"), [(6, "6 of 21 minutes"), (20, "20 of 21 minutes"), (0, "0 of 21 minutes")]
)
async def test_a_short_history_is_reported_with_what_is_needed_and_when_it_is_there(
    ask: Asked, minutes: int, expected: str
) -> None:
    began = START.timestamp() - 60 * minutes
    values = np.where(began <= TIMES, wandering(33), np.nan)
    impact, _ = await ask(InMemorySource([series(values)]))
    assert only(impact).verdict is Attribution.INSUFFICIENT_HISTORY
    ready = datetime.fromtimestamp(began, UTC) + timedelta(minutes=21)
    reason = f"{expected} of history; deployments from {ready:%Y-%m-%d %H:%M} UTC on can be judged"
    assert only(impact).reason == reason
    assert impact.story[0] == f"Deployment api on 2 Nov at 14:00 UTC: one metric cannot be judged: {reason}."


async def test_with_the_needed_history_a_deployment_is_judged(ask: Asked) -> None:
    values = np.where(START.timestamp() - 60 * 21 <= TIMES, wandering(33, shift=15), np.nan)
    impact, _ = await ask(InMemorySource([series(values)]))
    assert only(impact).verdict is not Attribution.INSUFFICIENT_HISTORY
