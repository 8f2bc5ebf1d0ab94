"""Kubernetes: rollouts of Deployments, StatefulSets, DaemonSets and Argo Rollouts, as the API server reports them."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal

from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config
from pydantic import BaseModel, Field, FilePath

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds import Checkpoint, PollRequest, Step
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
_GRACE = timedelta(seconds=1)  # a workload and what keeps its revision come by two watches, in any order


class _Cursor(BaseModel):
    """Since when rollouts are reported, and what is known of each workload."""

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

    async def deployments(self, since: PollRequest) -> AsyncIterator[Step]:
        """As `Feed.deployments`; goes on for ever."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        async with self._connected() as cluster, _together(cluster, self.resources) as changes:
            walk = _Walk(self, cluster, since)
            while True:
                if walk.unsaved and (changes.all_read or walk.unsaved >= _AT_ONCE):
                    yield walk.reached()
                ask_at = None if walk.ask_at is None else begun + (walk.ask_at - since.now).total_seconds()
                came = await changes.next(until=ask_at)
                now = since.now + timedelta(seconds=clock() - begun)
                for step in await walk.ask(now) if came is None else walk.take(*came, now):
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
    """What is known of a cluster since it was listed, and up to where it is reported."""

    def __init__(self, feed: Kubernetes, cluster: Cluster, since: PollRequest) -> None:
        self.unsaved = 0
        self._cluster, self._name = cluster, feed.cluster
        self._cursor = _Cursor.model_validate_json(since.cursor) if since.cursor else _Cursor(since=since.at)
        self._revisions = Revisions()
        self._unlisted = len(feed.resources) * len(cluster.namespaces)
        self._kinds = {KINDS[name] for name in feed.kinds}
        self._waiting: list[tuple[Kind, Object]] = []
        self._incomplete: dict[str, _Incomplete] = {}
        self._listed: set[str] = set()
        self._refused: set[Resource] = set()

    def reached(self) -> Checkpoint:
        """The place up to which all is reported."""
        self.unsaved = 0
        return Checkpoint(self._cursor.model_dump_json())

    def take(self, resource: Resource, change: Changed | Listed, now: datetime) -> list[Step]:
        """What a change says; nothing before everything was listed once. Raises FeedError where nothing may be."""
        steps: list[Step] = []
        if isinstance(change, Listed):
            steps += self._all_listed(resource, change)
        elif not isinstance(resource, Kind):
            if change.deleted:
                return []
            self._revisions.keep([change.content])
            if self._unlisted:
                return []
            owners = [owner["uid"] for owner in change.content["metadata"].get("ownerReferences") or ()]
            return [step for uid in owners for step in self._complete(uid, now)]
        elif change.deleted:
            uid = change.content["metadata"]["uid"]
            steps += self._complete(uid, now, last=True)
            self._revisions.forget(change.content)
            self.unsaved += self._cursor.seen.pop(uid, None) is not None
        else:
            self._listed.add(change.content["metadata"]["uid"])
            self._waiting.append((resource, change.content))
        if self._unlisted:
            return steps
        waiting, self._waiting = self._waiting, []
        for kind, workload in waiting:
            if kind.revisions not in self._refused:
                steps += self._steps(kind, workload, now, last=False, ask_at=now + _GRACE)
        return steps

    @property
    def ask_at(self) -> datetime | None:
        """When the cluster has to be asked for revisions that have not come by themselves."""
        return min((each.ask_at for each in self._incomplete.values()), default=None)

    async def ask(self, now: datetime) -> list[Step]:
        """List the revisions that did not come by themselves, once a namespace. Raises FeedError."""
        overdue = {uid: each for uid, each in self._incomplete.items() if each.ask_at <= now}
        places = defaultdict(list)
        for each in overdue.values():
            places[each.kind.revisions, each.workloads[-1]["metadata"].get("namespace")].append(each)
        for (revisions, namespace), several in places.items():
            only = several[0].workloads[-1] if len(several) == 1 else None
            self._revisions.keep(await self._cluster.kept(revisions, namespace, only))
        return [step for uid in overdue for step in self._complete(uid, now, last=True)]

    def _complete(self, uid: str, now: datetime, *, last: bool = False) -> list[Step]:
        """What a workload that waited for its revision says; where it is the last time, with or without it."""
        waited = self._incomplete.pop(uid, None)
        if waited is None:
            return []
        seen = [self._steps(waited.kind, each, now, last=last, ask_at=waited.ask_at) for each in waited.workloads]
        return [step for steps in seen for step in steps]

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

    def _steps(self, kind: Kind, workload: Object, now: datetime, *, last: bool, ask_at: datetime) -> list[Step]:
        """What a workload says; nothing yet where its revision is missing, unless it is the last time."""
        uid, mark = workload["metadata"]["uid"], marker(kind, workload)
        if mark is None:
            return []
        if uid in self._incomplete:  # in order: what came before it is not known yet
            self._incomplete[uid].workloads.append(workload)
            return []
        seen = self._cursor.seen.get(uid)
        if seen is not None and seen.marker == mark and seen.over:
            return []
        known = self._revisions.of(workload)
        found = present(kind, workload, known, seen)
        if not last and (seen is None or seen.marker != mark) and (found is None or has_gap(found, seen)):
            self._incomplete[uid] = _Incomplete(kind, ask_at, [workload])
            return []
        found = found or from_template(kind, workload, known, seen)
        if found is None:
            return []
        sight = Sight(kind=kind, workload=workload, revisions=found, received_at=now, cluster=self._name)
        steps, after = follow(sight, seen, self._cursor.since)
        self.unsaved += after != seen
        self._cursor.seen[uid] = after
        return steps


@dataclass(frozen=True, slots=True)
class _Incomplete:
    """A workload as it was seen, in order, while what keeps its revision is still on its way."""

    kind: Kind
    ask_at: datetime
    workloads: list[Object]


class _Changes:
    """The changes of several resources as they come; what following one of them raises ends all."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[Resource, Changed | Listed] | Exception] = asyncio.Queue(_AHEAD)

    @property
    def all_read(self) -> bool:
        """Whether nothing waits to be read."""
        return self._queue.empty()

    async def next(self, *, until: float | None) -> tuple[Resource, Changed | Listed] | None:
        """The next change; None where none has come by then. Raises what following a resource raised."""
        try:
            async with asyncio.timeout_at(until):
                change = await self._queue.get()
        except TimeoutError:
            return None
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
