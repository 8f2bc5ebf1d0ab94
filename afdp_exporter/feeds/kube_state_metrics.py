"""Rollouts in Kubernetes by the metrics of kube-state-metrics, for those who give no access to the API server.

A rollout shows as pods of a workload with another image. What changes no image, such as a variable, does not show.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, Field

from afdp_exporter.errors import FeedError, SourceError
from afdp_exporter.feeds import Checkpoint, PollRequest, Step, walk
from afdp_exporter.fields import image_version
from afdp_exporter.model import Announcement, Origin, Series, Status, Window
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.sources import ask
from afdp_exporter.sources.prometheus import Prometheus

_QUERY = (
    "max by (namespace, owner_kind, owner_name, container, image) (kube_pod_container_info{{{pods}}} "
    "* on (namespace, pod) group_left (owner_kind, owner_name) "
    "max by (namespace, pod, owner_kind, owner_name) "
    '(kube_pod_owner{{owner_kind=~"ReplicaSet|StatefulSet|DaemonSet"{owners}}}))'
)
_PIECE = timedelta(hours=2)  # asked at once: large clusters have thousands of pods
_SETTLED = timedelta(seconds=60)  # until a scrape that belongs to an instant is there


class _State(BaseModel):
    """The images that a workload runs, and the ones that it is being moved to, since when."""

    images: list[str]
    coming: list[str] = []
    begun: datetime | None = None


class _Cursor(BaseModel):
    """Up to when the metrics were read, and what ran then."""

    at: datetime
    running: dict[str, _State] = {}


@dataclass(frozen=True, kw_only=True)
class KubeStateMetrics:
    """`prometheus` is the server that scrapes kube-state-metrics, set up as a source is."""

    __pydantic_config__: ClassVar = STRICT

    prometheus: Prometheus
    cluster: str | None = None
    namespaces: tuple[Annotated[str, Field(pattern="^[a-z0-9-]+$")], ...] = ()
    step: Annotated[Duration, Field(ge=timedelta(seconds=15))] = timedelta(seconds=30)
    interval: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(seconds=60)

    async def check(self, now: datetime) -> None:
        """As `Feed.check`."""
        await walk(self, now)

    async def deployments(self, since: PollRequest) -> AsyncIterator[Step]:
        """As `Feed.deployments`."""
        cursor = _Cursor.model_validate_json(since.cursor) if since.cursor else _Cursor(at=since.at)
        last = since.now - _SETTLED
        while cursor.at + self.step <= last:
            end = min(cursor.at + _PIECE, last)
            window = Window(start=cursor.at + self.step, end=end)
            try:
                found = await ask(self.prometheus, self._query(), {}, window, self.step)
            except SourceError as error:
                raise FeedError(str(error)) from None
            for step in self._steps(found, cursor):
                yield step
            cursor.at = end
            yield Checkpoint(cursor.model_dump_json(), present=cursor.at + self.step > last)

    def _query(self) -> str:
        if not self.namespaces:
            return _QUERY.format(pods="", owners="")
        chosen = f'namespace=~"{"|".join(self.namespaces)}"'
        return _QUERY.format(pods=chosen, owners=f", {chosen}")

    def _steps(self, found: list[Series], cursor: _Cursor) -> Iterator[Step]:
        workloads: dict[str, list[tuple[str, Series]]] = {}
        for series in found:
            workloads.setdefault(_workload(series), []).append((_image(series), series))
        for name, running in workloads.items():
            state = cursor.running.get(name)
            times = running[0][1].times
            there = {
                image: np.logical_or.reduce([np.isfinite(each.values) for what, each in running if what == image])
                for image, _ in running
            }
            for place, at in enumerate(times.tolist()):
                images = sorted(image for image, shown in there.items() if shown[place])
                if not images:
                    continue  # no pod, or no metrics: nothing is known
                state = state or _State(images=images)
                yield from self._moved(name, state, images, datetime.fromtimestamp(at, UTC))
            if state is not None:
                cursor.running[name] = state

    def _moved(self, name: str, state: _State, images: list[str], at: datetime) -> Iterator[Step]:
        """One instant of a workload: a rollout begins, goes on, ends, or is taken back."""
        fresh = [image for image in images if image not in state.images]
        if state.begun is None:
            if fresh:
                state.begun, state.coming = at, fresh
                yield self._announced(name, state, Status.STARTED, at)
            return
        if not fresh:
            yield self._announced(name, state, Status.ROLLED_BACK, at)
            state.begun, state.coming = None, []
            return
        if fresh != state.coming and not set(state.coming) <= set(images):
            yield self._announced(name, state, Status.CANCELLED, at)  # overtaken by another
            state.begun, state.coming = at, fresh
            yield self._announced(name, state, Status.STARTED, at)
        state.coming = fresh
        replaced = {_container(image) for image in fresh}
        if not any(image in images for image in state.images if _container(image) in replaced):
            yield self._announced(name, state, Status.SUCCEEDED, at)
            state.images, state.begun, state.coming = images, None, []

    def _announced(self, name: str, state: _State, status: Status, at: datetime) -> Announcement:
        namespace, kind, workload = name.split("/")
        image = state.coming[0].partition("=")[2]
        old = next((each for each in state.images if _container(each) == _container(state.coming[0])), "")
        begun = state.begun or at
        words: dict[str, Any] = {
            "version": image_version(image),
            "previous_version": image_version(old.partition("=")[2]),
        }
        return Announcement(
            sender="kube-state-metrics",
            key="/".join(filter(None, (self.cluster, name))) + f":{int(begun.timestamp())}",
            event=status,
            at=at,
            status=status,
            origin=Origin(
                application=workload,
                namespace=namespace,
                cluster=self.cluster,
                image=image.partition("@")[0],
                labels={"kind": kind},
            ),
            **words,
        )


def _workload(series: Series) -> str:
    """A ReplicaSet is named after its Deployment, with a hash behind."""
    labels = series.labels
    kind, name = labels.get("owner_kind", ""), labels.get("owner_name", "")
    if kind == "ReplicaSet":
        kind, name = "Deployment", name.rpartition("-")[0] or name
    return f"{labels.get('namespace', '')}/{kind}/{name}"


def _image(series: Series) -> str:
    return f"{series.labels.get('container', '')}={series.labels.get('image', '')}"


def _container(image: str) -> str:
    return image.partition("=")[0]


PLUGIN = KubeStateMetrics
