"""Kubernetes: rollouts of Deployments, StatefulSets, DaemonSets and Argo Rollouts, as the API server tells them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal, NamedTuple

from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config
from pydantic import BaseModel, Field, FilePath

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds import Reached, Since, Step
from afdp_exporter.feeds._cluster import Cluster
from afdp_exporter.feeds._rollouts import KINDS, Kind, Object, ended, marker, revisions, told
from afdp_exporter.model import Announcement, Ignored, Status
from afdp_exporter.settings import STRICT, Duration

_Name = Literal["deployments", "statefulsets", "daemonsets", "rollouts"]

_AHEAD = 100  # objects that wait to be looked at


class _Seen(NamedTuple):
    """Of a workload: what marks its newest revision, its number, and how it ended; empty as long as it goes on."""

    marker: str
    number: int
    end: str

    @property
    def over(self) -> bool:
        """Whether nothing more can come of it; what has failed may still get well."""
        return self.end not in {"", Status.FAILED}


class _Cursor(BaseModel):
    """Since when rollouts are told, and what is known of each workload."""

    since: datetime
    seen: dict[str, _Seen] = {}


@dataclass(frozen=True, kw_only=True)
class Kubernetes:
    """Inside a pod its service account is used; elsewhere `kubeconfig`, in it `context`. Without `namespaces`: all."""

    __pydantic_config__: ClassVar = STRICT

    kubeconfig: FilePath | None = None
    context: str | None = None
    cluster: str | None = None
    namespaces: tuple[str, ...] = ()
    kinds: Annotated[tuple[_Name, ...], Field(min_length=1)] = ("deployments", "statefulsets", "daemonsets", "rollouts")
    interval: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(seconds=5)

    async def deployments(self, since: Since) -> AsyncIterator[Step]:
        """As `Feed.deployments`; goes on for ever."""
        cursor = _Cursor.model_validate_json(since.cursor) if since.cursor else _Cursor(since=since.at)
        async with self._connected() as cluster:
            left, listed = len(self.kinds) * len(cluster.namespaces), set[str]()
            async with _together(cluster, [KINDS[name] for name in self.kinds]) as changes:
                while True:
                    kind, workload = await anext(changes)
                    if workload is None:
                        left -= 1
                        if left == 0:  # what was not listed is gone
                            cursor.seen = {uid: seen for uid, seen in cursor.seen.items() if uid in listed}
                        changed = True
                    else:
                        uid = workload["metadata"]["uid"]
                        listed.add(uid)
                        before = cursor.seen.get(uid)
                        async for step in self._told(cluster, kind, workload, cursor):
                            yield step
                        changed = cursor.seen.get(uid) != before
                    if left <= 0 and changed:
                        yield Reached(cursor.model_dump_json())

    async def _told(self, cluster: Cluster, kind: Kind, workload: Object, cursor: _Cursor) -> AsyncIterator[Step]:
        uid, mark = workload["metadata"]["uid"], marker(kind, workload)
        seen = cursor.seen.get(uid)
        if mark is None or (seen is not None and seen.marker == mark and seen.over):
            return
        kept = revisions(kind, workload, await cluster.kept(kind, workload))
        if not kept:
            return
        known, done = (seen.number, bool(seen.end)) if seen is not None else (0, True)
        steps = list(told(kind, workload, kept, known=known, done=done, cluster=self.cluster))
        newest, restart = kept[-1], bool(steps) and isinstance(steps[-1], Ignored)
        new = [step for step in steps if not _before(step, cursor.since)] if seen is None else steps
        for step in new:
            yield step
        if restart or not (new or (seen is not None and seen.number == newest.number)):
            cursor.seen[uid] = _Seen(mark, newest.number, "untold")
            return
        end = ended(kind, workload, newest, cluster=self.cluster)
        if end is not None:
            yield end
        earlier = seen.end if seen is not None and seen.number == newest.number else ""
        cursor.seen[uid] = _Seen(mark, newest.number, end.event if end is not None else earlier)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Cluster]:
        configuration = Configuration()
        try:
            if self.kubeconfig is None:
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
            else:
                await load_kube_config(str(self.kubeconfig), self.context, configuration)
        except (ConfigException, OSError) as error:
            raise FeedError(f"no way to the cluster: {error}") from None
        async with ApiClient(configuration) as api:
            yield Cluster(api, self.namespaces)


def _before(step: Step, since: datetime) -> bool:
    return isinstance(step, Ignored) or (isinstance(step, Announcement) and step.at is not None and step.at < since)


@asynccontextmanager
async def _together(cluster: Cluster, kinds: list[Kind]) -> AsyncIterator[AsyncIterator[tuple[Kind, Object | None]]]:
    """The objects of several kinds as they come; what one of them raises ends all."""
    waiting: asyncio.Queue[tuple[Kind, Object | None] | Exception] = asyncio.Queue(_AHEAD)

    async def follow(kind: Kind, namespace: str | None) -> None:
        try:
            async for workload in cluster.follow(kind, namespace):
                await waiting.put((kind, workload))
        except Exception as error:  # noqa: BLE001 - raised again where the objects are read
            await waiting.put(error)

    async def changes() -> AsyncIterator[tuple[Kind, Object | None]]:
        while True:
            change = await waiting.get()
            if isinstance(change, Exception):
                raise change
            yield change

    tasks = [asyncio.create_task(follow(kind, namespace)) for kind in kinds for namespace in cluster.namespaces]
    try:
        yield changes()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


PLUGIN = Kubernetes
