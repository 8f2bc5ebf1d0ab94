"""What an exporter talks to, each with the faults of the hour: a metrics system, a feed, receivers, its workers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from afdp_exporter.errors import DeliveryError, FeedError, QueryFailed, SourceError, SourceUnavailable
from afdp_exporter.feeds import Checkpoint, PollRequest, Step
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.looks import judged_window, shorter_windows
from afdp_exporter.impact.verdict import unknown_shift
from afdp_exporter.model import Announcement, Attribution, Floats, Notification, Series, Shift, Trajectory, Window
from afdp_exporter.sources import Bound, Fetched, Freshness, FreshnessAnswer
from afdp_exporter.watching.analysis import AnalysisInput, MetricVerdict, combine
from afdp_exporter.watching.evidence import MetricData
from afdp_exporter.watching.judging import insufficient_data
from simulation.conditions import Conditions, Fault

START = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(seconds=60)
_LOOKBACK = 300.0  # seconds for which the last sample is repeated
_DEADLINE = 30.0


@dataclass(frozen=True, slots=True)
class Question:
    """A query, prepared and bound: its name, and the service that it asks for."""

    text: str
    service: str = ""

    variables: frozenset[str] = frozenset({"service"})
    rate_window: timedelta | None = None
    averages_over: timedelta | None = None
    ranges: tuple[tuple[str, timedelta], ...] = ()

    def bind(self, values: Mapping[str, str]) -> "Question":
        return replace(self, service=values["service"])


@dataclass(slots=True)
class Truth:
    """Which samples there really are, and how new a one was ever shown of each service (Unix seconds)."""

    conditions: Conditions
    shown: dict[str, float] = field(default_factory=dict)

    def newest(self, times: Floats) -> Floats:
        """Of each instant the newest sample that is known by now; one each minute, unless nothing was measured."""
        now = START.timestamp() + self.conditions.clock()
        late = self.conditions.now(Fault.SOURCE_LATE)
        known = now - 900.0 * late.size if late is not None else now
        found = np.minimum(times, known) // 60.0 * 60.0
        first, last = found[0] - START.timestamp(), found[-1] - START.timestamp()
        for each in self.conditions.of(Fault.SAMPLES_MISSING):
            if each.begin <= last and each.end > first:
                begin, end = START.timestamp() + each.begin, START.timestamp() + each.end
                found = np.where((found >= begin) & (found < end), begin // 60.0 * 60.0, found)
        return np.where(times - found > _LOOKBACK, np.nan, found)


@dataclass(frozen=True, slots=True)
class Metrics:
    """A `Source` like Prometheus: it repeats its last sample for five minutes, and says how old it is."""

    truth: Truth
    gate: Callable[[], Awaitable[None]]  # the process that asks goes on only as long as it lives

    remote: bool = True
    queries_per_call: int = 4
    settles_after: timedelta = timedelta(0)

    def prepare(self, query: str | Mapping[str, Any]) -> Question:
        return Question(str(query))

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        unavailable = await self._answers()
        if unavailable is not None:
            return [unavailable] * len(asked)
        times = _grid(window, step)
        newest = self.truth.newest(times)
        known = np.isfinite(newest)
        values = np.where(known, 100.0 + (newest / 60.0 * 7919.0) % 13.0, np.nan)
        latest = float(newest[known].max(initial=0.0))
        return [self._failed(each, stamps=False) or self._series(each, times, values, latest) for each in asked]

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:
        unavailable = await self._answers()
        if unavailable is not None:
            return [unavailable] * len(asked)
        times = _grid(window, step)
        answered = START + timedelta(seconds=self.truth.conditions.clock())
        known = Freshness(times=times, newest=self.truth.newest(times), answered_at=answered)
        return [self._failed(each, stamps=True) or known for each in asked]

    async def reach(self) -> None:
        """As the port has it."""

    async def _answers(self) -> SourceError | None:
        await self.gate()
        conditions = self.truth.conditions
        hangs = conditions.now(Fault.SOURCE_HANGS) is not None
        await asyncio.sleep(_DEADLINE if hangs else 0.05)
        await self.gate()
        if hangs or conditions.now(Fault.SOURCE_AWAY) is not None:
            return SourceUnavailable("away", "no answer")
        return None

    def _failed(self, asked: Bound, *, stamps: bool) -> SourceError | None:
        """Of one metric the time stamps cannot be asked in some episodes, the values in the others."""
        fails = self.truth.conditions.now(Fault.SOURCE_PARTIAL)
        if fails is None or asked.text != "errors" or stamps is not (fails.size < 0.5):
            return None
        return QueryFailed("failed", "this query fails")

    def _series(self, asked: Bound, times: Floats, values: Floats, latest: float) -> Fetched:
        if isinstance(asked, Question):
            self.truth.shown[asked.service] = max(latest, self.truth.shown.get(asked.service, 0.0))
        return [Series(metric=asked.text, labels={}, times=times, values=values)]


def _grid(window: Window, step: timedelta) -> Floats:
    size = step.total_seconds()
    first = np.ceil(window.start.timestamp() / size) * size
    return np.arange(first, window.end.timestamp() + 1e-6, size)


class InPlace:
    """A `ComputePool` without processes: judges by what was measured alone, and finds that nothing moved."""

    async def run(
        self, function: Callable[..., Any], question: AnalysisInput, *, deadline: timedelta, group: str
    ) -> Any:
        """As `ComputePool.run` with `measure_and_draw`."""
        await asyncio.sleep(0.1)
        case = judged_window(question.case)
        early = tuple(_judged(each, question.evidence) for each in shorter_windows(case))
        judged = replace(_judged(case, question.evidence), early=early)
        courses: tuple[Trajectory, ...] = ()
        return judged, courses, combine(judged, question.case)


def _judged(case: AnalysisContext, evidence: Sequence[MetricData]) -> MetricVerdict:
    shifts, incomplete = [], set[str]()
    for each in evidence:
        if (too_little := insufficient_data(each, case)) is not None:
            incomplete.add(each.metric.name)
            shifts.append(unknown_shift(each.metric, too_little))
            continue
        shifts.append(
            Shift(
                metric=each.metric.name, layer=each.metric.layer, verdict=Attribution.NO_EFFECT, reason="it stayed",
                ruled_out=True,
            )
        )  # fmt: skip
    return MetricVerdict(shifts=tuple(shifts), elsewhere={}, answers={}, incomplete=frozenset(incomplete))


@dataclass(slots=True)
class Upstream:
    """A system that knows of deployments: its events in order, of which the cursor counts those that were read."""

    conditions: Conditions
    events: list[Announcement] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PolledFeed:
    """A `Feed` over it."""

    upstream: Upstream
    gate: Callable[[], Awaitable[None]]
    interval: timedelta

    async def deployments(self, since: PollRequest) -> AsyncIterator[Step]:
        place = int(since.cursor or 0)
        repeats = self.upstream.conditions.now(Fault.FEED_REPEATS)
        first = max(place - 5, 0) if repeats is not None else place
        known = tuple(self.upstream.events)
        for number, event in enumerate(known[first:], first + 1):
            await self.gate()
            fails = self.upstream.conditions.now(Fault.FEED_FAILS)
            if fails is not None and number % 4 == int(4 * fails.size):
                raise FeedError("it ended in the middle")
            yield event
            if number % 3 == 0 and number > place:
                yield Checkpoint(str(number), present=False)
        await self.gate()
        if self.upstream.conditions.now(Fault.FEED_FAILS) is not None:
            raise FeedError("it is away")
        yield Checkpoint(str(max(len(known), place)))

    async def check(self, now: datetime) -> None:
        """As the port has it."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A `Receiver`; `heard` is called with each notice that arrives, whatever becomes of the answer."""

    name: str
    conditions: Conditions
    gate: Callable[[], Awaitable[None]]
    heard: Callable[[str, Notification], None]
    refused: Callable[[str, Notification], None]
    appends: bool = False

    async def reach(self) -> None:
        """As the port has it."""

    async def send(self, notice: Notification) -> None:
        await self.gate()
        await asyncio.sleep(0.05)
        await self.gate()
        if self.conditions.now(Fault.RECEIVER_HANGS) is not None:
            await asyncio.sleep(_DEADLINE)
            await self.gate()
            raise DeliveryError("timeout", "no answer", retry=True)
        if self.conditions.now(Fault.RECEIVER_AWAY) is not None:
            raise DeliveryError("away", "no connection", retry=True, unsent=True)
        if self.conditions.now(Fault.RECEIVER_REFUSES) is not None:
            self.refused(self.name, notice)
            raise DeliveryError("refused", "it is not taken", retry=False)
        self.heard(self.name, notice)
        await self.gate()
        if self.conditions.now(Fault.RECEIVER_LOSES) is not None:
            raise DeliveryError("connection", "the answer was lost", retry=True)
