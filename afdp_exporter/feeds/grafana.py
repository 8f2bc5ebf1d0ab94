"""Grafana: annotations with certain tags, by polling its API."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, Field

from afdp_exporter.feeds import Checkpoint, Marked, PollRequest, Step, walk
from afdp_exporter.feeds._api import Api, Polled, read
from afdp_exporter.http_config import Address
from afdp_exporter.model import Annotation

_OVERLAP = timedelta(hours=1)  # an annotation may be written after what it reports
_LIMIT = 1000
_MARKUP = re.compile(r"<[^<>]*>")


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

    async def deployments(self, since: PollRequest) -> AsyncIterator[Step]:
        """As `Feed.deployments`, by their time."""
        first = datetime.fromisoformat(since.cursor) - _OVERLAP if since.cursor else since.at
        token = self.secret()
        api = self.api(self.url, {"Authorization": f"Bearer {token}"} if token else {})
        for tag in self.tags:
            async for annotation in self._tagged(api, tag, first, since.now):
                yield Marked(_read(annotation, since.now), self.tags, by=annotation.login or None)
        yield Checkpoint(since.now.isoformat())

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


def _read(found: _Annotation, now: datetime) -> Annotation:
    """With its end where it marks a span."""
    at = datetime.fromtimestamp(found.time / 1000, UTC)
    end = found.timeEnd if found.timeEnd is not None and found.timeEnd > found.time else None
    return Annotation(
        id=found.id,
        at=at,
        until=None if end is None else datetime.fromtimestamp(end / 1000, UTC),
        text=_MARKUP.sub("", found.text).strip(),
        tags=tuple(found.tags or ()),
        created_at=now,
        updated_at=now,
    )


def _ms(time: datetime) -> int:
    return int(time.timestamp() * 1000)


PLUGIN = Grafana
