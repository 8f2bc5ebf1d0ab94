"""The demo's world: its series, its deployments, and the truth about what they did."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from afdp_exporter.demo import shop
from afdp_exporter.demo.deployments import deployments
from afdp_exporter.demo.effects import Effect, effects_of, is_update, reverted
from afdp_exporter.demo.telemetry import Key, telemetry
from afdp_exporter.model import CalendarEntry, Deployment, Floats, Series

_DECIMALS = {shop.LATENCY: 5, shop.ERRORS: 6, shop.CPU: 4, shop.ABANDONMENT: 5, shop.LOCKS: 2, shop.REVENUE: 2}
_WHOLE = (shop.REPLICAS, shop.BACKLOG, shop.SESSIONS, shop.TICKETS)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A shop with a known truth. Its series go on for a day after `end`, for whoever lives on in it."""

    end: datetime
    seed: int
    series: tuple[Series, ...]
    deployments: tuple[Deployment, ...]  # oldest first
    truth: tuple[Effect, ...]
    sale: CalendarEntry

    @property
    def update(self) -> Deployment:
        """The newest update of the API: one of the two stories."""
        return self._newest_that_moves(shop.ABANDONMENT)

    @property
    def migration(self) -> Deployment:
        """The newest migration that hurt: the other one."""
        return self._newest_that_moves(shop.LOCKS)

    def effects(self, deployment_id: str) -> tuple[Effect, ...]:
        """What one deployment truly did; nothing, for most of them."""
        return tuple(effect for effect in self.truth if effect.deployment_id == deployment_id)

    def _newest_that_moves(self, metric: str) -> Deployment:
        culprits = {effect.deployment_id for effect in self.truth if effect.metric == metric and not effect.undoes}
        return max((d for d in self.deployments if d.id in culprits), key=_start)


def _start(deployment: Deployment) -> datetime:
    return deployment.started_at


def make_world(end: datetime, *, seed: int = 0, effects: bool = True) -> World:
    """The eight weeks before `end` (an aware time, cut to the minute) and the day after it, every minute.

    The same `end` and `seed` give the same world, and a later `end` with the same newest update sees the same world
    further on. Without `effects` it is the same world in which no deployment does anything: what the effects are
    measured against.
    """
    end = end.astimezone(UTC).replace(second=0, microsecond=0)
    story = shop.story_at(end)
    sale = shop.sale(story)
    chance = np.random.default_rng(seed)
    done = deployments(story, chance)
    truth = _truth(done, sale, chance) if effects else ()
    times = _minutes(story - shop.HISTORY, story + timedelta(days=2) + shop.AHEAD)
    begins = int((end - story) / shop.STEP)
    seen = slice(begins, begins + int((shop.HISTORY + shop.AHEAD) / shop.STEP) + 1)
    lived = {deployment.id for deployment in done if end - shop.HISTORY <= deployment.started_at < end}
    return World(
        end=end,
        seed=seed,
        series=tuple(
            _series(key, times[seen], _touched(values, key, times, truth)[seen])
            for key, values in telemetry(times, sale, seed).items()
        ),
        deployments=tuple(deployment for deployment in done if deployment.id in lived),
        truth=tuple(effect for effect in truth if effect.deployment_id in lived),
        sale=sale,
    )


def _minutes(start: datetime, end: datetime) -> Floats:
    return np.arange(start.timestamp(), end.timestamp() + 1, shop.STEP.total_seconds())


def _truth(done: tuple[Deployment, ...], sale: CalendarEntry, chance: np.random.Generator) -> tuple[Effect, ...]:
    """The effects of all deployments, in the order of their onsets."""
    truth: list[Effect] = []
    for deployment, strength in zip(done, _strengths(done, sale, chance), strict=True):
        if deployment.traits.get("hotfix"):
            culprit = max((d for d in done if is_update(d) and d.started_at < deployment.started_at), key=_start)
            ended, ends = reverted(
                [effect for effect in truth if effect.deployment_id == culprit.id], culprit, deployment
            )
            truth = [effect for effect in truth if effect.deployment_id != culprit.id] + ended + ends
        else:
            truth += effects_of(deployment, sale, strength)
    return tuple(sorted(truth, key=lambda effect: effect.onset))


def _strengths(done: tuple[Deployment, ...], sale: CalendarEntry, chance: np.random.Generator) -> list[float]:
    """How much stronger or weaker than documented each deployment's effects are; the newest of a kind is exact."""
    strengths, met = [], set()
    for deployment in reversed(done):
        kind = tuple(effect.metric for effect in effects_of(deployment, sale, 1.0))
        strengths.append(float(chance.uniform(0.85, 1.2)) if kind in met else 1.0)
        met.add(kind)
    return strengths[::-1]


def _touched(values: Floats, key: Key, times: Floats, truth: tuple[Effect, ...]) -> Floats:
    """The values (n,) with every effect on their series."""
    own = [effect for effect in truth if (effect.metric, effect.service) == key and not effect.undoes]
    return values + np.sum([effect.course(times) for effect in own], axis=0) if own else values


def _series(key: Key, times: Floats, values: Floats) -> Series:
    metric, service = key
    values = np.maximum(values, 0).round(0 if metric in _WHOLE else _DECIMALS.get(metric, 3))
    times.setflags(write=False)
    values.setflags(write=False)
    return Series(metric=metric, labels={"service": service} if service else {}, times=times, values=values)
