"""A trial source that speaks another language: queries are mappings, values are globs, several are asked in one call.

It shows that a source is one file: nothing else of the program knows its language.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import numpy as np

from afdp_exporter.errors import SourceRefused, SourceUnavailable
from afdp_exporter.model import Series, Window
from afdp_exporter.sources import Bound, Fetched, FreshnessAnswer, grid, on_grid

_KNOWN = {"service", "environment", "version"}
_VARIABLE = re.compile(r"\{\{(\w+)\}\}")
_SPECIAL = re.compile(r"([*?\[\]\\])")


@dataclass(frozen=True, slots=True)
class Globs:
    """A bound query: the name of a metric, and a glob for each label that counts."""

    target: str
    where: tuple[tuple[str, str], ...]
    ranges: ClassVar[tuple[tuple[str, timedelta], ...]] = ()

    @property
    def text(self) -> str:
        """As people read it."""
        return ";".join([self.target, *(f"{name}={glob}" for name, glob in self.where)])


@dataclass(frozen=True, slots=True)
class TagQuery:
    """As `sources.Query`."""

    target: str
    where: tuple[tuple[str, str], ...]
    rate_window: ClassVar[timedelta | None] = None
    averages_over: ClassVar[timedelta | None] = None

    @property
    def variables(self) -> frozenset[str]:
        """As `Query.variables`."""
        return frozenset(name for _, glob in self.where for name in _VARIABLE.findall(glob))

    def bind(self, values: Mapping[str, str]) -> Globs:
        """As `Query.bind`: in a glob a value loses its meaning."""

        def value(match: re.Match[str]) -> str:
            if match[1] not in values:
                raise SourceRefused("missing_value", f"the query needs {match[0]}")
            return _SPECIAL.sub(r"\\\1", values[match[1]])

        return Globs(self.target, tuple((name, _VARIABLE.sub(value, glob)) for name, glob in self.where))


class GraphiteLike:
    """Series in memory, asked by tags."""

    remote: ClassVar[bool] = True
    queries_per_call: ClassVar[int] = 3
    settles_after: ClassVar[timedelta] = timedelta(minutes=2)

    def __init__(self, series: Sequence[Series]) -> None:
        self.series = tuple(series)
        self.away = False
        self.calls: list[int] = []

    def prepare(self, query: str | Mapping[str, Any]) -> TagQuery:
        """As `Source.prepare`."""
        if (
            not isinstance(query, Mapping)
            or set(query) - {"target", "where"}
            or not isinstance(query.get("target"), str)
        ):
            raise SourceRefused("bad_query", "a query is {target: NAME, where: {LABEL: GLOB}}")
        found = TagQuery(query["target"], tuple(sorted(query.get("where", {}).items())))
        if unknown := sorted(found.variables - _KNOWN):
            raise SourceRefused("bad_query", f"{{{{{unknown[0]}}}}} is unknown")
        return found

    async def fetch(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[Fetched]:
        """As `Source.fetch`."""
        self.calls.append(len(asked))
        if self.away:
            return [SourceUnavailable("connection", "no connection") for _ in asked]
        try:
            points = grid(window, step)
        except SourceRefused as error:
            return [error for _ in asked]
        return [self._selected(each, points, step) if isinstance(each, Globs) else [] for each in asked]

    def _selected(self, asked: Globs, points: np.ndarray, step: timedelta) -> Fetched:
        found: list[Series] = []
        for each in self.series:
            named = each.metric == asked.target
            if named and all(_matches(glob, each.labels.get(name, "")) for name, glob in asked.where):
                values = on_grid(each.times, each.values, points, step.total_seconds())
                if not np.isnan(values).all():
                    found.append(Series(metric=each.metric, labels=each.labels, times=points, values=values))
        return found

    async def freshness(self, asked: Sequence[Bound], window: Window, step: timedelta) -> list[FreshnessAnswer]:
        """As `Source.freshness`."""
        return [None] * len(asked)

    async def reach(self) -> None:
        """As `Source.reach`."""
        if self.away:
            raise SourceUnavailable("connection", "no connection")


def _matches(glob: str, text: str) -> bool:
    pattern, plain = "", False
    for char in glob:
        if char == "\\" and not plain:
            plain = True
            continue
        special = {"*": ".*", "?": "."}.get(char) if not plain else None
        pattern, plain = pattern + (special or re.escape(char)), False
    return re.fullmatch(pattern, text, re.DOTALL) is not None
