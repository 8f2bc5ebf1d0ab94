"""Grafana: annotations with certain tags, by polling its API."""

import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, Field

from afdp_exporter.feeds import Reached, Since, Step, walk
from afdp_exporter.feeds._api import Api, Polled, read
from afdp_exporter.http_config import Address
from afdp_exporter.model import Announcement, Origin, Status

_OVERLAP = timedelta(hours=1)  # an annotation may be written after what it tells of
_LIMIT = 1000
_PAIR = re.compile(r"(\w[\w.-]*)\s*[:=]\s*(.+)")
_MARKUP = re.compile(r"<[^>]*>")
_VERSION = {"version", "tag", "release"}
_COMMIT = {"commit", "sha", "revision"}


class _Annotation(BaseModel):
    id: int
    time: int
    timeEnd: int | None = None  # noqa: N815 - Grafana's name
    tags: list[str] | None = None
    text: str = ""
    login: str | None = None


@dataclass(frozen=True, kw_only=True)
class Grafana(Polled):
    """Annotations with any of the `tags`; tags such as `service:checkout` and `version=v2` say what was deployed."""

    url: Address
    tags: Annotated[tuple[str, ...], Field(min_length=1)] = ("deploy", "deployment", "release")

    async def check(self, now: datetime) -> None:
        """As `Feed.check`."""
        await walk(self, now)

    async def deployments(self, since: Since) -> AsyncIterator[Step]:
        """As `Feed.deployments`, by their time."""
        first = datetime.fromisoformat(since.cursor) - _OVERLAP if since.cursor else since.at
        token = self.secret()
        async with self.asking(self.url, {"Authorization": f"Bearer {token}"} if token else {}) as api:
            for tag in self.tags:
                async for annotation in self._tagged(api, tag, first, since.now):
                    for step in _told(annotation, self.tags):
                        yield step
        yield Reached(since.now.isoformat())

    async def _tagged(self, api: Api, tag: str, first: datetime, last: datetime) -> AsyncIterator[_Annotation]:
        """Grafana gives the newest of a time span, and no pages: the span is shortened until everything was seen."""
        end = _ms(last)
        while True:
            words = {"from": str(_ms(first)), "to": str(end), "tags": tag, "type": "annotation", "limit": str(_LIMIT)}
            found = [
                read(_Annotation, raw, "an annotation")
                async for page in api.pages("/api/annotations", words)
                for raw in page
            ]
            for annotation in found:
                yield annotation
            oldest = min((annotation.time for annotation in found), default=end)
            if len(found) < _LIMIT or oldest >= end:
                return
            end = oldest


def _told(annotation: _Annotation, chosen: Iterable[str]) -> list[Step]:
    """Its time, and its end where it marks a span."""
    tags = annotation.tags or []
    pairs = {found[1].lower(): found[2].strip() for tag in tags if (found := _PAIR.fullmatch(tag.strip()))}
    bare = [tag for tag in tags if not _PAIR.fullmatch(tag.strip()) and tag not in set(chosen)]
    words: dict[str, Any] = {
        "sender": "grafana",
        "key": str(annotation.id),
        "origin": Origin(
            service=pairs.get("service"),
            environment=pairs.get("environment") or pairs.get("env"),
            application=pairs.get("app") or pairs.get("application"),
            namespace=pairs.get("namespace"),
            labels={**pairs, **dict.fromkeys(bare, "true")},
        ),
        "version": next((text for name, text in pairs.items() if name in _VERSION), None),
        "commit": next((text for name, text in pairs.items() if name in _COMMIT), None),
        "actor": annotation.login or None,
        "description": _MARKUP.sub("", annotation.text).strip() or None,
    }
    begun = datetime.fromtimestamp(annotation.time / 1000, UTC)
    end = annotation.timeEnd or annotation.time
    if end <= annotation.time:
        return [Announcement(event="annotation", status=Status.SUCCEEDED, at=begun, **words)]
    over = datetime.fromtimestamp(end / 1000, UTC)
    return [
        Announcement(event="begun", status=Status.STARTED, at=begun, **words),
        Announcement(event="over", status=Status.SUCCEEDED, at=over, **words),
    ]


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


PLUGIN = Grafana
