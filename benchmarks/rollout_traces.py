"""Series around a row of deployments of one service, each of which leaves the same trace; the truth is known."""

from dataclasses import dataclass

import numpy as np

STEP = 60.0
HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """`times` and `values` (n,); the last of `deployments` (Unix seconds) is the one that is judged."""

    times: np.ndarray
    values: np.ndarray
    deployments: tuple[float, ...]

    @property
    def after(self) -> np.ndarray:
        """Which times lie after the last deployment."""
        return self.times >= self.deployments[-1]

    def raised(self, ratio: float) -> "Row":
        """With a lasting change by the last deployment."""
        return Row(
            times=self.times,
            values=np.where(self.after, (1.0 + ratio) * self.values, self.values),
            deployments=self.deployments,
        )


def calm(rng: np.random.Generator, hours: float, earlier: int, minutes: int = 30) -> Row:
    """Deployments that do nothing, at least 40 minutes apart, to a level of 100 that follows the day and wanders."""
    before = int(hours * HOUR / STEP)
    times = 1.7e9 + STEP * np.arange(before + minutes)
    noise = np.convolve(rng.normal(0.0, 2.0, times.size + 10), 0.6 ** np.arange(10), "valid")[: times.size]
    daily = rng.choice([0.0, 15.0]) * np.sin(2 * np.pi * times / 86_400.0 + rng.uniform(0, 6))
    gaps = rng.uniform(0.5, 1.5, earlier)
    places = before - np.cumsum(0.95 * before * gaps / gaps.sum()).astype(int)
    at = times[[*sorted(places.tolist()), before]] - rng.uniform(0.0, STEP, earlier + 1)
    return Row(times=times, values=100.0 + daily + noise, deployments=tuple(at.tolist()))


def cold_caches(rng: np.random.Generator, hours: float = 72.0, earlier: int = 8, minutes: int = 30) -> Row:
    """Each deployment is followed by a spike of about three minutes, near twice the level."""
    row = calm(rng, hours, earlier, minutes)
    values = row.values.copy()
    for at in row.deployments:
        spike = (row.times >= at) & (row.times < at + rng.uniform(130.0, 250.0))
        values[spike] += rng.uniform(70.0, 120.0)
    return Row(times=row.times, values=values, deployments=row.deployments)


def leak(rng: np.random.Generator, hours: float = 72.0, earlier: int = 8, minutes: int = 30) -> Row:
    """The value climbs until the next deployment, and starts again with each."""
    row = calm(rng, hours, earlier, minutes)
    values, starts = np.zeros_like(row.values), [row.times[0] - 5 * HOUR, *row.deployments]
    for at in starts:
        since = row.times >= at
        climb = rng.uniform(0.9, 1.1) * 40.0 * (row.times[since] - at) / HOUR
        values[since] = 150.0 + climb + 0.5 * (row.values[since] - 100.0)
    return Row(times=row.times, values=values, deployments=row.deployments)


def uptime(rng: np.random.Generator, hours: float = 24.0, earlier: int = 2, minutes: int = 30) -> Row:
    """Seconds since the last deployment was up."""
    row = calm(rng, hours, earlier, minutes)
    values = row.times - row.times[0] + 4 * HOUR
    for at in row.deployments:
        since = row.times >= at
        values[since] = np.maximum(row.times[since] - at - rng.uniform(0.0, 20.0), 0.0)
    return Row(times=row.times, values=values, deployments=row.deployments)


def worse_each_time(rng: np.random.Generator, earlier: int = 8) -> Row:
    """Each deployment raises the level, and it stays."""
    row = calm(rng, 72.0, earlier)
    steps = sum(20.0 * (row.times >= at) for at in row.deployments)
    return Row(times=row.times, values=row.values + steps, deployments=row.deployments)
