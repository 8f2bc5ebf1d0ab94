"""The demo's shop in a real Prometheus: a world of fixed chance, moved so that it ends now."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np

from afdp_exporter.demo import shop
from afdp_exporter.demo.recording import body
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.model import Deployment, Series

_END = datetime(2026, 3, 4, 17, tzinfo=UTC)  # three hours after the update of the API
_DAYS = 8  # what an analysis reads, and a bit


class Shop:
    """What happened in the shop lately, in the time of this machine."""

    def __init__(self) -> None:
        now = datetime.fromtimestamp(time.time() // 60 * 60, UTC)
        self._moved = now - _END

    @cached_property
    def world(self) -> World:
        """The world as it was made, in its own time."""
        return make_world(_END)

    def series(self) -> Iterator[Series]:
        """What a Prometheus would have scraped by now."""
        for series in self.world.series:
            past = (series.times <= _END.timestamp()) & (series.times >= (_END - timedelta(days=_DAYS)).timestamp())
            moved = series.times[past] + self._moved.total_seconds()
            yield replace(series, times=moved, values=np.asarray(series.values[past]))

    def update(self) -> dict[str, Any]:
        """The update of the API that hurts, as its sender tells it."""
        return self._told(self.world.update)

    def quiet(self) -> dict[str, Any]:
        """A deployment that does nothing, five hours before the update."""
        at = self.world.update.started_at - timedelta(hours=5)
        made = replace(self.world.update, id="worker-quiet", service=shop.WORKER, version="v9", traits={})
        return self._told(replace(made, started_at=at, finished_at=at + timedelta(minutes=1)))

    def planned(self) -> dict[str, Any]:
        """The next deployment of the API, two hours from now."""
        at = _END + timedelta(hours=2)
        return self._told(replace(self.world.update, id="next", version="v2.2.0", started_at=at, finished_at=None)) | {
            "status": "planned"
        }

    def true_change(self, deployment_id: str, metric: str) -> float:
        """By how much a deployment truly changed a metric."""
        (effect,) = (effect for effect in self.world.effects(deployment_id) if effect.metric == metric)
        return effect.size

    def _told(self, deployment: Deployment) -> dict[str, Any]:
        finished = deployment.finished_at
        moved = replace(
            deployment,
            started_at=deployment.started_at + self._moved,
            finished_at=finished + self._moved if finished else None,
        )
        return body(moved)
