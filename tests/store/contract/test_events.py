"""What every store promises of annotations, events and the cursors of feeds."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from afdp_exporter.errors import NotFound
from afdp_exporter.model import Annotation, CalendarEntryKind, Event
from afdp_exporter.store import Store

MINUTE = timedelta(minutes=1)


def annotation(at: datetime, *tags: str, minutes: float = 0, panel: int | None = None) -> Annotation:
    """One that lasts so long."""
    until = at + minutes * MINUTE if minutes else None
    return Annotation(
        id=0,
        at=at,
        until=until,
        text="v2",
        tags=tags,
        dashboard_uid="shop",
        panel_id=panel,
        created_at=at,
        updated_at=at,
    )


async def test_the_id_of_an_annotation_that_was_removed_is_not_given_again(store: Store, noon: datetime) -> None:
    first = await store.annotations.add(annotation(noon))
    await store.annotations.remove(first.id)
    second = await store.annotations.add(annotation(noon))
    assert second.id != first.id
    for operation in (store.annotations.find, store.annotations.remove):
        with pytest.raises(NotFound):
            await operation(first.id)


async def test_annotations_are_found_by_time_and_by_all_of_their_tags_newest_first(
    store: Store, noon: datetime
) -> None:
    early = await store.annotations.add(annotation(noon, "deploy", minutes=10, panel=1))
    late = await store.annotations.add(annotation(noon + 5 * MINUTE, "deploy", "checkout"))
    assert await store.annotations.search(tags=["deploy"]) == [late, early]
    assert await store.annotations.search(tags=["deploy", "checkout"]) == [late]
    assert await store.annotations.search(since=noon + 6 * MINUTE) == [early]
    assert await store.annotations.search(until=noon) == [early]
    assert await store.annotations.search(dashboard_uid="shop", panel_id=1) == [early]
    assert await store.annotations.search(limit=1) == [late]


async def test_a_change_of_an_annotation_is_kept_unless_it_raises(store: Store, noon: datetime) -> None:
    kept = await store.annotations.add(annotation(noon, "deploy"))

    def refuse(_: Annotation) -> Annotation:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await store.annotations.change(kept.id, refuse)
    assert await store.annotations.find(kept.id) == kept
    moved = await store.annotations.change(kept.id, lambda old: replace(old, at=old.at + MINUTE))
    assert (await store.annotations.find(kept.id)).at == moved.at == noon + MINUTE


def sale(at: datetime, *, told_at: datetime, end: datetime | None = None, url: str | None = None) -> Event:
    """A sale, as it is reported at that time."""
    return Event(
        id="sale",
        name="Sale",
        kind=CalendarEntryKind.SALE,
        start=at,
        end=end,
        url=url,
        told_at=told_at,
        received_from="api",
    )


async def test_what_is_reported_later_of_an_event_leaves_an_end_that_is_known(store: Store, noon: datetime) -> None:
    end = noon + timedelta(hours=1)
    _, created = await store.events.save(sale(noon, told_at=noon, end=end, url="https://shop.example"))
    again, anew = await store.events.save(sale(noon, told_at=noon + MINUTE))
    assert (created, anew) == (True, False)
    assert (again.end, again.url, again.told_at) == (end, "https://shop.example", noon + MINUTE)


async def test_an_event_without_end_counts_for_a_day_after_it_was_reported_last(store: Store, noon: datetime) -> None:
    kept, _ = await store.events.save(sale(noon, told_at=noon + MINUTE))
    day = noon + timedelta(days=1)
    assert await store.events.overlapping(day + MINUTE, day + timedelta(days=1)) == [kept]
    assert await store.events.overlapping(day + 2 * MINUTE, day + timedelta(days=1)) == []
    assert await store.events.overlapping(noon - timedelta(days=1), noon) == []


async def test_a_cursor_is_kept_for_each_feed(store: Store) -> None:
    assert await store.cursors.find("github") is None
    await store.cursors.save("github", "1")
    await store.cursors.save("github", "2")
    await store.cursors.save("gitlab", "a")
    assert (await store.cursors.find("github"), await store.cursors.find("gitlab")) == ("2", "a")


async def test_the_key_of_pseudonyms_stays_the_same(store: Store) -> None:
    key = await store.pseudonym_key()
    assert len(key) == 32
    assert await store.pseudonym_key() == key
