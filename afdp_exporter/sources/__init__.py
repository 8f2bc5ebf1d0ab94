"""Query and window -> series. One file a metrics system; its name is the kind in the configuration.

A source owns its query language: what its variables look like, how a value is escaped, what it refuses. A query is
text or a mapping, as the configuration has it; nothing outside of this package reads it.
All of them answer on one `grid`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from afdp_exporter.errors import SourceError, SourceRefused
from afdp_exporter.model import Deployment, Floats, Series, Window

LATEST = timedelta(minutes=15)
"""By which samples may come late: what is older has ended."""

Fetched: TypeAlias = list[Series] | SourceError
"""The series that a query selects, or why there is no answer; an empty list: there is no such series."""


class Bound(Protocol):
    """A query with its values filled in, hashable; equal ones ask the same."""

    @property
    def text(self) -> str:
        """The query as people read it."""
        ...

    @property
    def ranges(self) -> tuple[tuple[str, timedelta], ...]:
        """Each selector of raw samples, and the range that the query takes of it; empty where the language has none."""
        ...


class Query(Protocol):
    """A query that was checked, ready to be asked about any deployment."""

    @property
    def variables(self) -> frozenset[str]:
        """The names of the values that it needs: `service`, `environment`, `version`, `label_NAME`."""
        ...

    @property
    def rate_window(self) -> timedelta | None:
        """Over how long each value is a rate of counters, so that new instances lower it; None where it is none."""
        ...

    @property
    def averages_over(self) -> timedelta | None:
        """Over how long each value is a rate, sum or mean, so that a step shows as a ramp; None for its own time."""
        ...

    def bind(self, values: Mapping[str, str]) -> Bound:
        """The query about one deployment, of which no value changes what it asks. Raises SourceRefused."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Freshness:
    """On how new samples the points of an answer rest: a server may repeat its last sample for minutes.

    `newest` (n,) are the Unix seconds of the newest sample at `times` (n,), NaN where there is none; `answered_at` is
    the server's own clock, None where it does not say. `values` (n,) are those of the query in this very answer, where
    it gave them: behind one address may be replicas of which one is late, and another question may reach that one.
    """

    times: Floats
    newest: Floats
    answered_at: datetime | None = None
    values: Floats | None = None


FreshnessAnswer: TypeAlias = Freshness | SourceError | None
"""On how new samples an answer rests, or why that could not be asked now; None: it repeats none, or cannot tell."""


class Source(Protocol):
    """Where series come from: a frozen dataclass of settings with these methods."""

    @property
    def remote(self) -> bool:
        """Whether a server answers that others need, too, so that it is asked at a pace where nothing is urgent."""
        ...

    @property
    def queries_per_call(self) -> int:
        """How many queries are best asked in one `fetch`."""
        ...

    @property
    def settles_after(self) -> timedelta:
        """Samples younger than this may still come or change: they are not asked for."""
        ...

    def prepare(self, query: str | Mapping[str, Any]) -> Query:
        """Check a query as the configuration has it. Raises SourceRefused for what this source cannot answer."""
        ...

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """For each query its series at the multiples of `step` (whole seconds) inside the window, in the same order.

        A gap is NaN; a value that the source itself calls infinite stays so. All series of an answer share one grid
        and carry all of its warnings; `metric` is empty where the query drops the name. An empty list means that the
        source answered and has no such series. What went wrong is an answer, too: SourceUnavailable where asking again
        may help, SourceRefused where it cannot; nothing is raised.
        """
        ...

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:
        """On how new samples the answer to each query rests; None where it repeats none, or that can never be known.

        All have the same `answered_at`. SourceUnavailable where it could not be asked and asking again may help: what
        the query is answered then may be repeated. Nothing is raised.
        """
        ...

    async def reach(self) -> None:
        """One cheap question, asked once, that shows whether the source answers at all. Raises SourceUnavailable."""
        ...


class RepeatsNothing:
    """A source that never answers with an older sample where there is no newer one yet."""

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:  # noqa: ARG002 - for others
        """As `Source.freshness`: it repeats none."""
        return [None] * len(asked)


def values_of(deployment: Deployment) -> dict[str, str]:
    """What `$service`, `$environment`, `$version`, `$previous_version`, `$traffic_ratio`, `$label_NAME` stand for."""
    known = {
        "service": deployment.service,
        "environment": deployment.environment,
        "version": deployment.version,
        "previous_version": deployment.previous_version,
        "traffic_ratio": None if deployment.traffic_ratio is None else repr(deployment.traffic_ratio),
    }
    labels = {f"label_{name}": value for name, value in deployment.labels.items()}
    return {name: value for name, value in known.items() if value is not None} | labels


async def ask(
    source: Source, query: str | Mapping[str, Any], values: Mapping[str, str], window: Window, step: timedelta
) -> list[Series]:
    """The series of one query. Raises SourceError."""
    (found,) = await source.fetch([source.prepare(query).bind(values)], window, step)
    if isinstance(found, SourceError):
        raise found
    return found


@lru_cache(maxsize=16)
def grid(window: Window, step: timedelta) -> Floats:
    """The multiples of `step` (Unix seconds) inside the window, so that the same time is asked for in every look.

    Raises SourceRefused unless the step is a whole number of seconds and the window holds at least one point.
    """
    seconds = step.total_seconds()
    if seconds < 1 or seconds != int(seconds):
        raise SourceRefused("bad_step", f"the step has to be a whole number of seconds, not {seconds:g} s")
    first = math.ceil(window.start.timestamp() / seconds)
    last = math.floor(window.end.timestamp() / seconds)
    if last < first:
        raise SourceRefused("bad_window", f"no multiple of {seconds:g} s lies between {window.start} and {window.end}")
    points = np.arange(first, last + 1, dtype=np.float64) * seconds
    points.setflags(write=False)
    return points


class Samples(Protocol):
    """Values in order of time, in memory or on disk."""

    def __getitem__(self, part: slice, /) -> Floats:
        """Those from one place to another."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GridPlaces:
    """Which samples stand at the points of a grid: of those from `begin` to before `end` the `latest` (k,) at the
    points that are `fresh` (n,); one at each point where that is None."""

    begin: int
    end: int
    fresh: NDArray[np.bool_] | None = None
    latest: NDArray[np.intp] | None = None

    @classmethod
    def of(cls, times: Floats, points: Floats, lookback: float) -> "GridPlaces":
        """At each point the last sample at or before it that is less than `lookback` seconds old.

        `times` are in order; of two samples at one time the later one counts.
        """
        begin = int(np.searchsorted(times, points[0] - lookback, side="right"))
        end = int(np.searchsorted(times, points[-1], side="right"))
        times = times[begin:end]
        if np.array_equal(times, points):  # recorded on this very grid
            return cls(begin=begin, end=end)
        latest = np.searchsorted(times, points, side="right") - 1
        fresh = latest >= 0
        fresh[fresh] = points[fresh] - times[latest[fresh]] < lookback
        return cls(begin=begin, end=end, fresh=fresh, latest=latest[fresh])

    def values_of(self, samples: Samples) -> Floats:
        """The values at the points (n,), NaN where none is fresh; read-only. Only what the points need is read."""
        known = samples[self.begin : self.end]
        if self.fresh is None:
            gridded = np.array(known, dtype=np.float64)
        else:
            gridded = np.full(len(self.fresh), np.nan)
            gridded[self.fresh] = known[self.latest]
        gridded.setflags(write=False)
        return gridded


def on_grid(times: Floats, values: Samples, points: Floats, lookback: float) -> Floats:
    """The values of samples on a grid, as `GridPlaces` has them."""
    return GridPlaces.of(times, points, lookback).values_of(values)
