"""Following new versions before they have all the traffic: each minute, by whoever knows how to compare them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import structlog

from afdp_exporter.errors import AFDPError, SourceError
from afdp_exporter.model import Deployment, Floats, Rollout, Window
from afdp_exporter.sources import Fetched
from afdp_exporter.store import Store

log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=1)  # a running canary is compared
_LONGEST = timedelta(hours=24)  # of a rollout: what comes later adds nothing that a check does not see
_UNFINISHED = timedelta(days=7)  # how far back a start is looked for after a restart


class Comparer(Protocol):
    """Knows what to hold a new version against."""

    def concerns(self, deployment: Deployment) -> bool:
        """Whether it is under way in a manner that can be compared."""

    async def compare(self, deployment: Deployment, now: datetime) -> Rollout:
        """What it shows by now. May raise AFDPError."""


@dataclass(slots=True, kw_only=True)
class Following:
    """Follows what is under way, and keeps what it shows."""

    store: Store
    comparers: tuple[Comparer, ...]
    clock: Callable[[], datetime]
    gone: Callable[[str], None] = lambda _: None
    _running: dict[str, tuple[Deployment, Comparer]] = field(default_factory=dict)
    _begun: bool = False
    _next: datetime | None = None

    def take(self, deployment: Deployment) -> bool:
        """A deployment was recorded or has changed; whether it is followed."""
        comparer = next((each for each in self.comparers if each.concerns(deployment)), None)
        if comparer is not None:
            if deployment.id not in self._running:
                self._next = None  # a new one is compared at once
            self._running[deployment.id] = deployment, comparer
        elif self._running.pop(deployment.id, None) is not None:
            self.gone(deployment.id)
        return comparer is not None

    async def work(self) -> datetime | None:
        """Compare each that is under way, once a minute; when that is due again, None while nothing is under way."""
        now = self.clock()
        if not self._begun:
            for each in await self.store.deployments.overlapping(now - _UNFINISHED, now):
                self.take(each)
            self._begun = True
        if self._next is not None and now < self._next:
            return self._next if self._running else None
        for deployment, comparer in tuple(self._running.values()):
            if now - deployment.started_at > _LONGEST:
                del self._running[deployment.id]
                self.gone(deployment.id)
                continue
            try:
                rollout = await comparer.compare(deployment, now)
                await self.store.rollouts.keep(deployment.service, rollout)
            except AFDPError as error:
                log.warning("rollout not compared", deployment=deployment.id, error=str(error))
        self._next = now + EVERY
        return self._next if self._running else None


def by_minutes(answers: Iterable[Fetched], window: Window) -> tuple[Floats, list[Floats]] | str:
    """The full minutes of a window (n,), Unix seconds, and each answer at them, NaN for gaps; or why there is none."""
    first = np.ceil(window.start.timestamp() / 60.0) * 60.0
    times = np.arange(first, window.end.timestamp() + 1e-6, 60.0)
    aligned = []
    for answer in answers:
        if isinstance(answer, SourceError):
            return str(answer)
        if len(answer) > 1:
            return f"{len(answer)} series answer one query: aggregate them, say with sum()"
        values = np.full(times.size, np.nan)
        if answer:
            places = np.round((answer[0].times - first) / 60.0).astype(int)
            inside = (places >= 0) & (places < times.size)
            values[places[inside]] = answer[0].values[inside]
        aligned.append(np.where(np.isfinite(values), values, np.nan))
    return times, aligned


def kept(values: Floats) -> tuple[float | None, ...]:
    """A course as it is stored: None for gaps."""
    return tuple(float(one) if np.isfinite(one) else None for one in values)


def restored(values: Iterable[float | None]) -> Floats:
    """A stored course: NaN for gaps."""
    return np.array([np.nan if one is None else one for one in values])
