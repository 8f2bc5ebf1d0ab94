"""What is under way at the end of the shop's history: a canary that is worse, and a green that needs more memory.

Beside the shop, so that nothing of its truth changes: a search with 1 % of its traffic on a new version, whose errors
are two and a half times as many, and a catalogue that is switched from blue to green every day.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from scipy.signal import lfilter

from afdp_exporter.demo import shop
from afdp_exporter.model import (
    Denominator,
    Deployment,
    Floats,
    Layer,
    Metric,
    Money,
    Outcome,
    Rollout,
    Series,
    Service,
    Status,
    Strategy,
    Worse,
)

SEARCH, CATALOGUE = "search", "catalogue"
SHARE = 0.01
TIMES_ERRORS = 2.5  # of the canary
MORE_MEMORY = 1.35  # of the green that is under way
_GREENS = 12  # before that one, a day apart
FAILED, _TURNOVER, _MEMORY, _STARTED = (
    "failed_searches_ratio",
    "search_turnover_usd_per_hour",
    "memory_bytes",
    "start_seconds",
)
_CANARY_RUNS, _GREEN_RUNS = timedelta(minutes=40), timedelta(minutes=12)
_WARM_UP = 30  # minutes of each green that are recorded


def _of(name: str, version: str) -> str:
    return f'{name}{{service="$service", version="{version}"}}'


METRICS = (
    Metric(
        name=FAILED,
        layer=Layer.USER,
        worse=Worse.UP,
        query=f'{FAILED}{{service="$service"}}',
        canary=_of("failed_searches", "$version"),
        stable=_of("failed_searches", "$previous_version"),
        of=Denominator(canary=_of("searches", "$version"), stable=_of("searches", "$previous_version")),
    ),
    Metric(
        name=_TURNOVER,
        layer=Layer.BUSINESS,
        worse=Worse.DOWN,
        money=Money(currency="USD", per_unit=1),
        query=f'{_TURNOVER}{{service="$service"}}',
        canary=_of("turnover", "$version"),
        stable=_of("turnover", "$previous_version"),
    ),
    Metric(
        name=_MEMORY,
        layer=Layer.SYSTEM,
        worse=Worse.UP,
        query=f'{_MEMORY}{{service="$service"}}',
        preview=_of("green_memory_bytes", "$version"),
    ),
    Metric(
        name=_STARTED,
        layer=Layer.SYSTEM,
        worse=Worse.UP,
        primary=False,
        query=f'{_STARTED}{{service="$service"}}',
        preview=_of("green_start_seconds", "$version"),
    ),
)
SERVICES = (
    Service(name=SEARCH, team="storefront", metrics=(FAILED, _TURNOVER)),
    Service(name=CATALOGUE, team="storefront", metrics=(_MEMORY, _STARTED)),
)
FAILED_LIMIT = 0.02
"""The share of searches that must not fail, whatever it costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """The two services: what runs, what was switched before, what those greens looked like, and all series."""

    running: tuple[Deployment, ...]
    switched: tuple[Deployment, ...]
    greens: tuple[Rollout, ...]
    series: tuple[Series, ...]


def under_way(end: datetime, seed: int) -> UnderWay:
    """Both as of `end`, an aware time at a full minute; their series go on for a day, as the shop's do."""
    canary = Deployment(
        id="search-v3.1.0", service=SEARCH, environment=shop.ENVIRONMENT, version="v3.1.0", previous_version="v3.0.4",
        started_at=end - _CANARY_RUNS, status=Status.STARTED, strategy=Strategy.CANARY, traffic_ratio=SHARE,
        team="storefront", description="A new ranking", received_at=end - _CANARY_RUNS, received_from="demo",
    )  # fmt: skip
    greens = tuple(_green(end, number) for number in range(_GREENS, -1, -1))
    lives = {green.id: _life(green, seed) for green in greens}
    return UnderWay(
        running=(canary, greens[-1]),
        switched=greens[:-1],
        greens=tuple(_seen(green, lives[green.id]) for green in greens[:-1]),
        series=(*_searches(canary, end, seed), *_levels(end, seed), *_running(greens[-1], lives[greens[-1].id])),
    )


def _green(end: datetime, days_ago: int) -> Deployment:
    """A switch of an earlier day, which went well, or (0 days ago) the green that waits for its switch."""
    at = end - _GREEN_RUNS - timedelta(days=days_ago)
    over = at + _GREEN_RUNS if days_ago else None
    number = _GREENS - days_ago
    return Deployment(
        id=f"catalogue-v8.{number}.0", service=CATALOGUE, environment=shop.ENVIRONMENT, version=f"v8.{number}.0",
        previous_version=f"v8.{number - 1}.0" if number else None, started_at=at, finished_at=over,
        status=Status.SUCCEEDED if over else Status.STARTED, strategy=Strategy.BLUE_GREEN, team="storefront",
        labelled_outcome=Outcome.SUCCESS if over else None, traits={"scale_down_delay_seconds": 1200.0},
        received_at=at, received_from="demo",
    )  # fmt: skip


def _life(green: Deployment, seed: int) -> dict[str, Floats]:
    """Both signals of a green by minutes of its age, (30,)."""
    chance, age = _generator(green.id, seed), np.arange(_WARM_UP)
    more = MORE_MEMORY if green.status is Status.STARTED else 1.0
    memory = 800e6 * more * float(np.exp(chance.normal(0, 0.02))) * (1 + 0.004 * age)
    return {
        _MEMORY: (memory * (1 + chance.normal(0, 0.004, _WARM_UP))).round(),
        _STARTED: np.full(_WARM_UP, round(float(41 * np.exp(chance.normal(0, 0.05))), 1)),
    }


def _seen(green: Deployment, life: Mapping[str, Floats]) -> Rollout:
    """What was seen of an earlier green until its switch."""
    minutes = int(_GREEN_RUNS / shop.STEP)
    signals = {name: tuple(map(float, values[:minutes])) for name, values in life.items()}
    return Rollout(deployment_id=green.id, as_of=green.ended_at, comparisons=(), signals=signals)


def _running(green: Deployment, life: Mapping[str, Floats]) -> Iterator[Series]:
    times: Floats = green.started_at.timestamp() + 60.0 * np.arange(_WARM_UP, dtype=np.float64)
    labels = {"service": CATALOGUE, "version": green.version or ""}
    for name, values in life.items():
        yield Series(metric=f"green_{name}", labels=labels, times=times, values=values)


def _searches(canary: Deployment, end: datetime, seed: int) -> Iterator[Series]:
    """Searches of each minute, those that failed, and the turnover an hour, by version."""
    chance = _generator("searches", seed)
    start = canary.started_at - timedelta(hours=13)
    times = np.arange(start.timestamp(), (end + shop.AHEAD).timestamp() + 1, 60.0)
    since = times >= canary.started_at.timestamp()
    common = 0.02 * _wander(times.size, chance)
    for version, share, factor, seen in (
        (canary.previous_version or "", np.where(since, 1 - SHARE, 1.0), 1.0, np.ones(times.size, dtype=bool)),
        (canary.version or "", np.full(times.size, SHARE), TIMES_ERRORS, since),
    ):
        searches = chance.poisson(30_000 * share).astype(float)
        failed = chance.poisson(searches * 0.01 * factor).astype(float)
        noise = 0.002 / np.sqrt(share) * _wander(times.size, chance)
        turnover = (2_400 * (1 + common + noise) * (1.0 if factor == 1.0 else 0.98)).round(2)
        labels = {"service": SEARCH, "version": version}
        for name, values in (("searches", searches), ("failed_searches", failed), ("turnover", turnover)):
            yield Series(metric=name, labels=labels, times=times[seen], values=values[seen])


def _levels(end: datetime, seed: int) -> Iterator[Series]:
    """The metrics of both services as a whole, which nothing moves that can be seen there."""
    times = np.arange((end - shop.HISTORY).timestamp(), (end + shop.AHEAD).timestamp() + 1, 60.0)
    for name, service, level, scatter in (
        (FAILED, SEARCH, 0.01, 0.03),
        (_TURNOVER, SEARCH, 2_400.0, 0.02),
        (_MEMORY, CATALOGUE, 850e6, 0.004),
        (_STARTED, CATALOGUE, 41.0, 0.01),
    ):
        values = level * (1 + scatter * _wander(times.size, _generator(name, seed)))
        yield Series(metric=name, labels={"service": service}, times=times, values=values)


def _wander(n: int, chance: np.random.Generator) -> Floats:
    """An autocorrelated noise of variance one, (n,)."""
    kept_share = 0.7
    return np.asarray(lfilter([np.sqrt(1 - kept_share**2)], [1.0, -kept_share], chance.normal(size=n)))


def _generator(name: str, seed: int) -> np.random.Generator:
    return np.random.default_rng((seed, zlib.crc32(name.encode())))
