"""Doubles of the monitors that are asked over the internet: they hold series, and answer as their documents say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from aiohttp import web

from afdp_exporter.model import Floats, Series


@dataclass
class Monitor:
    """Holds series whose value at t is that of the stretch before t; the others say what goes wrong on purpose.

    `widened` is how many times longer the answered stretches are than those asked for.
    """

    series: tuple[Series, ...] = ()
    widened: int = 1
    asked: list[tuple[web.Request, bytes]] = field(default_factory=list)

    async def note(self, request: web.Request) -> bytes:
        """Keep what is asked."""
        body = await request.read()
        self.asked.append((request, body))
        return body

    def selected(self, name: str, where: Mapping[str, str]) -> Iterable[Series]:
        """The series of a name with these labels."""
        for each in self.series:
            if each.metric == name and all(each.labels.get(label, "") == value for label, value in where.items()):
                yield each


def buckets(series: Series, start: float, end: float, width: float) -> dict[float, float]:
    """The stretches of a series that begin in [start, end): the mean of each by its beginning; without gaps."""
    near = slice(*np.searchsorted(series.times, (start, end + width + 1)).tolist())
    starts, known = np.floor((series.times[near] - 1e-6) / width) * width, series.values[near]
    inside = (starts >= start) & (starts < end) & ~np.isnan(known)
    found: dict[float, list[float]] = {}
    for at, value in zip(starts[inside].tolist(), known[inside].tolist(), strict=True):
        found.setdefault(at, []).append(value)
    return {at: sum(values) / len(values) for at, values in found.items()}


def at_minutes(first: float, values: Floats | list[float], name: str = "m", **labels: str) -> Series:
    """A series of one value a minute."""
    times = first + 60 * np.arange(len(values), dtype=np.float64)
    return Series(metric=name, labels=labels, times=times, values=np.asarray(values, dtype=np.float64))
