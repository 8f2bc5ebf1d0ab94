"""What deployments do to the shop, decided by their traits alone: the rules that there are to be learned."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from enum import StrEnum

import numpy as np

from afdp_exporter.demo import shop
from afdp_exporter.demo.telemetry import SERVICES, SESSIONS_AT_MEAN_DEMAND, USD_PER_REPLICA_HOUR, demand
from afdp_exporter.model import CalendarEntry, ChangeType, Deployment, Floats


class Shape(StrEnum):
    """The course of an effect."""

    LEVEL = "level"  # at once, and it stays
    PULSE = "pulse"  # at once, and gone after its duration
    HUMP = "hump"  # grows for the first two fifths of its duration, then drains to nothing
    RAMP = "ramp"  # grows over the first half of its duration, then stays until the end of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One change of one series by one deployment, added to what the series would have been.

    `size` is in the metric's own unit (of a hump and a ramp: the peak). `duration` None: it lasts. An effect that
    `undoes` an earlier one is that one's end seen from the deployment that fixed it, and is not added a second time.
    """

    deployment_id: str
    metric: str
    service: str | None  # the label of the series; None: a series of the whole shop
    shape: Shape
    onset: datetime
    size: float
    duration: timedelta | None = None
    undoes: str | None = None

    def course(self, times: Floats) -> Floats:
        """What it adds at `times` (n,)."""
        since = times - self.onset.timestamp()
        length = self.duration.total_seconds() if self.duration else np.inf
        inside = (since >= 0) & (since < length)
        if self.shape is Shape.HUMP:
            height = np.interp(since / length, [0, 0.4, 1], [0, 1, 0])
        elif self.shape is Shape.RAMP:
            height = np.clip(since / (0.5 * length), 0, 1)
        else:
            height = np.ones_like(since)
        return np.asarray(np.where(inside, self.size * height, 0.0))


LARGE_TABLE_ROWS = 1e6
LARGE_RELEASE_FILES = 50
SALE_MULTIPLIER = 3.0
_MONDAY = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRule:
    """Deployments that it `concerns` have the effects that it plants: its documented figures times a strength."""

    concerns: Callable[[Deployment], bool]
    plant: Callable[[Deployment, float], tuple[Effect, ...]]


def effects_of(deployment: Deployment, sale: CalendarEntry, strength: float) -> list[Effect]:
    """What `deployment` does, `strength` times the documented figures, and three times that during the sale."""
    if sale.start <= deployment.started_at < sale.end:
        strength *= SALE_MULTIPLIER
    return [effect for law in LAWS if law.concerns(deployment) for effect in law.plant(deployment, strength)]


def reverted(effects: Iterable[Effect], culprit: Deployment, fix: Deployment) -> tuple[list[Effect], list[Effect]]:
    """The effects of `culprit` as they end by `fix`; the same ends as effects of the fix, lagging as they began."""
    lasted = fix.started_at - culprit.started_at
    ended = [replace(effect, duration=lasted) for effect in effects]
    ends = [
        replace(effect, deployment_id=fix.id, onset=effect.onset + lasted, size=-effect.size, undoes=culprit.id)
        for effect in effects
    ]
    return ended, ends


def is_update(deployment: Deployment) -> bool:
    """Whether it is a minor version of the API: from v2.0.3 to v2.1.0."""
    before, after = deployment.previous_version or "", deployment.version or ""
    major, middle = before.split(".")[:2]
    return deployment.service == shop.API and after.startswith(f"{major}.") and after.split(".")[1] != middle


def _update_of_the_api(deployment: Deployment, strength: float) -> tuple[Effect, ...]:
    at = deployment.started_at
    sessions = SESSIONS_AT_MEAN_DEMAND * float(demand(np.array([at.timestamp()]))[0])
    return (
        _effect(deployment, shop.LATENCY, at, 0.015 * strength, service=shop.API),
        _effect(deployment, shop.SESSIONS, at + _minutes(4), -0.02 * sessions * strength),
        _effect(deployment, shop.ABANDONMENT, at + _minutes(4), 0.03 * strength),
        _effect(deployment, shop.REVENUE, at + _minutes(10), -1_200 * strength),
    )


def _large_migration_on_a_monday(deployment: Deployment, strength: float) -> tuple[Effect, ...]:
    at = deployment.started_at
    locked = min(45 * strength, 58.0)  # seconds of one minute: the step sees it as a single sample

    def passing(metric: str, begins: int, ends: int, size: float, *, shape: Shape = Shape.PULSE) -> Effect:
        service = shop.API if metric in {shop.LATENCY, shop.ERRORS} else None
        lasts = _minutes(ends - begins)
        return _effect(deployment, metric, at + _minutes(begins), size, service=service, shape=shape, duration=lasts)

    return (
        passing(shop.LOCKS, 1, 2, locked),
        passing(shop.LATENCY, 1, 8, 0.4 * strength),
        passing(shop.ERRORS, 1, 8, 0.08 * strength),
        passing(shop.BACKLOG, 3, 15, 900 * strength, shape=Shape.HUMP),
        passing(shop.REVENUE, 4, 14, -2_400 * strength),
    )


def _large_release(deployment: Deployment, strength: float) -> tuple[Effect, ...]:
    at, service = deployment.started_at, deployment.service
    mended = datetime.combine(at.date() + timedelta(days=2), time(2), at.tzinfo)  # by hand, in the second night
    replicas = round(3 * strength)
    sizes = {
        shop.LATENCY: 0.08 * SERVICES[service].latency * strength,
        shop.REPLICAS: replicas,
        shop.INFRA_COST: replicas * USD_PER_REPLICA_HOUR,
    }
    return tuple(
        _effect(deployment, metric, at, size, service=service, duration=mended - at) for metric, size in sizes.items()
    )


def _unbounded_cache(deployment: Deployment, strength: float) -> tuple[Effect, ...]:
    at, lasts = deployment.started_at, timedelta(hours=20)
    effect = _effect(
        deployment, shop.CPU, at, 0.25 * strength, service=deployment.service, shape=Shape.RAMP, duration=lasts
    )
    return (effect,)


def _read_through_cache(deployment: Deployment, strength: float) -> tuple[Effect, ...]:
    service = deployment.service
    gain = -0.08 * SERVICES[service].latency * strength
    return (_effect(deployment, shop.LATENCY, deployment.started_at, gain, service=service),)


def _effect(
    deployment: Deployment,
    metric: str,
    onset: datetime,
    size: float,
    *,
    service: str | None = None,
    shape: Shape = Shape.LEVEL,
    duration: timedelta | None = None,
) -> Effect:
    return Effect(
        deployment_id=deployment.id,
        metric=metric,
        service=service,
        shape=shape,
        onset=onset,
        size=size,
        duration=duration,
    )


def _minutes(count: int) -> timedelta:
    return timedelta(minutes=count)


def _number(deployment: Deployment, trait: str) -> float:
    value = deployment.traits.get(trait, 0.0)
    return value if isinstance(value, float) else 0.0


LAWS = (
    EffectRule(concerns=is_update, plant=_update_of_the_api),
    EffectRule(
        concerns=lambda deployment: (
            ChangeType.DATABASE in deployment.change_types
            and deployment.started_at.weekday() == _MONDAY
            and _number(deployment, "table_rows") >= LARGE_TABLE_ROWS
        ),
        plant=_large_migration_on_a_monday,
    ),
    EffectRule(
        concerns=lambda deployment: _number(deployment, "files_changed") >= LARGE_RELEASE_FILES,
        plant=_large_release,
    ),
    EffectRule(concerns=lambda deployment: deployment.traits.get("cache") == "unbounded", plant=_unbounded_cache),
    EffectRule(concerns=lambda deployment: deployment.traits.get("cache") == "read-through", plant=_read_through_cache),
)
