"""What a row of `weak_spots.py` is made of: a world, the checks of one deployment in it, and figures with targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from afdp_exporter.model import (
    CalendarEntry,
    Deployment,
    Impact,
    Layer,
    Metric,
    Series,
    Shift,
    Status,
    Worse,
)
from afdp_exporter.watching.analysis import assess, question_of
from afdp_exporter.watching.evidence import AnalysisSettings, MetricData, MonitoringConfig, downsample

Floats = np.ndarray
MINUTES = (5, 10, 15, 30, 60)
ROLLOUT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A mean over the repetitions, and the range in which it has to lie."""

    name: str
    least: float = 0.0
    most: float = 1.0

    @property
    def target(self) -> str:
        """The range in words."""
        if self.least <= 0.0:
            return f"<= {self.most:g}"
        return f">= {self.least:g}" if self.most >= 1.0 else f"{self.least:g} to {self.most:g}"

    def reached(self, value: float) -> bool:
        """Whether a value lies in the range; what could not be measured does not."""
        return self.least <= value <= self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A kind of world; `once` draws one and gives the figures by name, None where the repetition does not count."""

    name: str
    figures: tuple[Figure, ...]
    once: Callable[[np.random.Generator], Mapping[str, float | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One metric of a world: its times and values (n,), those at other services, and what it is counted in (n,)."""

    name: str
    times: Floats
    values: Floats
    layer: Layer = Layer.TECHNICAL
    worse: Worse = Worse.UP
    peers: Mapping[str, Floats] | None = None
    rate_window: timedelta | None = None
    of: Floats | None = None

    @property
    def metric(self) -> Metric:
        """As the configuration would have it."""
        return Metric(name=self.name, layer=self.layer, query=f'{self.name}{{service="$service"}}', worse=self.worse)


def impacts(
    watches: Sequence[Watch],
    at: datetime,
    *,
    minutes: Sequence[float] = MINUTES,
    earlier: Sequence[datetime] = (),
    others: Sequence[Deployment] = (),
    calendar: Sequence[CalendarEntry] = (),
    settings: AnalysisSettings | None = None,
) -> list[Impact]:
    """What each check, so many minutes after a rollout that took one, makes of the metrics."""
    settings = settings or AnalysisSettings(step=timedelta(seconds=_step(watches)))
    watched = MonitoringConfig(
        sources={}, metrics=tuple(each.metric for each in watches), calendar=tuple(calendar), settings=settings
    )
    around = (*(deployment(f"e{number}", start) for number, start in enumerate(earlier)), *others)
    found = []
    for each in minutes:
        now = at + ROLLOUT + timedelta(minutes=each)
        evidence = downsample([_evidence(watch, now) for watch in watches], settings.step)
        question = question_of(deployment("d", at), evidence, others=around, now=now, watched=watched)
        found.append(assess(question))
    return found


def shifts(
    watches: Sequence[Watch], at: datetime, *, minutes: Sequence[float] = MINUTES, earlier: Sequence[datetime] = ()
) -> list[Shift]:
    """What every check says of every metric, one after the other."""
    return [shift for impact in impacts(watches, at, minutes=minutes, earlier=earlier) for shift in impact.shifts]


def deployment(name: str, at: datetime, service: str = "shop") -> Deployment:
    """One that took a minute."""
    return Deployment(
        id=name, service=service, environment="production", started_at=at, finished_at=at + ROLLOUT,
        status=Status.SUCCEEDED, received_at=at, received_from="api",
    )  # fmt: skip


def innocent(found: Sequence[Shift]) -> dict[str, float | None]:
    """Of an innocent deployment: whether any check called a metric moved, and whether by a lasting step."""
    return {
        "moved": float(any(shift.moved for shift in found)),
        "attributed": float(any(shift.verdict == "attributed" for shift in found)),
    }


def grid(at: datetime, *, days: float = 7.0, hours_after: float = 1.1, step: float = 60.0) -> Floats:
    """Unix times (n,) around a deployment."""
    start = at.timestamp() - 86_400.0 * days
    return np.arange(start, at.timestamp() + 3600.0 * hours_after, step)


def alike(rng: np.random.Generator, n: int, likeness: float = 0.6) -> Floats:
    """Noise (n,) of deviation 1 that resembles its neighbours."""
    kernel = likeness ** np.arange(int(np.ceil(np.log(1e-3) / np.log(likeness))))
    noise = np.convolve(rng.normal(0.0, 1.0, n + len(kernel)), kernel, "full")[len(kernel) : n + len(kernel)]
    scaled: Floats = noise * np.sqrt(1.0 - likeness**2)
    return scaled


def utc(*parts: int) -> datetime:
    """An instant."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


def _step(watches: Sequence[Watch]) -> float:
    return float(np.median(np.diff(watches[0].times[:100])))


def _evidence(watch: Watch, now: datetime) -> MetricData:
    def series(values: Floats) -> Series:
        return Series(metric=watch.name, labels={}, times=watch.times, values=values)

    peers = {service: series(values) for service, values in (watch.peers or {}).items()}
    return MetricData(
        metric=watch.metric, series=replace(series(watch.values), of=watch.of), peers=peers,
        rate_window=watch.rate_window,
        smoothed_over=watch.rate_window,
    ).until(now)  # fmt: skip
