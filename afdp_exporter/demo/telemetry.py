"""The shop's series as they would be without any deployment: seasons, a sale, noise that wanders."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from afdp_exporter.demo import shop
from afdp_exporter.model import CalendarEntry, Floats

Key = tuple[str, str | None]
"""Metric and service; None where the series belongs to the whole shop."""

SESSIONS_AT_MEAN_DEMAND = 9_000.0
SALE_DEMAND = 1.8
USD_PER_REPLICA_HOUR = 0.70
_DAY = 86_400.0
_MONDAY = 4 * _DAY  # the first Monday of Unix time
_WEEK = np.array([1.02, 1.0, 1.0, 1.01, 1.05, 0.94, 0.92])  # by weekday, Monday first


@dataclass(frozen=True, slots=True, kw_only=True)
class Usual:
    """How one service behaves at mean demand."""

    latency: float  # seconds
    errors: float  # ratio
    requests: float  # per second
    cpu: float  # ratio
    replicas: float


SERVICES: Mapping[str, Usual] = {
    shop.API: Usual(latency=0.180, errors=0.004, requests=420.0, cpu=0.42, replicas=14.0),
    shop.CHECKOUT: Usual(latency=0.240, errors=0.006, requests=130.0, cpu=0.38, replicas=9.0),
    shop.WORKER: Usual(latency=0.350, errors=0.003, requests=60.0, cpu=0.50, replicas=7.0),
}


def demand(times: Floats) -> Floats:
    """The shop's expected demand relative to its mean, (n,): day and week, without sale and noise."""
    hour = times % _DAY / 3600
    daily = 1 + 0.33 * np.cos(2 * np.pi * (hour - 15) / 24) + 0.06 * np.cos(4 * np.pi * (hour - 20) / 24)
    noons = np.arange(-1, 8) + 0.5  # from noon to noon the week moves in straight lines
    weekly = np.interp((times - _MONDAY) / _DAY % 7, noons, _WEEK[np.arange(-1, 8) % 7])
    return np.asarray(daily * weekly)


def telemetry(times: Floats, sale: CalendarEntry, seed: int) -> dict[Key, Floats]:
    """Every series of the shop on the grid `times` (n,), each from a generator of its own: one cannot move another."""
    noise = _Noise(seed=seed, n=len(times))
    on_sale = (times >= sale.start.timestamp()) & (times < sale.end.timestamp())
    wander = noise("demand", (0.0025, 120), (0.006, 1440))
    busy = demand(times) * np.where(on_sale, SALE_DEMAND, 1.0) * np.exp(wander)
    series: dict[Key, Floats] = {}
    for service in SERVICES:
        series |= _service(service, busy, noise)
    return series | _shop(busy, noise)


def _service(service: str, busy: Floats, noise: "_Noise") -> dict[Key, Floats]:
    usual = SERVICES[service]
    strain = busy - 1
    price = USD_PER_REPLICA_HOUR * np.exp(noise(f"{service} price", (0.004, 10), (0.006, 720)))
    replicas = np.ceil(usual.replicas * (0.55 + 0.45 * _trailing_mean(busy, 20)))
    latency = usual.latency * (1 + 0.10 * strain + noise(f"{service} latency", (0.014, 6), (0.010, 300)))
    errors = usual.errors * np.exp(0.2 * strain + noise(f"{service} errors", (0.18, 5), (0.10, 240)))
    cpu = usual.cpu * (1 + 0.45 * strain + noise(f"{service} cpu", (0.025, 8), (0.020, 360)))
    requests = usual.requests * busy * np.exp(noise(f"{service} requests", (0.008, 4), (0.004, 180)))
    return {
        (shop.LATENCY, service): latency,
        (shop.ERRORS, service): errors,
        (shop.REQUESTS, service): requests,
        (shop.CPU, service): cpu,
        (shop.REPLICAS, service): replicas,
        (shop.INFRA_COST, service): replicas * price,
    }


def _shop(busy: Floats, noise: "_Noise") -> dict[Key, Floats]:
    sessions = SESSIONS_AT_MEAN_DEMAND * busy * np.exp(noise("sessions", (0.003, 6), (0.002, 180)))
    abandonment = 0.68 + noise("abandonment", (0.006, 6), (0.004, 360))
    revenue = 8_000 * busy * np.exp(noise("revenue", (0.022, 4), (0.004, 240)))
    visits = 260 * busy * np.exp(noise("visits", (0.004, 4), (0.002, 240)))
    backlog = np.round(40 * busy * np.exp(noise("backlog", (0.22, 4), (0.10, 120))))
    chance = noise.generator("locks")
    waits = np.where(chance.random(noise.n) < 0.04, chance.exponential(0.4, noise.n), 0.0)
    return {
        (shop.SESSIONS, None): np.round(sessions),
        (shop.ABANDONMENT, None): abandonment,
        (shop.REVENUE, None): revenue,
        (shop.VISITS, None): visits,
        (shop.BACKLOG, None): backlog,
        (shop.LOCKS, None): waits,
        (shop.TICKETS, None): noise.generator("tickets").poisson(0.4 * busy).astype(np.float64),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noise:
    """Sums of first-order autoregressive noises, since real telemetry flickers and wanders at the same time."""

    seed: int
    n: int

    def generator(self, name: str) -> np.random.Generator:
        return np.random.default_rng((self.seed, zlib.crc32(name.encode())))

    def __call__(self, name: str, *parts: tuple[float, float]) -> Floats:
        """The sum of `parts`, (n,): each a standard deviation and the steps after which its memory is down to 1/e."""
        chance = self.generator(name)
        total = np.zeros(self.n)
        for deviation, memory in parts:
            kept = np.exp(-1 / memory)
            shocks = chance.standard_t(6, self.n) * np.sqrt(4 / 6 * (1 - kept**2))  # unit variance, heavy tails
            path, _ = lfilter([1.0], [1.0, -kept], shocks, zi=[kept * chance.standard_normal()])
            total += deviation * path
        return total


def _trailing_mean(values: Floats, n: int) -> Floats:
    """The mean of the last `n` points, (n,), as an autoscaler sees its load; the start is held."""
    sums = np.cumsum(np.concatenate([np.full(n, values[0]), values]))
    return np.asarray((sums[n:] - sums[:-n]) / n)
