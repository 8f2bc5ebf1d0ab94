"""Annotations, events, and up to where feeds were read, in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from afdp_exporter.errors import NotFound
from afdp_exporter.model import Annotation, Event
from afdp_exporter.store.exactness import check_storable
from afdp_exporter.store.follow_ups import EVENT
from afdp_exporter.store.memory.data import EPOCH, Data


class MemoryAnnotations:
    """An `AnnotationStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._kept: dict[int, Annotation] = {}
        self._last = 0

    async def add(self, annotation: Annotation) -> Annotation:
        self._data.check_held()
        self._last += 1
        self._kept[self._last] = replace(annotation, id=self._last)
        return self._kept[self._last]

    async def find(self, annotation_id: int) -> Annotation:
        if annotation_id not in self._kept:
            raise NotFound("no annotation has this id")
        return self._kept[annotation_id]

    async def search(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        tags: Sequence[str] = (),
        dashboard_uid: str | None = None,
        panel_id: int | None = None,
        limit: int = 100,
    ) -> list[Annotation]:
        found = (
            each
            for each in self._kept.values()
            if (until is None or each.at <= until)
            and (each.until or each.at) >= (since or EPOCH)
            and (dashboard_uid is None or each.dashboard_uid == dashboard_uid)
            and (panel_id is None or each.panel_id == panel_id)
            and set(tags) <= set(each.tags)
        )
        return sorted(found, key=lambda each: (each.at, each.id), reverse=True)[:limit]

    async def change(self, annotation_id: int, made: Callable[[Annotation], Annotation]) -> Annotation:
        self._data.check_held()
        self._kept[annotation_id] = made(await self.find(annotation_id))
        return self._kept[annotation_id]

    async def remove(self, annotation_id: int) -> None:
        self._data.check_held()
        await self.find(annotation_id)
        del self._kept[annotation_id]


class MemoryEvents:
    """An `EventStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._kept: dict[str, Event] = {}

    async def save(self, event: Event) -> tuple[Event, bool]:
        self._data.check_held()
        check_storable(event)
        known = self._kept.get(event.id)
        self._kept[event.id] = event
        if known is not None:
            self._kept[event.id] = replace(
                event,
                end=known.end if event.end is None else event.end,
                description=known.description if event.description is None else event.description,
                url=known.url if event.url is None else event.url,
                told_at=max(known.told_at, event.told_at),
            )
        self._data.append(EVENT, event.id)
        return self._kept[event.id], known is None

    async def of(self, event_ids: Sequence[str]) -> list[Event]:
        return [self._kept[each] for each in event_ids if each in self._kept]

    async def overlapping(self, start: datetime, end: datetime) -> list[Event]:
        found = (
            each
            for each in self._kept.values()
            if each.start < end and (each.end or each.told_at + timedelta(days=1)) >= start
        )
        return sorted(found, key=lambda each: (each.start, each.id))


class MemoryCursors:
    """A `CursorStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data
        self._kept: dict[str, str] = {}

    async def find(self, feed: str) -> str | None:
        return self._kept.get(feed)

    async def save(self, feed: str, cursor: str) -> None:
        self._data.check_held()
        self._kept[feed] = cursor
