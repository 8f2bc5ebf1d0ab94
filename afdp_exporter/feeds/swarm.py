"""Docker Swarm: updates of services, as a manager's engine reports them.

A service says how its newest change goes, be it an update, a rollback, a new label or a scaling: each begins its status
anew (`StartedAt`), and while an update runs it goes on under the new one. So an update is a changed task template, from
its own start to the end of whichever change was the last when it was through.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, NamedTuple

import aiohttp
import orjson
from aiodocker import Docker, DockerError
from pydantic import BaseModel, Field

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds import Checkpoint, PollRequest, Step
from afdp_exporter.feeds._reasons import reason_of
from afdp_exporter.fields import coerce_labels, image_version, read_time
from afdp_exporter.model import Announcement, Origin, Status
from afdp_exporter.settings import STRICT, Duration

_ENDS = {
    "completed": Status.SUCCEEDED,
    "paused": Status.FAILED,
    "rollback_completed": Status.SUCCEEDED,
    "rollback_paused": Status.FAILED,
}
_FORCED = "ForceUpdate"  # a restart counts it up, and changes nothing else
_ONLY_SERVICES = orjson.dumps({"type": ["service"]}).decode()
_OVERLAP = timedelta(minutes=1)  # between the list of services and the events behind it
_BEGINS = timedelta(minutes=1)  # within which a manager has begun with a change, if there is something to begin with
_NOBODY = 900  # the number of aiodocker for an engine that did not answer
_BROKEN = (aiohttp.ClientError, OSError, TimeoutError)
_OVER = "over"


class _Seen(NamedTuple):
    """Of a service: its task template, when its newest change was begun, and its rollout: image, start, how it ended.

    `end` is empty while it goes on; what failed may still get well.
    """

    digest: str
    begun: datetime | None
    image: str = ""
    start: datetime | None = None
    end: str = _OVER

    @property
    def under_way(self) -> bool:
        return self.start is not None and self.end in {"", Status.FAILED}


class _Cursor(BaseModel):
    """Since when updates are reported, and what is known of each service."""

    since: datetime
    seen: dict[str, _Seen] = {}


class _Service:
    """What a manager says of a service."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        update = content.get("UpdateStatus") or {}
        earlier = content.get("PreviousSpec") or {}
        self.spec: Mapping[str, Any] = content["Spec"]
        self.identity = str(content["ID"])
        self.digest = _digest(self.spec)
        self.image = _image(self.spec)
        self.created = read_time(content["CreatedAt"])
        self.updated = read_time(content.get("UpdatedAt") or content["CreatedAt"])
        self.state = str(update.get("State", ""))
        self.begun = read_time(update["StartedAt"]) if update.get("StartedAt") else None
        self.completed = read_time(update["CompletedAt"]) if update.get("CompletedAt") else None
        self.changed = bool(earlier) and _digest(earlier) != self.digest
        self.former_image = _image(earlier) if self.changed else ""
        self.is_new = not earlier and not self.taken_back

    @property
    def taken_back(self) -> bool:
        """By the manager itself: what it took back is not kept. A rollback that somebody asks for keeps it."""
        return self.state.startswith("rollback") and not self.changed

    @property
    def ended(self) -> tuple[Status, datetime] | None:
        status = _ENDS.get(self.state)
        return None if status is None else (status, self.completed or self.updated)


@dataclass(frozen=True, kw_only=True)
class Swarm:
    """The engine of a manager at `url`: a socket (`unix:///var/run/docker.sock`) or a proxy in front of it."""

    __pydantic_config__: ClassVar = STRICT

    url: str = "unix:///var/run/docker.sock"
    cluster: str | None = None
    interval: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(seconds=5)

    async def deployments(self, since: PollRequest) -> AsyncIterator[Step]:
        """As `Feed.deployments`; ends when the engine's stream of events does."""
        cursor = _Cursor.model_validate_json(since.cursor) if since.cursor else _Cursor(since=since.at)
        async with self._engine() as docker:
            words = {"filters": _ONLY_SERVICES, "since": str(int((since.now - _OVERLAP).timestamp()))}
            events = docker.events.subscribe(**words)  # type: ignore[no-untyped-call]
            services = await docker.services.list()
            for service in services:
                for step in self._steps(service, cursor, listed_at=since.now):
                    yield step
            there = {service["ID"] for service in services}
            cursor.seen = {name: seen for name, seen in cursor.seen.items() if name in there}
            yield Checkpoint(cursor.model_dump_json())
            while (event := await events.get()) is not None:
                identity = event["Actor"]["ID"]
                found = await _inspected(docker, identity) if event.get("Action") in {"create", "update"} else None
                if found is not None:
                    before = cursor.seen.get(identity)
                    for step in self._steps(found, cursor):
                        yield step
                    if cursor.seen.get(identity) != before:
                        yield Checkpoint(cursor.model_dump_json())

    async def check(self, now: datetime) -> None:  # noqa: ARG002 - what is listed is of now
        """Raise FeedError where the services cannot be listed."""
        async with self._engine() as docker:
            await docker.services.list()

    @asynccontextmanager
    async def _engine(self) -> AsyncIterator[Docker]:
        docker = Docker(url=self.url)
        try:
            yield docker
        except DockerError as error:
            message = ascii(str(error.message))[1:-1][:200]
            answers = "" if error.status == _NOBODY else f" answers {error.status}"
            raise FeedError(f"{self.url}{answers}: {message}") from None
        except _BROKEN as error:
            raise FeedError(f"{self.url}: {reason_of(error)}") from None
        finally:
            await docker.close()

    def _steps(
        self, content: Mapping[str, Any], cursor: _Cursor, *, listed_at: datetime | None = None
    ) -> list[Announcement]:
        """What is new of a service: a changed template, or how its rollout goes on."""
        service = _Service(content)
        seen = cursor.seen.get(service.identity)
        settled = listed_at is not None and listed_at - service.updated > _BEGINS
        if seen is None:
            steps, after = self._met(service, cursor.since)
        elif service.begun is None:
            steps, after = self._not_begun(service, seen) if settled else ([], seen)
        elif service.begun != seen.begun and (service.digest != seen.digest or service.state.startswith("rollback")):
            steps, after = self._begun(service, seen)
        else:
            steps, after = self._goes_on(service, seen)
        cursor.seen[service.identity] = after
        return steps

    def _met(self, service: _Service, since: datetime) -> tuple[list[Announcement], _Seen]:
        """A service that was not known."""
        at = service.begun or service.created
        over = _Seen(service.digest, service.begun, service.image)
        if at < since or not (service.is_new or service.changed or service.taken_back):
            return [], over
        if service.begun is None:
            return [self._step(service, at, Status.SUCCEEDED, at, event="created")], over
        return self._begun(service, _Seen(service.digest, None, service.former_image))

    def _begun(self, service: _Service, seen: _Seen) -> tuple[list[Announcement], _Seen]:
        """A new update, which calls off the one under way; or one that the manager took back before it was seen."""
        assert service.begun is not None  # noqa: S101 - as the caller has seen
        start, steps = service.begun, list[Announcement]()
        if seen.under_way and not seen.end and seen.start is not None:
            steps.append(self._step(service, seen.start, Status.CANCELLED, start, image=seen.image))
        if service.taken_back:
            began = self._step(service, start, Status.STARTED, start, image="")
            after = _Seen(service.digest, start, "", start, "")
        else:
            former = service.former_image or seen.image
            began = self._step(service, start, Status.STARTED, start, former=former)
            after = _Seen(service.digest, start, service.image, start, "")
        more, after = self._goes_on(service, after)
        return [*steps, began, *more], after

    def _goes_on(self, service: _Service, seen: _Seen) -> tuple[list[Announcement], _Seen]:
        """The change that was seen, or another one that has nothing to do with the tasks, which it goes on under."""
        after = seen._replace(digest=service.digest, begun=service.begun)
        if not seen.under_way or seen.start is None or service.ended is None:
            return [], after
        status, at = service.ended
        if service.taken_back and status is Status.SUCCEEDED:
            status = Status.ROLLED_BACK
        if str(status) == seen.end:
            return [], after
        return [self._step(service, seen.start, status, at, image=seen.image)], after._replace(end=str(status))

    def _not_begun(self, service: _Service, seen: _Seen) -> tuple[list[Announcement], _Seen]:
        """A change after which nothing was left to do; what was rolled out before it is through at the latest by it."""
        at, steps = service.updated, list[Announcement]()
        if service.digest != seen.digest:
            if seen.under_way and not seen.end and seen.start is not None:
                steps.append(self._step(service, seen.start, Status.CANCELLED, at, image=seen.image))
            former = service.former_image or seen.image
            steps += [
                self._step(service, at, status, at, former=former) for status in (Status.STARTED, Status.SUCCEEDED)
            ]
        elif seen.under_way and seen.start is not None:
            steps.append(self._step(service, seen.start, Status.SUCCEEDED, at, image=seen.image))
        return steps, _Seen(service.digest, None, service.image)

    def _step(
        self,
        service: _Service,
        start: datetime,
        status: Status,
        at: datetime,
        *,
        image: str | None = None,
        former: str = "",
        event: str | None = None,
    ) -> Announcement:
        """A state of the rollout that began at `start`, of the present image unless another is named."""
        image = service.image if image is None else image
        raw = {name: str(text) for name, text in (service.spec.get("Labels") or {}).items()}
        labels = coerce_labels(raw)
        return Announcement(
            sender="swarm",
            key=f"{service.spec['Name']}:{service.identity[:8]}:{int(start.timestamp())}",
            event=event or f"{status}:{int(at.timestamp())}",
            status=status,
            at=at,
            observed=True,
            origin=Origin(
                service=labels.get("afdp_io_service"),
                environment=labels.get("afdp_io_environment"),
                application=service.spec["Name"],
                namespace=labels.get("com_docker_stack_namespace"),
                cluster=self.cluster,
                image=image.partition("@")[0] or None,
                labels=labels,
            ),
            version=image_version(image),
            previous_version=image_version(former),
        )


async def _inspected(docker: Docker, identity: str) -> Mapping[str, Any] | None:
    try:
        found: Mapping[str, Any] = await docker.services.inspect(identity)
    except DockerError as error:
        if error.status == 404:
            return None
        raise
    return found


def _digest(spec: Mapping[str, Any]) -> str:
    template = {name: part for name, part in (spec.get("TaskTemplate") or {}).items() if name != _FORCED}
    return hashlib.sha256(orjson.dumps(template, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def _image(spec: Mapping[str, Any]) -> str:
    return str(((spec.get("TaskTemplate") or {}).get("ContainerSpec") or {}).get("Image", ""))


PLUGIN = Swarm
