"""Nothing is said of samples that are missing, late, or only repeated, whatever the clocks say."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise

import numpy as np
import pytest
from aiohttp import web

from afdp_exporter import config
from afdp_exporter.compute import ComputePool
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.looks import judged_window
from afdp_exporter.jobs import Kind
from afdp_exporter.jobs.runner import Runner
from afdp_exporter.model import Deployment, Layer, Look, LookState, Metric, Outcome, Series
from afdp_exporter.store.follow_ups import CHECK
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.analysis import AnalysisResult, Analyst
from afdp_exporter.watching.evidence import LEAST_WAIT, MetricData
from afdp_exporter.watching.judging import insufficient_data
from afdp_exporter.watching.watch import AnalysisWorker, Schedule, schedule_looks
from looking import next_look_at
from loopback import Serve, matrix

MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 2, 14, tzinfo=UTC)
SCHEDULE = Schedule(looks=(4 * MINUTE, 10 * MINUTE, 20 * MINUTE))
LOOKBACK = 300.0


@dataclass
class Server:
    """A Prometheus whose clock is `skew` ahead of ours, which has samples `lag` late and repeats them for 5 minutes.

    One that `lies` passes what it repeats off as new samples. Of two behind one address, the other of which is
    `replica_lag` late, that one answers what asks for values alone; one that is `mute` tells no values with its stamps.
    One sample a minute of a latency of 200 ms that is `effect` higher from the instant of the deployment on.
    """

    clock: Callable[[], datetime]
    lag: timedelta = timedelta(0)
    skew: timedelta = timedelta(0)
    effect: float = 0.0
    lies: bool = False
    replica_lag: timedelta = timedelta(0)
    mute: bool = True
    ends: datetime = datetime.max.replace(tzinfo=UTC)  # by its own clock
    away: bool = False  # there is no sample from 20 to 2 minutes before the deployment
    untold: int = 0  # so many of its first questions for time stamps fail, two of them in one check
    skews: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return self.clock() + self.skew

    @property
    def newest(self) -> float:
        """When the newest sample is of that has come."""
        return float(np.floor(min(self.now() - self.lag, self.ends).timestamp() / 60) * 60)

    async def answer(self, request: web.Request) -> web.Response:
        form = await request.post()
        query = str(form["query"])
        stamps = "timestamp" in query
        if stamps and self.untold:
            self.untold -= 1
            return web.Response(status=500)
        newest = self.newest if stamps else self.newest - self.replica_lag.total_seconds()
        times = np.arange(float(form["start"]), float(form["end"]) + 1, float(form["step"]))  # type: ignore[arg-type]
        sample = np.minimum(np.floor(times / 60) * 60, newest)
        before = START.timestamp() - sample
        sample = np.where(self.away & (before < 1200) & (before > 120), START.timestamp() - 1200, sample)
        there = times - sample <= LOOKBACK
        seen = times if self.lies else sample
        values = self.values(sample, noisy_at=seen)
        told = {"": seen if stamps else values} | ({"0": values} if "afdp_value" in query and not self.mute else {})
        pairs = {
            mark: [[at, repr(float(value))] for at, value in zip(times[there], each[there], strict=True)]
            for mark, each in told.items()
        }
        found = matrix(
            *(
                {"metric": {"afdp_value": mark} if mark else {}, "values": samples}
                for mark, samples in pairs.items()
                if samples
            )
        )
        return web.json_response(found, headers={"Date": format_datetime(self.now().astimezone(UTC), usegmt=True)})

    def values(self, at: np.ndarray, *, noisy_at: np.ndarray) -> np.ndarray:
        noise = np.sin(noisy_at * 12.9898) * 43758.5453
        true = (START + self.skew).timestamp()
        return 0.2 + 0.006 * (noise - np.floor(noise) - 0.5) + self.effect * (at >= true)


class Notes:
    """What was seen of the source and the looks."""

    def __init__(self) -> None:
        self.skews: list[float] = []
        self.tries: dict[timedelta, list[datetime]] = defaultdict(list)  # when each look was tried
        self.failed = list[Exception]()

    def queried(self, source: str, seconds: float) -> None:
        pass

    def query_failed(self, source: str, error: Exception) -> None:
        self.failed.append(error)

    def skewed(self, source: str, seconds: float) -> None:
        self.skews.append(seconds)

    def looked(self, deployment_id: str, verdict: str, seconds: float) -> None:
        pass


async def nothing(look: Look, now: datetime) -> tuple[Look, ...]:
    """No other deployment is looked at again."""
    return ()


@dataclass
class Run:
    """One deployment, watched until nothing is left to do; `said` is each outcome with the server's newest sample."""

    store: SQLiteStore
    compute: ComputePool
    serve: Serve

    async def __call__(self, name: str, **settings: object) -> tuple[list[tuple[Outcome, float]], Notes]:
        now = [START]
        server = Server(clock=lambda: now[0], **settings)  # type: ignore[arg-type]
        url = await self.serve(server.answer)
        metric = {"name": "latency_seconds", "layer": "technical", "worse": "up", "query": "latency_seconds"}
        source = {"name": "prometheus", "kind": "prometheus", "url": url}
        watched = config.read({"sources": [source], "metrics": [metric]}).watched
        watched = replace(watched, settings=replace(watched.settings, history=timedelta(days=1)))
        notes, said = Notes(), list[tuple[Outcome, float]]()
        reader = StoreReader(self.store, self.compute, lambda: watched.settings.deadline)
        analyst = Analyst(watched=lambda: watched, reader=reader, observer=notes)

        async def look_at(look: Look, at: datetime) -> AnalysisResult:
            notes.tries[look.after].append(at)
            answer = await analyst.conclude(await analyst.measure(look, at))
            said.append((answer.impact.outcome, server.newest))
            return answer

        deployment = Deployment(
            id=name, service=name, environment="production", started_at=START, finished_at=START, received_at=START
        )
        await self.store.deployments.record(deployment, schedule_looks(deployment, SCHEDULE, START))
        watcher = AnalysisWorker(
            store=self.store,
            analyse=look_at,
            schedule=lambda: SCHEDULE,
            follow_up=nothing,
            observer=notes,
            clock=lambda: now[0],
        )
        runner = Runner(self.store, Kind(name=CHECK, run=watcher.answer), clock=lambda: now[0])
        while (due := await next_look_at(self.store)) is not None and due < START + timedelta(hours=2):
            now[0] = max(due, now[0])
            while await runner.drain():
                pass
        assert bool(notes.failed) is ("untold" in settings)
        return said, notes


@pytest.fixture
def run(store: SQLiteStore, compute: ComputePool, serve: Serve) -> Run:
    return Run(store, compute, serve)


CASES = [(lag, skew, effect) for lag in (0, 4, 10) for skew in (-10, -4, 0, 4, 10) for effect in (0.0, 0.08)]
EVERY = [
    (lag, skew, effect)
    for lag in (0, 1, 2, 3, 4, 5, 6, 7, 8, 10)
    for skew in (-10, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 10)
    for effect in (0.0, 0.08)
]


async def check(run: Run, lag: float, skew: float, effect: float) -> None:
    name = f"s{lag}-{skew}-{effect}"
    said, notes = await run(name, lag=lag * MINUTE, skew=skew * MINUTE, effect=effect)
    fresh = START.timestamp() + 60.0
    assert not [(outcome, newest) for outcome, newest in said if outcome is Outcome.SUCCESS and newest < fresh]
    assert abs(notes.skews[-1] - 60 * skew) <= 5
    assert all(later - at >= LEAST_WAIT for tries in notes.tries.values() for at, later in pairwise(tries))
    outcome, _ = said[-1]
    assert {look.state for look in await run.store.looks.of_deployment(name)} >= {LookState.DONE}
    assert outcome is (Outcome.SUCCESS if effect == 0 else Outcome.DEGRADATION)


@pytest.mark.parametrize(("lag", "skew", "effect"), CASES)
async def test_no_success_is_said_of_samples_from_before_the_deployment(
    run: Run, lag: float, skew: float, effect: float
) -> None:
    await check(run, lag, skew, effect)


@pytest.mark.slow
@pytest.mark.parametrize(("lag", "skew", "effect"), EVERY)
async def test_no_success_is_said_of_samples_from_before_the_deployment_whatever_lag_and_skew(
    run: Run, lag: float, skew: float, effect: float
) -> None:
    await check(run, lag, skew, effect)


async def test_control_a_success_said_of_samples_from_before_the_deployment_is_noticed(run: Run) -> None:
    said, _ = await run("lies", lag=5 * MINUTE, effect=0.08, lies=True)
    assert [newest for outcome, newest in said if outcome is Outcome.SUCCESS and newest < START.timestamp() + 60.0]


async def test_samples_that_were_away_shortly_before_do_not_make_repeated_ones_new(run: Run) -> None:
    said, _ = await run("away", lag=5 * MINUTE, away=True)
    assert not [newest for outcome, newest in said if outcome is Outcome.SUCCESS and newest < START.timestamp() + 60.0]


async def test_a_source_that_did_not_answer_how_new_its_samples_are_is_asked_again_and_no_repeated_ones_pass_as_new(
    run: Run,
) -> None:
    said, _ = await run("untold", lag=4 * MINUTE, untold=2, effect=0.08)
    early = [outcome for outcome, newest in said if newest < START.timestamp() + 60.0]
    assert set(early) == {Outcome.UNKNOWN}
    assert said[-1][0] is Outcome.DEGRADATION


async def test_a_source_that_never_answers_how_new_its_samples_are_is_given_up_in_its_words(run: Run) -> None:
    said, notes = await run("never", untold=1000)
    assert {outcome for outcome, _ in said} == {Outcome.UNKNOWN}
    assert {len(tries) for tries in notes.tries.values()} == {4}
    assert {look.state for look in await run.store.looks.of_deployment("never")} == {LookState.DONE}
    impact = await run.store.results.impact("never")
    assert impact is not None
    assert impact.shifts[0].reason.endswith("asked how new its samples are: it answers 500")


@pytest.mark.parametrize("late", [2, 4, 5, 20])
async def test_values_are_those_of_the_replica_that_tells_how_new_they_are(run: Run, late: int) -> None:
    harmed, _ = await run(f"harmed{late}", replica_lag=late * MINUTE, mute=False, effect=0.08)
    assert {outcome for outcome, _ in harmed} == {Outcome.DEGRADATION}
    unharmed, _ = await run(f"unharmed{late}", replica_lag=late * MINUTE, mute=False)
    assert {outcome for outcome, _ in unharmed} == {Outcome.SUCCESS}


async def test_control_values_of_a_replica_that_is_late_are_noticed(run: Run) -> None:
    harmed, _ = await run("mute", replica_lag=5 * MINUTE, effect=0.08)
    assert harmed[0][0] is Outcome.UNKNOWN


@pytest.mark.parametrize("minutes", [0, 1, 4, 9, 15])
async def test_samples_that_stop_after_the_rollout_are_no_success_and_the_wait_for_them_ends(
    run: Run, minutes: int
) -> None:
    said, _ = await run(f"stop{minutes}", ends=START + minutes * MINUTE)
    assert said[-1][0] is Outcome.UNKNOWN
    impact = await run.store.results.impact(f"stop{minutes}")
    assert impact is not None
    assert "its data ends" in impact.shifts[0].reason or "points after" in impact.shifts[0].reason
    assert all(look.state is LookState.DONE for look in await run.store.looks.of_deployment(f"stop{minutes}"))


@pytest.mark.parametrize("skew", [-5 * MINUTE, 5 * MINUTE])
def test_only_samples_from_after_the_later_of_two_possible_starts_are_after_the_deployment(skew: timedelta) -> None:
    step, later = 5 * MINUTE, START + max(skew, timedelta(0))
    case = AnalysisContext(
        deployment=Deployment(
            id="a", service="api", environment="production", started_at=START, finished_at=START, received_at=START
        ),
        metrics=(),
        step=step,
        now=later + 6 * MINUTE,
        clock_skew=skew,
    )
    metric = Metric(name="latency", layer=Layer.TECHNICAL, query="latency")
    for newest, expected in ((-20, "it was not measured after the deployment"), (280, None)):
        times = later.timestamp() + newest - step.total_seconds() * np.arange(300.0)[::-1]
        series = Series(metric="latency", labels={}, times=times, values=np.ones_like(times))
        assert insufficient_data(MetricData(metric=metric, series=series, skew=skew), judged_window(case)) == expected


async def test_a_clock_that_jumps_ahead_gets_no_answer_before_there_is_data(run: Run) -> None:
    said, _ = await run("jump", skew=-timedelta(hours=1), lag=timedelta(0))
    assert all(newest >= START.timestamp() + 60 for outcome, newest in said if outcome is Outcome.SUCCESS)
