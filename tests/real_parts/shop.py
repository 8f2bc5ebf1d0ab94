"""The demo's shop in a real Prometheus: a world of fixed chance, moved so that it ends now."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from afdp_exporter.demo import shop
from afdp_exporter.demo.recording import body
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.model import Deployment, Series

_END = datetime(2026, 3, 4, 17, tzinfo=UTC)  # three hours after the update of the API


class Shop:
    """What happened in the shop lately, in the time of this machine."""

    def __init__(self) -> None:
        now = datetime.fromtimestamp(time.time() // 60 * 60, UTC)
        self.world = _moved(make_world(_END), now - _END)

    def series(self, days: int = 8) -> Iterator[Series]:
        """What a Prometheus would have scraped by now in so many days; an analysis reads 7 of them, and a bit."""
        since = (self.world.end - timedelta(days=days)).timestamp()
        for series in self.world.series:
            known = series.until(self.world.end)
            there = known.times >= since
            yield replace(known, times=known.times[there], values=known.values[there])

    def update(self) -> dict[str, Any]:
        """The update of the API that hurts, as its sender reports it."""
        return body(self.world.update)

    def quiet(self) -> dict[str, Any]:
        """A deployment that does nothing, five hours before the update."""
        at = self.world.update.started_at - timedelta(hours=5)
        made = replace(self.world.update, id="worker-quiet", service=shop.WORKER, version="v9", traits={})
        return body(replace(made, started_at=at, finished_at=at + timedelta(minutes=1)))

    def planned(self) -> dict[str, Any]:
        """The next deployment of the API, two hours from now."""
        at = self.world.end + timedelta(hours=2)
        made = replace(self.world.update, id="next", version="v2.2.0", started_at=at, finished_at=None)
        return body(made) | {"status": "planned"}

    def true_change(self, deployment_id: str, metric: str) -> float:
        """By how much a deployment truly changed a metric."""
        (effect,) = (effect for effect in self.world.effects(deployment_id) if effect.metric == metric)
        return effect.size


def _moved(world: World, by: timedelta) -> World:
    """The same world at another time."""

    def later(deployment: Deployment) -> Deployment:
        finished = deployment.finished_at
        at = deployment.started_at + by
        return replace(deployment, started_at=at, finished_at=finished and finished + by, received_at=at)

    return replace(
        world,
        end=world.end + by,
        series=tuple(replace(series, times=series.times + by.total_seconds()) for series in world.series),
        deployments=tuple(later(deployment) for deployment in world.deployments),
        truth=tuple(replace(effect, onset=effect.onset + by) for effect in world.truth),
        sale=replace(world.sale, start=world.sale.start + by, end=world.sale.end + by),
    )
