"""What nobody should send: each is refused with the exact status and by the name of its field, and harms nothing."""

import asyncio
import codecs
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from afdp_exporter.handlers.routes import ROUTES, Route
from afdp_exporter.tracking.intake import DeploymentPatch

PATH = "/api/v1/deployments"
GOOD = {"id": "good", "service": "checkout", "started_at": "2026-03-02T11:00:00Z"}
TAKES_JSON = [route for route in ROUTES if route.method in {"POST", "PATCH"} and route.path.startswith("/api/")]


def body(**fields: object) -> bytes:
    return json.dumps({"service": "checkout"} | fields).encode()


def raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


NO_JSON = {
    "nothing": b"",
    "blanks": b" \r\n ",
    "half an object": b'{"service": "checkout"',
    "two objects": b'{"service": "a"} {"service": "b"}',
    "a comma too much": b'{"service": "a",}',
    "single quotes": b"{'service': 'a'}",
    "YAML": b"service: checkout",
    "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
    "a list": b'[{"service": "checkout"}]',
    "a word": b'"checkout"',
    "null": b"null",
    "NaN alone": b"NaN",
    "lists within lists": b"[" * 30_000,
    "objects within objects": b'{"a":' * 10_000,
    "closed lists within lists": b"[" * 30_000 + b"]" * 30_000,
    "a number of 60,000 digits": b'{"service": ' + b"9" * 60_000 + b"}",
    "Latin-1": '{"service": "café"}'.encode("latin-1"),
    "UTF-16": '{"service": "checkout"}'.encode("utf-16"),
    "half a character": b'{"service": "caf\xc3"}',
    "an encoded surrogate": b'{"service": "\xed\xa0\x80"}',
    "a raw NUL": b'{"service": "a\x00b"}',
    "a raw line feed in a string": b'{"service": "a\nb"}',
    "gzip without saying so": bytes.fromhex("1f8b0800000000000003"),
}

FAULTS = {
    "no service": (b"{}", "service"),
    "an empty service": (body(service=""), "service"),
    "a blank service": (body(service="  "), "service"),
    "a service that is null": (body(service=None), "service"),
    "a service that is a number": (body(service=7), "service"),
    "a service that is a list": (body(service=["checkout"]), "service"),
    "a service that is deep": (raw('{"service": ' + '{"a":' * 200 + "1" + "}" * 200 + "}"), "service"),
    "a service of 129 characters": (body(service="s" * 129), "service"),
    "a service with a line feed": (body(service="a\nb"), "service"),
    "a service that forges a log line": (body(service="a\r\nlevel=error msg=forged"), "service"),
    "a service with NUL": (body(service="a\x00b"), "service"),
    "a service with an escape sequence": (body(service="\x1b[31mred"), "service"),
    "a service that is a lone surrogate": (raw('{"service": "\\ud800"}'), "service"),
    "a service that is written backwards": (body(service="a\u202eb"), "service"),
    "an environment with a line separator": (body(environment="a\u2028b"), "environment"),
    "a service that is named twice": (b'{"service": "a", "service": "b"}', "service"),
    "an unknown field": (body(servce="x"), "servce"),
    "an unknown field that is a lone surrogate": (raw('{"service": "a", "\\ud800": 1}'), "\\ud800"),
    "an unknown field that is deep": (raw('{"service": "a", "x": ' + "[" * 300 + "]" * 300 + "}"), "x"),
    "an attribute of Python": (body(__class__="x"), "__class__"),
    "an id that climbs": (body(id="../../etc/passwd"), "id"),
    "an id that is a number": (body(id=42), "id"),
    "an id with a slash": (body(id="a/b"), "id"),
    "an id of 129 characters": (body(id="a" * 129), "id"),
    "a time that is a truth": (body(started_at=True), "started_at"),
    "a time without its offset": (body(started_at="2026-03-02T11:00:00"), "started_at"),
    "a day that does not exist": (body(started_at="2026-02-30T11:00:00Z"), "started_at"),
    "a time before 1970": (body(started_at=-1), "started_at"),
    "a time that is not finite": (raw('{"service": "a", "started_at": Infinity}'), "started_at"),
    "a time that overflows": (raw('{"service": "a", "started_at": 1e400}'), "started_at"),
    "a time in the far future": (body(started_at="9999-12-31T23:59:59-23:59"), "started_at"),
    "a time of tomorrow": (body(started_at="2026-03-03T12:00:00Z"), "started_at"),
    "a time of SQL": (body(started_at="'; DROP TABLE deployments; --"), "started_at"),
    "an end of tomorrow": (body(finished_at="2026-03-03T12:00:00Z"), "finished_at"),
    "an end before the start": (
        body(started_at="2026-03-02T11:00:00Z", finished_at="2026-03-02T10:59:59Z"),
        "finished_at",
    ),
    "a status that nobody knows": (body(status="exploded"), "status"),
    "a status that is a number": (body(status=1), "status"),
    "a share above one": (body(traffic_ratio=1.01), "traffic_ratio"),
    "a share below zero": (body(traffic_ratio=-0.01), "traffic_ratio"),
    "a share that is NaN": (raw('{"service": "a", "traffic_ratio": NaN}'), "traffic_ratio"),
    "a share that is text": (body(traffic_ratio="0.5"), "traffic_ratio"),
    "a share that is a truth": (body(traffic_ratio=True), "traffic_ratio"),
    "a kind of change that nobody knows": (body(change_types=["code", "magic"]), "change_types[1]"),
    "kinds of change as text": (body(change_types="code"), "change_types"),
    "a strategy that nobody knows": (body(strategy="hope"), "strategy"),
    "a link that runs": (body(url="javascript:alert(1)"), "url"),
    "a link to a file": (body(url="file:///etc/passwd"), "url"),
    "a link with a password": (body(url="https://ada:secret@example.org/"), "url"),
    "a link that is none": (body(url="http://[::1"), "url"),
    "a description with an escape sequence": (body(description="\x1b]0;title\x07"), "description"),
    "a description of 8,193 characters": (body(description="x" * 8193), "description"),
    "a label with a dash": (body(labels={"a-b": "x"}), "labels.a-b"),
    "a label that is a number": (body(labels={"a": 1}), "labels.a"),
    "a label with a line feed": (body(labels={"a": "x\ny"}), "labels.a"),
    "65 labels": (body(labels={f"l{number}": "x" for number in range(65)}), "labels"),
    "a trait that is NaN": (raw('{"service": "a", "traits": {"rows": NaN}}'), "traits.rows"),
    "a trait that is infinite": (raw('{"service": "a", "traits": {"rows": -1e999}}'), "traits.rows"),
    "a trait that is a list": (body(traits={"rows": [1]}), "traits.rows"),
    "a trait that is null": (body(traits={"rows": None}), "traits.rows"),
    "a trait without a name": (body(traits={"": 1}), "traits."),
    "a trait that is a lone surrogate": (raw('{"service": "a", "traits": {"x": "\\udfff"}}'), "traits.x"),
    "traits that are a list": (body(traits=[1]), "traits"),
    "65 traits": (body(traits={f"t{number}": 1 for number in range(65)}), "traits"),
    "a word that only the exporter says": (body(received_from="api"), "received_from"),
}

HEADERS: dict[str, tuple[dict[str, str], int, str | None]] = {
    "a form in parts": ({"Content-Type": "multipart/form-data; boundary=x"}, 415, None),
    "gzip": ({"Content-Encoding": "gzip"}, 415, None),
    "an encoding that nobody knows": ({"Content-Encoding": "br, gzip"}, 415, None),
    "a page of another site": ({"Origin": "https://evil.example"}, 403, None),
    "a page without a site": ({"Origin": "null"}, 403, None),
    "an origin that is none": ({"Origin": "http://[::1"}, 403, None),
}
KEYS = ["", " ", "a b", "k" * 256, "ключ", "a\tb"]


async def _known(client: ClientSession) -> list[str]:
    listed = await (await client.get(PATH)).json()
    return [deployment["id"] for deployment in listed["deployments"]]


async def _unharmed(client: ClientSession, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is lost, nothing came in, the page is whole, the log has no traceback."""
    assert await _known(client) == ["good"]
    page = await (await client.get("/metrics")).text()
    families = {family.name: family.samples for family in text_string_to_metric_families(page)}
    assert [sample.labels["service"] for sample in families["afdp_deployment_info"]] == ["checkout"]
    logged = capsys.readouterr()
    assert "Traceback" not in logged.out + logged.err


DATADOG = "/api/v2/deployments/gates"  # answers as Datadog's clients read it


def _call(client: ClientSession, route: Route, content: bytes | io.BytesIO, **headers: str) -> Any:  # noqa: ANN401
    return client.request(
        route.method, route.path.replace("{id}", "good"), data=content, headers={"Content-Type": "", **headers}
    )


@pytest.mark.parametrize("route", TAKES_JSON, ids=lambda route: f"{route.method} {route.path}")
async def test_what_is_no_json_object_is_malformed(
    client: ClientSession, route: Route, capsys: pytest.CaptureFixture[str]
) -> None:
    await client.post(PATH, json=GOOD)
    for name, content in NO_JSON.items():
        answer = await _call(client, route, content)
        problem = await answer.json()
        if route.path.startswith(DATADOG):
            assert (name, answer.status, answer.content_type) == (name, 400, "application/vnd.api+json")
            assert (name, [error["status"] for error in problem["errors"]]) == (name, ["400"])
            continue
        assert (name, answer.status, answer.content_type) == (name, 400, "application/problem+json")
        assert (name, [fault["field"] for fault in problem["errors"]]) == (name, ["body"])
    await _unharmed(client, capsys)


async def test_each_fault_is_refused_by_the_name_of_its_field(
    client: ClientSession, capsys: pytest.CaptureFixture[str]
) -> None:
    await client.post(PATH, json=GOOD)
    for name, (content, field) in FAULTS.items():
        answer = await client.post(PATH, data=content, headers={"Content-Type": "application/json"})
        problem = await answer.json()
        expected = 400 if name == "a service that is named twice" else 422
        assert (name, answer.status, problem["status"]) == (name, expected, expected)
        assert (name, [fault["field"] for fault in problem["errors"]]) == (name, [field])
    await _unharmed(client, capsys)


async def test_all_faults_of_a_body_are_reported_at_once(client: ClientSession) -> None:
    content = {
        "service": "",
        "servce": 1,
        "started_at": "soon",
        "traffic_ratio": 2,
        "labels": {"a-b": "x", "c": 1},
        "traits": {"t": []},
        "status": "?",
    }
    problem = await (await client.post(PATH, json=content)).json()
    fields = {"service", "servce", "started_at", "traffic_ratio", "labels.a-b", "labels.c", "traits.t", "status"}
    assert {fault["field"] for fault in problem["errors"]} == fields


async def test_ten_thousand_faults_make_no_long_answer(client: ClientSession) -> None:
    answer = await client.post(PATH, json={f"f{number}": 1 for number in range(5000)})
    assert answer.status == 422
    assert len(await answer.read()) < 65_536


@pytest.mark.parametrize("route", TAKES_JSON, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize(("headers", "status", "field"), HEADERS.values(), ids=HEADERS)
async def test_a_form_that_browsers_send_for_strangers_is_refused(
    client: ClientSession, route: Route, headers: dict[str, str], status: int, field: str | None
) -> None:
    assert (await _call(client, route, body(), **headers)).status == status
    assert await _known(client) == []


@pytest.mark.parametrize("form", ["service=checkout", "%7B%22service%22%3A%22checkout%22%7D=", "{", ""])
async def test_a_form_that_is_no_json_is_refused(client: ClientSession, form: str) -> None:
    answer = await client.post(PATH, data=form, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 415
    assert await _known(client) == []


async def test_a_page_of_our_own_may_send(client: ClientSession) -> None:
    origin = str(client._base_url).rstrip("/")
    answer = await client.post(PATH, json=GOOD, headers={"Origin": origin})
    assert answer.status == 201


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/vnd.api+json", "nonsense;;;", "application/x-www-form-urlencoded"]
)
async def test_json_is_read_whatever_it_is_called(client: ClientSession, content_type: str) -> None:
    answer = await client.post(PATH, data=body(), headers={"Content-Type": content_type})
    assert answer.status == 201


@pytest.mark.parametrize(("marks", "status"), [(1, 201), (2, 400)])
async def test_one_byte_order_mark_may_stand_before_json(client: ClientSession, marks: int, status: int) -> None:
    answer = await client.post(PATH, data=marks * codecs.BOM_UTF8 + json.dumps(GOOD).encode())
    assert answer.status == status


@pytest.mark.parametrize("key", KEYS)
async def test_a_key_that_is_none_is_named(client: ClientSession, key: str) -> None:
    answer = await client.post(PATH, json=GOOD, headers={"Idempotency-Key": key})
    assert answer.status == 422
    assert [fault["field"] for fault in (await answer.json())["errors"]] == ["Idempotency-Key"]
    assert await _known(client) == []


@pytest.mark.parametrize("route", TAKES_JSON, ids=lambda route: f"{route.method} {route.path}")
async def test_ten_megabytes_are_refused_unread(
    client: ClientSession, route: Route, capsys: pytest.CaptureFixture[str]
) -> None:
    await client.post(PATH, json=GOOD)
    large = io.BytesIO(b'{"service": "' + b"x" * 10_000_000 + b'"}')
    answer = await _call(client, route, large)
    assert answer.status == 413
    problem = await answer.json()
    assert (problem["errors"][0] if route.path.startswith(DATADOG) else problem)["status"] in {413, "413"}
    await _unharmed(client, capsys)


async def test_a_body_without_an_end_is_cut_off_at_the_limit(client: ClientSession) -> None:
    sent = 0

    async def endless() -> Any:  # noqa: ANN401
        nonlocal sent
        while sent < 1_000_000_000:
            sent += 65_536
            yield b"x" * 65_536

    answer = await client.post(PATH, data=endless())
    assert answer.status == 413
    assert sent < 10_000_000


async def test_the_limit_is_exact(client: ClientSession) -> None:
    frame = len(body(description=""))
    fits = body(description="x" * 8000).ljust(65_536)
    assert len(fits) == 65_536 > frame
    assert (await client.post(PATH, data=fits, headers={"Content-Type": ""})).status == 201
    assert (await client.post(PATH, data=fits + b" ", headers={"Content-Type": ""})).status == 413


RAW = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a header of 20,000 bytes": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "200 headers": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    "two lengths": b"POST /api/v1/deployments HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "a length and chunks": (
        b"POST /api/v1/deployments HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n"
        b"\r\n0\r\n\r\n"
    ),
    "a length below zero": b"POST /api/v1/deployments HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a chunk without a length": (
        b"POST /api/v1/deployments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"
    ),
    "a folded header": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n",
}


@pytest.mark.parametrize("sent", RAW.values(), ids=RAW)
async def test_what_is_wrongly_framed_is_a_bad_request_without_a_traceback(
    client: ClientSession, connect: Callable[[], Any], sent: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    await client.post(PATH, json=GOOD)
    reader, writer = await connect()
    writer.write(sent)
    status = await reader.readline()
    writer.close()
    assert status.split()[1] == b"400"
    await _unharmed(client, capsys)


async def test_a_body_that_breaks_off_records_nothing(client: ClientSession, connect: Callable[[], Any]) -> None:
    _, writer = await connect()
    writer.write(b'POST /api/v1/deployments HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"service": "checkout"}')
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    assert await _known(client) == []


json_like = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.sampled_from(sorted(DeploymentPatch.model_fields.keys() | {"service", "environment", "id"}))


async def test_no_json_at_all_makes_a_server_error(start: Callable[..., Any]) -> None:
    client = await start()
    await client.post(PATH, json=GOOD)
    loop = asyncio.get_running_loop()

    async def send(content: object) -> None:
        raw_body = json.dumps(content).encode()
        for method, path in (("POST", PATH), ("PATCH", f"{PATH}/good")):
            answer = await client.request(method, path, data=raw_body, headers={"Content-Type": ""})
            assert answer.status in {200, 201, 400, 409, 413, 422}, await answer.text()
        page = await (await client.get("/metrics")).text()
        assert list(text_string_to_metric_families(page))

    @given(content=st.dictionaries(names | st.text(st.characters(), max_size=5), json_like, max_size=5) | json_like)
    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    def run(content: object) -> None:
        asyncio.run_coroutine_threadsafe(send(content), loop).result()

    await asyncio.to_thread(run)
