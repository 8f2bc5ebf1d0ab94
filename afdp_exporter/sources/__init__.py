"""Query and window -> series. One file a metrics system; its name is the kind in the configuration.

A source owns its query language: what its variables look like, how a value is escaped, what it refuses. A query is
text or a mapping, as the configuration has it; nothing outside of this package reads it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias

from afdp_exporter.errors import SourceError
from afdp_exporter.model import Deployment, Floats, Series, Window

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

    def bind(self, values: Mapping[str, str]) -> Bound:
        """The query about one deployment, of which no value changes what it asks. Raises SourceRefused."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Freshness:
    """On how new samples the points of an answer rest: a server may repeat its last sample for minutes.

    `newest` (n,) are the Unix seconds of the newest sample at `times` (n,), NaN where there is none; `answered_at` is
    the server's own clock, None where it does not tell.
    """

    times: Floats
    newest: Floats
    answered_at: datetime | None = None


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

    async def freshness(self, asked: Bound, window: Window, step: timedelta) -> Freshness | None:
        """On how new samples the answer to a query rests; None where it repeats none, or where that cannot be known."""
        ...

    async def reach(self) -> None:
        """One cheap question, asked once, that shows whether the source answers at all. Raises SourceUnavailable."""
        ...


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
