"""What is no deployment and yet special about a time."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from afdp_exporter.store.sqlite import SQLiteStore
from api_description import described

PATH = "/api/v1/events"
SALE = {"name": "spring-sale", "kind": "sale", "start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"}


async def test_an_event_is_recorded_once_and_its_end_may_come_later(client: ClientSession) -> None:
    first = await client.post(PATH, json={"name": "outage", "kind": "incident", "id": "inc-1", "services": ["api"]})
    assert first.status == 201
    await described(first, "POST", PATH)
    event = await first.json()
    assert (event["start"], event["end"], event["services"]) == ("2026-03-02T12:00:00Z", None, ["api"])
    again = await client.post(
        PATH, json={"name": "outage", "kind": "incident", "id": "inc-1", "start": event["start"], "end": 1772455200}
    )
    assert again.status == 200
    await described(again, "POST", PATH)
    assert (await again.json())["end"] == "2026-03-02T12:40:00Z"
    late = await client.post(PATH, json={"name": "outage", "id": "inc-1", "start": event["start"]})
    assert (await late.json())["end"] == "2026-03-02T12:40:00Z"


async def test_events_are_listed_by_their_time(client: ClientSession) -> None:
    await client.post(PATH, json=SALE)
    found = await client.get(PATH)
    await described(found, "GET", PATH)
    assert [event["name"] for event in (await found.json())["events"]] == ["spring-sale"]
    other = await client.get(PATH, params={"since": "2026-03-04T00:00:00Z"})
    assert (await other.json())["events"] == []


async def test_what_was_reported_is_taken_into_account_at_once_and_after_a_restart(
    start: Callable[..., Any], store: SQLiteStore
) -> None:
    configured = [{"name": "freeze", "kind": "freeze", "start": "2026-12-20T00:00:00Z", "end": "2027-01-02T00:00:00Z"}]
    client = await start(calendar=configured)
    await client.post(PATH, json=SALE)
    for each in (client, await start(calendar=configured)):
        page = await (await each.get("/metrics")).text()
        assert 'afdp_event_timestamp_seconds{event="spring-sale",kind="sale"}' in page
        assert 'afdp_event_timestamp_seconds{event="freeze",kind="freeze"}' in page
        reloaded = await each.post("/-/reload")
        assert reloaded.status == 200
        assert "spring-sale" in await (await each.get("/metrics")).text()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x", "kind": "party"}, "kind"),
        ({"name": "x", "start": "2026-03-02T12:00:00Z", "end": "2026-03-02T11:00:00Z"}, "end"),
        ({"name": "x", "start": "tomorrow"}, "start"),
        ({"name": "x", "services": [""]}, "services[0]"),
        ({"name": "x", "until": 1}, "until"),
        ({"name": "x", "url": "javascript:alert(1)"}, "url"),
        ({"name": "x", "id": "a b"}, "id"),
    ],
)
async def test_every_fault_is_named(client: ClientSession, body: dict[str, Any], field: str) -> None:
    answer = await client.post(PATH, json=body)
    assert answer.status == 422
    await described(answer, "POST", PATH)
    assert (await answer.json())["errors"][0]["field"] == field


async def test_an_incident_without_an_end_counts_for_a_day_after_it_was_reported(
    client: ClientSession, store: SQLiteStore, wait: Callable[[timedelta], Any]
) -> None:
    body = {"name": "outage", "kind": "incident", "id": "inc-1", "start": "2026-03-02T12:00:00Z"}
    await client.post(PATH, json=body)
    later = wait(timedelta(hours=20))
    await client.post(PATH, json=body)
    (event,) = await store.events.overlapping(later, later)
    assert event.calendar_entry.end == later + timedelta(days=1)
    assert await store.events.overlapping(later + timedelta(days=2), later + timedelta(days=3)) == []


async def test_alerts_become_incidents(start: Callable[..., Any], store: SQLiteStore) -> None:
    client = await start(webhooks=[{"kind": "alertmanager", "secret": "canary"}])
    alert = {"status": "firing", "labels": {"alertname": "HighErrors", "service": "api"}, "fingerprint": "f"}
    firing = {"alerts": [alert | {"startsAt": "2026-03-02T11:55:00Z", "endsAt": "0001-01-01T00:00:00Z"}]}
    resolved = {
        "alerts": [alert | {"status": "resolved", "startsAt": "2026-03-02T11:55:00Z", "endsAt": "2026-03-02T11:59:00Z"}]
    }
    headers = {"Authorization": "Bearer canary"}
    for body in (firing, resolved, firing):
        answer = await client.post("/webhooks/alertmanager", json=body, headers=headers)
        assert answer.status == 200
        await described(answer, "POST", "/webhooks/{kind}")
    (event,) = (await (await client.get(PATH)).json())["events"]
    assert (event["name"], event["kind"], event["services"]) == ("HighErrors", "incident", ["api"])
    assert event["end"] == "2026-03-02T11:59:00Z"
