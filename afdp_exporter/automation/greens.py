"""Holding green against earlier greens before its switch: each signal of its warm-up at the same age."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from afdp_exporter.automation.following import EVERY, by_minutes, kept, restored
from afdp_exporter.errors import SourceError
from afdp_exporter.gate.blue_green import PastSwitch, WarmUp, signal, switch
from afdp_exporter.gate.phase import phase_of
from afdp_exporter.model import Deployment, Floats, Metric, Outcome, Phase, Rollout, Window
from afdp_exporter.planning.planner import Planner
from afdp_exporter.planning.plans import Plans
from afdp_exporter.sources import values_of
from afdp_exporter.store import Store
from afdp_exporter.watching.evidence import MonitoringConfig

_EARLIER = 200  # switches of the service, and as many of all
_ENDED = {Outcome.SUCCESS: True, Outcome.DEGRADATION: False, Outcome.FAILURE: False}


@dataclass(frozen=True, slots=True)
class _Past:
    """A switch before this one: what was seen of green, and whether it did harm."""

    rollout: Rollout
    harmless: bool


@dataclass(slots=True, kw_only=True)
class Greens:
    """Compares a green that has no users yet with earlier ones."""

    store: Store
    planner: Planner
    watched: Callable[[], MonitoringConfig]
    plans: Callable[[], Plans]

    def concerns(self, deployment: Deployment) -> bool:
        """Whether it is a green before its switch: as long as nobody says that it has traffic, or that it is over."""
        return phase_of(deployment) is Phase.PREVIEW

    async def compare(self, deployment: Deployment, now: datetime) -> Rollout:
        """Ask for each metric that has a query for previews, and weigh it with the predicted risk."""
        watched = self.watched()
        metrics = [metric for metric in watched.metrics_of(deployment) if metric.preview is not None]
        fetched = await asyncio.gather(*(_fetch(metric, deployment, watched, now) for metric in metrics))
        both = tuple(zip(metrics, fetched, strict=True))
        lives = {metric.name: found for metric, found in both if not isinstance(found, str)}
        troubles = [f"{metric.name}: {found}" for metric, found in both if isinstance(found, str)]
        prediction = await self.planner.predict(deployment, self.plans(), now)
        own = await self._past(deployment, deployment.service)
        everyone = own if len(own) >= _EARLIER else await self._past(deployment, None)
        signals = [
            signal(_warm_up(metric, lives[metric.name], own, everyone)) for metric in metrics if metric.name in lives
        ]
        return Rollout(
            deployment_id=deployment.id,
            as_of=now,
            comparisons=(),
            signals={name: kept(life) for name, life in lives.items()},
            switch=switch(signals, prediction.risk.median, _ends(own), len(everyone)) if metrics else None,
            trouble="; ".join(troubles) or None,
        )

    async def _past(self, deployment: Deployment, service: str | None) -> list[_Past]:
        """The switches of a service, or of all, whose end is known, oldest first."""
        before = deployment.started_at
        rollouts = await self.store.rollouts.newest(service, before=before, limit=_EARLIER)
        measured = await self.store.history.measured(before=before, service=service, limit=2 * _EARLIER)
        here = [each for each in measured if each.deployment.environment == deployment.environment]
        ends = {each.deployment.id: _ENDED.get(each.decision.outcome) for each in here}
        return [
            _Past(rollout, harmless)
            for rollout in rollouts
            if rollout.signals and (harmless := ends.get(rollout.deployment_id)) is not None
        ]


async def _fetch(metric: Metric, deployment: Deployment, watched: MonitoringConfig, now: datetime) -> Floats | str:
    """Green by minutes of its age, or why there is nothing."""
    _, source = watched.source_of(metric)
    window = Window(start=deployment.started_at, end=max(now - source.settles_after, deployment.started_at + EVERY))
    try:
        bound = source.prepare(metric.preview or "").bind(values_of(deployment))
    except SourceError as error:
        return str(error)
    found = by_minutes(await source.fetch([bound], window, EVERY), window)
    return found if isinstance(found, str) else found[1][0]


def _warm_up(metric: Metric, life: Floats, own: Sequence[_Past], everyone: Iterable[_Past]) -> WarmUp:
    """Signals are the service's own; how often harm shows in one is taken from all that have a metric of its name."""
    scores = [
        one.score
        for past in everyone
        if not past.harmless and past.rollout.switch is not None
        for one in past.rollout.switch.signals
        if one.metric == metric.name and one.score is not None
    ]
    return WarmUp(
        metric=metric.name,
        worse=metric.worse,
        green=life,
        earlier=tuple(restored(past.rollout.signals.get(metric.name, ())) for past in own if past.harmless),
        harmful=np.array(scores, dtype=float),
    )


def _ends(own: Iterable[_Past]) -> list[PastSwitch]:
    return [
        PastSwitch(log_odds=known.log_odds, confidence=known.confidence_ratio, harmless=past.harmless)
        for past in own
        if (known := past.rollout.switch) is not None and known.confidence_ratio is not None
    ]
