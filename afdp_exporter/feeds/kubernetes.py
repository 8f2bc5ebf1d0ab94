"""Kubernetes: rollouts of Deployments, StatefulSets, DaemonSets and Argo Rollouts, as the API server reports them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config
from pydantic import BaseModel, Field, FilePath

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds import Reached, Since, Step
from afdp_exporter.feeds._cluster import Changed, Cluster, Listed
from afdp_exporter.feeds._rollouts import (
    KINDS,
    Kind,
    Object,
    Resource,
    Revisions,
    Seen,
    Sight,
    follow,
    from_template,
    has_gap,
    marker,
    present,
)
from afdp_exporter.model import Ignored
from afdp_exporter.settings import STRICT, Duration

_Name = Literal["deployments", "statefulsets", "daemonsets", "rollouts"]

_AHEAD = 1000  # changes that wait to be read
_AT_ONCE = 100  # changes after which the place is kept, where more of them wait


class _Cursor(BaseModel):
    """Since when rollouts are told, and what is known of each workload."""

    since: datetime
    seen: dict[str, Seen] = {}


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
        clock = asyncio.get_running_loop().time
        begun = clock()
        async with self._connected() as cluster, _together(cluster, self.resources) as changes:
            walk = _Walk(self, cluster, since)
            while True:
                if walk.unsaved and (changes.all_read or walk.unsaved >= _AT_ONCE):
                    yield walk.reached()
                resource, change = await changes.next()
                for step in await walk.take(resource, change, since.now + timedelta(seconds=clock() - begun)):
                    yield step

    async def check(self, now: datetime) -> None:  # noqa: ARG002 - what is listed is of now
        """Raise FeedError where one of the kinds cannot be listed."""
        async with self._connected() as cluster:
            for resource in self.resources:
                for namespace in cluster.namespaces:
                    await cluster.check(resource, namespace)

    @property
    def resources(self) -> tuple[Resource, ...]:
        """What is followed: what keeps the revisions, before what has them."""
        kinds = [KINDS[name] for name in self.kinds]
        return (*dict.fromkeys(kind.revisions for kind in kinds), *kinds)

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


class _Walk:
    """What is known of a cluster since it was listed, and up to where it is told."""

    def __init__(self, feed: Kubernetes, cluster: Cluster, since: Since) -> None:
        self.unsaved = 0
        self._cluster, self._name = cluster, feed.cluster
        self._cursor = _Cursor.model_validate_json(since.cursor) if since.cursor else _Cursor(since=since.at)
        self._revisions = Revisions()
        self._unlisted = len(feed.resources) * len(cluster.namespaces)
        self._kinds = {KINDS[name] for name in feed.kinds}
        self._waiting: list[tuple[Kind, Object]] = []
        self._listed: set[str] = set()
        self._refused: set[Resource] = set()

    def reached(self) -> Reached:
        """The place up to which all is told."""
        self.unsaved = 0
        return Reached(self._cursor.model_dump_json())

    async def take(self, resource: Resource, change: Changed | Listed, now: datetime) -> list[Step]:
        """What a change says; nothing before everything was listed once. Raises FeedError."""
        steps: list[Step] = []
        if isinstance(change, Listed):
            steps += self._all_listed(resource, change)
        elif not isinstance(resource, Kind):
            if not change.deleted:
                self._revisions.keep([change.content])
            return []
        elif change.deleted:
            self._revisions.forget(change.content)
            self.unsaved += self._cursor.seen.pop(change.content["metadata"]["uid"], None) is not None
        else:
            self._listed.add(change.content["metadata"]["uid"])
            self._waiting.append((resource, change.content))
        if self._unlisted:
            return steps
        waiting, self._waiting = self._waiting, []
        for kind, workload in waiting:
            if kind.revisions not in self._refused:
                steps += await self._told(kind, workload, now)
        return steps

    def _all_listed(self, resource: Resource, listed: Listed) -> list[Step]:
        """After the last of the first lists, what was in none of them is gone."""
        if listed.refused is not None:
            self._refused.add(resource)
            if all(kind in self._refused or kind.revisions in self._refused for kind in self._kinds):
                raise FeedError(listed.refused)
        if self._unlisted == 1:
            self.unsaved += 1
            if not self._refused:
                self._cursor.seen = {uid: seen for uid, seen in self._cursor.seen.items() if uid in self._listed}
        self._unlisted = max(self._unlisted - 1, 0)
        return [] if listed.refused is None else [Ignored(reason=listed.refused)]

    async def _told(self, kind: Kind, workload: Object, now: datetime) -> list[Step]:
        uid, mark = workload["metadata"]["uid"], marker(kind, workload)
        seen = self._cursor.seen.get(uid)
        if mark is None or (seen is not None and seen.marker == mark and seen.over):
            return []
        found = present(kind, workload, self._revisions.of(workload), seen)
        if (seen is None or seen.marker != mark) and (found is None or has_gap(found, seen)):
            self._revisions.keep(await self._cluster.kept(kind, workload))  # the change of one is still on its way
            found = present(kind, workload, self._revisions.of(workload), seen)
        found = found or from_template(kind, workload, self._revisions.of(workload), seen)
        if found is None:
            return []
        sight = Sight(kind=kind, workload=workload, revisions=found, received_at=now, cluster=self._name)
        steps, after = follow(sight, seen, self._cursor.since)
        self.unsaved += after != seen
        self._cursor.seen[uid] = after
        return steps


class _Changes:
    """The changes of several resources as they come; what following one of them raises ends all."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[Resource, Changed | Listed] | Exception] = asyncio.Queue(_AHEAD)

    @property
    def all_read(self) -> bool:
        """Whether nothing waits to be read."""
        return self._queue.empty()

    async def next(self) -> tuple[Resource, Changed | Listed]:
        """The next change. Raises what following a resource raised."""
        change = await self._queue.get()
        if isinstance(change, Exception):
            raise change
        return change

    async def follow(self, cluster: Cluster, resource: Resource, namespace: str | None) -> None:
        """Put in the changes of a resource."""
        try:
            async for change in cluster.follow(resource, namespace):
                await self._queue.put((resource, change))
        except Exception as error:  # noqa: BLE001 - raised again where the changes are read
            await self._queue.put(error)


@asynccontextmanager
async def _together(cluster: Cluster, resources: tuple[Resource, ...]) -> AsyncIterator[_Changes]:
    """The changes of several resources in several namespaces."""
    changes = _Changes()
    tasks = [
        asyncio.create_task(changes.follow(cluster, resource, namespace))
        for resource in resources
        for namespace in cluster.namespaces
    ]
    try:
        yield changes
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


PLUGIN = Kubernetes
