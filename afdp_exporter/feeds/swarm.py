"""Docker Swarm: updates of services, as a manager's engine tells them."""

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
from afdp_exporter.feeds import Reached, Since, Step
from afdp_exporter.fields import fitting_labels, image_version, read_time
from afdp_exporter.model import Announcement, Origin, Status
from afdp_exporter.settings import STRICT, Duration

_STATES = {
    "updating": Status.STARTED,
    "completed": Status.SUCCEEDED,
    "paused": Status.FAILED,
    "rollback_started": Status.STARTED,
    "rollback_completed": Status.ROLLED_BACK,
    "rollback_paused": Status.FAILED,
}
_FORCED = "ForceUpdate"  # a restart counts it up, and changes nothing else
_ONLY_SERVICES = orjson.dumps({"type": ["service"]}).decode()
_OVERLAP = timedelta(minutes=1)  # between the list of services and the events behind it
_BROKEN = (aiohttp.ClientError, OSError, TimeoutError)


class _Seen(NamedTuple):
    """Of a service: the digest of what its tasks are made from, and when its newest update was begun."""

    digest: str
    begun: datetime | None


class _Cursor(BaseModel):
    """Since when updates are told, and what is known of each service."""

    since: datetime
    seen: dict[str, _Seen] = {}


@dataclass(frozen=True, kw_only=True)
class Swarm:
    """The engine of a manager at `url`: a socket (`unix:///var/run/docker.sock`) or a proxy in front of it."""

    __pydantic_config__: ClassVar = STRICT

    url: str = "unix:///var/run/docker.sock"
    cluster: str | None = None
    interval: Annotated[Duration, Field(ge=timedelta(seconds=1))] = timedelta(seconds=5)

    async def deployments(self, since: Since) -> AsyncIterator[Step]:
        """As `Feed.deployments`; ends when the engine's stream of events does."""
        cursor = _Cursor.model_validate_json(since.cursor) if since.cursor else _Cursor(since=since.at)
        try:
            async with self._engine() as docker:
                words = {"filters": _ONLY_SERVICES, "since": str(int((since.now - _OVERLAP).timestamp()))}
                events = docker.events.subscribe(**words)  # type: ignore[no-untyped-call]
                services = await docker.services.list()
                for service in services:
                    for step in self._told(service, cursor):
                        yield step
                there = {service["ID"] for service in services}
                cursor.seen = {name: seen for name, seen in cursor.seen.items() if name in there}
                yield Reached(cursor.model_dump_json())
                while (event := await events.get()) is not None:
                    if event.get("Action") not in {"create", "update"}:
                        continue
                    before = dict(cursor.seen)
                    for step in self._told(await _inspected(docker, event["Actor"]["ID"]), cursor):
                        yield step
                    if cursor.seen != before:
                        yield Reached(cursor.model_dump_json())
        except DockerError as error:
            raise FeedError(f"{self.url} answers {error.status}: {ascii(str(error.message))[1:-1][:200]}") from None
        except _BROKEN as error:
            raise FeedError(f"{self.url} gives no answer: {type(error).__name__}") from None

    @asynccontextmanager
    async def _engine(self) -> AsyncIterator[Docker]:
        docker = Docker(url=self.url)
        try:
            yield docker
        finally:
            await docker.close()

    def _told(self, service: Mapping[str, Any] | None, cursor: _Cursor) -> list[Step]:
        """What is new of a service: a changed template, or how its rollout goes on."""
        if service is None:
            return []
        identity, digest = service["ID"], _digest(service["Spec"])
        update = service.get("UpdateStatus") or {}
        begun = read_time(update["StartedAt"]) if update.get("StartedAt") else None
        seen = cursor.seen.get(identity)
        if seen is None:
            at = begun or read_time(service["CreatedAt"])
            earlier = service.get("PreviousSpec")
            news = at >= cursor.since and (earlier is None or _digest(earlier) != digest)
            cursor.seen[identity] = _Seen(digest, begun if news else None)
            return self._life(service, begun, at) if news else []
        rolling_back = str(update.get("State", "")).startswith("rollback")
        if begun is None or (seen.digest == digest and begun != seen.begun and not rolling_back):
            return []  # the manager has not begun with it yet, or it is a restart
        cursor.seen[identity] = _Seen(digest, begun)
        taken_back = rolling_back and (begun == seen.begun or seen.digest == digest)
        steps = self._life(service, begun, begun, taken_back=taken_back)
        return steps[1:] if taken_back and begun == seen.begun else steps  # its start was told

    def _life(
        self, service: Mapping[str, Any], begun: datetime | None, at: datetime, *, taken_back: bool = False
    ) -> list[Step]:
        """The start of a rollout, and how it stands; once it is `taken_back`, the service has its old image again."""
        spec, update = service["Spec"], service.get("UpdateStatus") or {}
        image = _image(spec)
        labels = fitting_labels({name: str(text) for name, text in (spec.get("Labels") or {}).items()})
        words: dict[str, Any] = {
            "sender": "swarm",
            "key": f"{spec['Name']}:{service['ID'][:8]}:{int(at.timestamp())}",
            "origin": Origin(
                service=labels.get("afdp_io_service"),
                environment=labels.get("afdp_io_environment"),
                application=spec["Name"],
                namespace=labels.get("com_docker_stack_namespace"),
                cluster=self.cluster,
                image=None if taken_back else image.partition("@")[0] or None,
                labels=labels,
            ),
            "description": update.get("Message") or None,
        }
        if not taken_back:
            words |= {
                "version": image_version(image),
                "previous_version": image_version(_image(service.get("PreviousSpec") or {})),
            }
        if begun is None:
            return [Announcement(event="created", status=Status.SUCCEEDED, at=at, **words)]
        state = str(update.get("State", ""))
        steps: list[Step] = [Announcement(event="updating", status=Status.STARTED, at=begun, **words)]
        status = _STATES.get(state)
        if status not in {None, Status.STARTED}:
            ended = read_time(update["CompletedAt"]) if update.get("CompletedAt") else None
            steps.append(Announcement(event=state, status=status, at=ended, **words))
        return steps


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
