"""`/api/v1/deployments` over a real connection and a real store."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, web
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from afdp_exporter import cli
from afdp_exporter.model import LookState
from afdp_exporter.store.sqlite import SQLiteStore
from loopback import Serve

PATH = "/api/v1/deployments"
BODY = {
    "id": "pipeline-42",
    "service": "checkout",
    "environment": "staging",
    "version": "v2.1.0",
    "previous_version": "v2.0.9",
    "started_at": "2026-03-02T11:00:00Z",
    "finished_at": "2026-03-02T11:05:00Z",
    "status": "success",
    "actor": "ada",
    "team": "payments",
    "change_types": ["code", "database"],
    "strategy": "canary",
    "traffic_ratio": 0.25,
    "url": "https://ci.example.org/42",
    "commit": "4cc989c",
    "description": "New till\nwith two lines",
    "traits": {"table_rows": 1200000, "reviewed": True, "kind": "till"},
    "labels": {"region": "eu"},
}


async def _metrics(client: ClientSession) -> str:
    answer = await client.get("/metrics")
    return await answer.text()


async def test_every_field_that_is_reported_comes_back_and_links_lead_to_the_report(client: ClientSession) -> None:
    answer = await client.post(PATH, json=BODY)
    stored = await answer.json()
    assert answer.status == 201
    assert {name: stored[name] for name in BODY} == BODY | {"status": "succeeded"}
    assert answer.headers["Location"] == stored["links"]["self"] == f"{PATH}/pipeline-42"
    report = await (await client.get(stored["links"]["report"])).json()
    assert report["deployment"] == {name: value for name, value in stored.items() if name not in {"links", "warnings"}}


async def test_the_least_that_can_be_reported_is_a_service(client: ClientSession) -> None:
    stored = await (await client.post(PATH, json={"service": "checkout"})).json()
    assert stored["environment"] == "production"
    assert stored["started_at"] == "2026-03-02T12:00:00Z"
    assert stored["id"]


async def test_the_same_id_again_is_answered_with_the_first_object(client: ClientSession) -> None:
    first = await client.post(PATH, json=BODY)
    again = await client.post(PATH, json=BODY | {"description": "sent twice"})
    assert (first.status, again.status) == (201, 200)
    assert await first.json() == await again.json()


async def test_an_idempotency_key_again_is_answered_with_the_first_object(client: ClientSession) -> None:
    key = {"Idempotency-Key": "delivery-1"}
    posts = [client.post(PATH, json={"service": "checkout"}, headers=key) for _ in range(20)]
    answers = await asyncio.gather(*posts)
    assert sorted(answer.status for answer in answers) == [200] * 19 + [201]
    assert len({(await answer.json())["id"] for answer in answers}) == 1


async def test_an_id_that_stands_for_something_else_is_a_conflict_that_names_it(client: ClientSession) -> None:
    await client.post(PATH, json=BODY)
    answer = await client.post(PATH, json=BODY | {"service": "search"})
    problem = await answer.json()
    assert answer.status == 409
    assert [fault["field"] for fault in problem["errors"]] == ["id"]
    assert (await (await client.get(f"{PATH}/pipeline-42")).json())["deployment"]["service"] == "checkout"


async def test_looks_are_planned_in_the_same_step(client: ClientSession, store: SQLiteStore) -> None:
    await client.post(PATH, json={"service": "checkout", "id": "now"})
    minutes = [look.after / timedelta(minutes=1) for look in await store.looks.of_deployment("now")]
    assert minutes == [4, 5, 10, 15, 30, 60, 240, 24 * 60]


async def test_of_a_deployment_in_the_past_the_latest_look_is_due_at_once(
    client: ClientSession, store: SQLiteStore
) -> None:
    await client.post(PATH, json={"service": "checkout", "id": "old", "started_at": "2026-01-01T00:00:00Z"})
    looks = await store.looks.of_deployment("old")
    assert [look.after for look in looks] == [timedelta(days=1)]
    assert looks[0].due_at == datetime(2026, 1, 2, tzinfo=UTC)


async def test_more_than_an_hour_ahead_only_a_planned_one_may_lie(client: ClientSession) -> None:
    later = {"service": "checkout", "started_at": "2026-03-02T13:00:01Z"}
    refused = await client.post(PATH, json=later)
    assert refused.status == 422
    assert [fault["field"] for fault in (await refused.json())["errors"]] == ["started_at"]
    planned = await client.post(PATH, json=later | {"status": "pending", "id": "plan"})
    assert planned.status == 201
    report = await (await client.get(f"{PATH}/plan")).json()
    assert report["looks"] == []
    assert "is planned for 2026-03-02 13:00 UTC" in report["story"][0]


@pytest.mark.parametrize(
    "time", [1772445600, 1772445600.0, 1772445600_000, 1772445600_000_000_000, "2026-03-02T12:00:00+02:00"]
)
async def test_a_time_is_read_in_every_unit_that_senders_use(client: ClientSession, time: object) -> None:
    stored = await (await client.post(PATH, json={"service": "checkout", "started_at": time})).json()
    assert stored["started_at"] == "2026-03-02T10:00:00Z"


async def test_an_end_moves_the_looks_that_have_no_answer(
    client: ClientSession, store: SQLiteStore, wait: Callable[[timedelta], datetime]
) -> None:
    await client.post(PATH, json={"service": "checkout", "id": "d", "status": "running"})
    now = wait(timedelta(minutes=20))
    changed = await (await client.patch(f"{PATH}/d", json={"status": "success"})).json()
    assert changed["finished_at"] == "2026-03-02T12:20:00Z"
    looks = await store.looks.of_deployment("d")
    assert looks[0].due_at == now + timedelta(minutes=4)
    assert {look.state for look in looks} == {LookState.DUE}


async def test_a_planned_deployment_that_starts_is_watched_from_now_on(
    client: ClientSession, store: SQLiteStore
) -> None:
    await client.post(
        PATH, json={"service": "checkout", "id": "d", "status": "planned", "started_at": "2026-03-03T00:00:00Z"}
    )
    started = await (await client.patch(f"{PATH}/d", json={"status": "in_progress"})).json()
    assert started["started_at"] == "2026-03-02T12:00:00Z"
    assert len(await store.looks.of_deployment("d")) == 8


async def test_a_planned_deployment_that_is_cancelled_is_never_looked_at(
    client: ClientSession, store: SQLiteStore
) -> None:
    await client.post(PATH, json={"service": "checkout", "id": "d", "status": "planned"})
    await client.patch(f"{PATH}/d", json={"status": "canceled"})
    assert await store.looks.of_deployment("d") == ()


async def test_a_human_may_label_and_take_the_label_back(client: ClientSession) -> None:
    await client.post(PATH, json={"service": "checkout", "id": "d", "traits": {"a": 1}})
    labelled = await (
        await client.patch(f"{PATH}/d", json={"outcome": "failure", "note": "rolled back by hand", "traits": {"b": 2}})
    ).json()
    assert (labelled["labelled_outcome"], labelled["note"]) == ("failure", "rolled back by hand")
    assert labelled["traits"] == {"a": 1, "b": 2}
    plain = await (await client.patch(f"{PATH}/d", json={"outcome": None})).json()
    assert (plain["labelled_outcome"], plain["note"]) == (None, "rolled back by hand")


async def test_a_change_that_contradicts_what_is_stored_changes_nothing(client: ClientSession) -> None:
    await client.post(PATH, json=BODY)
    answer = await client.patch(f"{PATH}/pipeline-42", json={"finished_at": "2026-03-02T10:00:00Z", "note": "x"})
    assert answer.status == 422
    assert [fault["field"] for fault in (await answer.json())["errors"]] == ["finished_at"]
    assert (await (await client.get(f"{PATH}/pipeline-42")).json())["deployment"]["note"] is None


async def test_what_a_deployment_is_cannot_be_changed(client: ClientSession) -> None:
    await client.post(PATH, json=BODY)
    answer = await client.patch(f"{PATH}/pipeline-42", json={"service": "search", "id": "x", "environment": "y"})
    assert {fault["field"] for fault in (await answer.json())["errors"]} == {"service", "id", "environment"}


@pytest.mark.parametrize("deployment_id", ["none", "../../etc/passwd", "\ud800", "a" * 200, "%00"])
async def test_what_is_not_there_is_not_found(client: ClientSession, deployment_id: str) -> None:
    path = f"{PATH}/{quote(deployment_id.encode('utf-8', 'surrogatepass'), safe='')}"
    assert (await client.get(path)).status == 404
    assert (await client.patch(path, json={"note": "x"})).status == 404


async def test_the_list_is_walked_newest_first_page_by_page(client: ClientSession) -> None:
    for minute in range(5):
        await client.post(
            PATH, json={"service": "checkout", "id": f"d{minute}", "started_at": f"2026-03-02T11:0{minute}:00Z"}
        )
    await client.post(PATH, json={"service": "search", "id": "other"})
    seen, address = [], f"{PATH}?service=checkout&limit=2&since=2026-03-02T11:01:00%2B00:00"
    while address:
        page = await (await client.get(address)).json()
        seen.append([deployment["id"] for deployment in page["deployments"]])
        address = page["links"]["next"]
    assert seen == [["d4", "d3"], ["d2", "d1"]]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("since=yesterday", "since"),
        ("cursor=%00", "cursor"),
        ("cursor=abc", "cursor"),
        ("servce=x", "servce"),
        ("service=a&service=b", "service"),
        ("environment=", "environment"),
    ],
)
async def test_a_bad_parameter_is_named(client: ClientSession, query: str, field: str) -> None:
    answer = await client.get(f"{PATH}?{query}")
    assert answer.status == 422
    assert [fault["field"] for fault in (await answer.json())["errors"]] == [field]


async def test_a_deployment_is_on_the_page_as_soon_as_it_is_acknowledged(client: ClientSession) -> None:
    await client.post(PATH, json=BODY)
    families = {family.name: family for family in text_string_to_metric_families(await _metrics(client))}
    whose = {"deployment_id": "pipeline-42", "environment": "staging", "service": "checkout"}
    started, ended = (families[f"afdp_deployment_{name}_seconds"].samples for name in ("timestamp", "end_timestamp"))
    assert [(sample.labels, sample.value) for sample in started] == [(whose, 1772449200)]
    assert [(sample.labels, sample.value) for sample in ended] == [(whose, 1772449500)]
    fields = {"version": "v2.1.0", "team": "payments", "strategy": "canary", "change_type": "code,database"}
    assert [sample.labels for sample in families["afdp_deployment_info"].samples] == [whose | fields]
    assert families["afdp_annotations_received"].samples[0].labels == {"kind": "api"}


async def test_a_service_that_is_not_configured_is_kept_and_its_sender_warned(start: Callable[..., Any]) -> None:
    client = await start(services=[{"name": "checkout"}, {"name": "search"}])
    body = {"id": "d", "service": "chekout", "version": "v1"}
    for status in (201, 200):
        answer = await client.post(PATH, json=body)
        assert answer.status == status
        (warning,) = (await answer.json())["warnings"]
        assert warning == "The service chekout is not known; did you mean checkout? Known: checkout, search."
    report = await (await client.get(f"{PATH}/d")).json()
    assert report["warnings"] == [warning]
    known = await (await client.post(PATH, json=body | {"id": "e", "service": "search"})).json()
    assert known["warnings"] == []
    page = await (await client.get("/deployments/d")).text()
    assert "did you mean checkout?" in page

    url = str(client._base_url)
    result = await annotate(url, "--service=serch")
    assert (result.exit_code, "did you mean search? Known: checkout, search." in result.stderr) == (0, True)


async def annotate(url: str, *arguments: str) -> Result:
    command = ["annotate", f"--url={url}", "--tries=2", *arguments]
    return await asyncio.to_thread(CliRunner().invoke, cli._afdp, command)


async def test_an_exporter_that_is_not_reached_is_named_with_its_address_and_nothing_else(
    serve: Serve,
) -> None:
    away = await annotate("http://127.0.0.1:9", "--service=checkout")
    assert (
        away.output == "afdp annotate: http://127.0.0.1:9 cannot be reached: no connection: Connection refused; "
        "is it running? --url or AFDP_URL names another exporter\n"
    )
    schemeless = await annotate("127.0.0.1:9", "--service=checkout")
    assert schemeless.output == (
        "afdp annotate: 127.0.0.1:9 is no address of an exporter: it begins with http:// or https://\n"
    )

    async def nothing(request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    other = await serve(nothing)
    assert (await annotate(other, "--service=checkout")).output == (
        f"afdp annotate: {other} refused with 404: is this an afdp-exporter?\n"
    )
