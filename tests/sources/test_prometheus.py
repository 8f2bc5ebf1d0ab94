"""The way to Prometheus: whatever happens on it, the answer is right, or an error with its reason."""

import asyncio
import gzip
import socket
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import orjson
import pytest
from aiohttp import web

from afdp_exporter.errors import ConfigError, SourceError, SourceRefused, SourceUnavailable
from afdp_exporter.model import Series, Window
from afdp_exporter.settings import build
from afdp_exporter.sources import ask
from afdp_exporter.sources.prometheus import Prometheus
from loopback import RawHandler, Serve, ServeRaw, matrix

STEP = timedelta(seconds=60)
START = 1_700_000_040
WINDOW = Window(start=datetime.fromtimestamp(START, UTC), end=datetime.fromtimestamp(START + 120, UTC))
UP = matrix({"metric": {"__name__": "up"}, "values": [[START, "1"], [START + 60, "2"], [START + 120, "3"]]})


def source(url: str, **block: object) -> Prometheus:
    built: Prometheus = build("sources", "prometheus", {"url": url, **block}, "sources[0]")
    return built


async def fetched(url: str, **block: object) -> list[Series]:
    return await ask(source(url, **block), "up", {}, WINDOW, STEP)


async def failed(url: str, **block: object) -> SourceError:
    with pytest.raises(SourceError) as caught:
        await fetched(url, **block)
    assert str(caught.value).startswith(f"{url}: ")
    return caught.value


async def test_the_question_is_posted_in_the_body_on_the_grid(serve: Serve) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert (request.method, request.path, request.query_string) == ("POST", "/prefix/api/v1/query_range", "")
        form = dict(await request.post())
        times = {"start": str(START), "end": str(START + 120), "step": "60"}
        assert form == {"query": 'up{a="é&="}', **times, "nocache": "1", "timeout": "7", "dedup": "false"}
        return web.json_response(UP)

    prometheus = source(f"{await serve(answer)}/prefix/", timeout="7s", params={"dedup": "false"})
    (series,) = await ask(prometheus, 'up{a="é&="}', {}, WINDOW, STEP)
    assert series.values.tolist() == [1, 2, 3]


async def test_connections_are_kept_and_no_more_questions_asked_at_once_than_allowed(serve: Serve) -> None:
    pair, peers, waiting = asyncio.Barrier(2), set(), []

    async def answer(request: web.Request) -> web.Response:
        peers.add(request.transport.get_extra_info("peername"))  # type: ignore[union-attr]
        waiting.append(pair.n_waiting)
        await pair.wait()
        return web.json_response(UP)

    prometheus = source(await serve(answer), concurrency=2)
    await asyncio.gather(*(ask(prometheus, "up", {}, WINDOW, STEP) for _ in range(8)))
    assert len(waiting) == 8
    assert max(waiting) == 1
    assert len(peers) == 2


async def test_the_time_in_the_queue_does_not_count_as_the_servers(serve: Serve) -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(0.35)
        return web.json_response(UP)

    prometheus = source(await serve(answer), concurrency=1, timeout="1s")
    found = await asyncio.gather(*(ask(prometheus, "up", {}, WINDOW, STEP) for _ in range(4)))
    assert [len(series) for series in found] == [1, 1, 1, 1]


# What a server may answer, and what comes of it.

REFUSED, AWAY = SourceRefused, SourceUnavailable
STATUSES = {
    400: (REFUSED, 1), 401: (AWAY, 1), 403: (AWAY, 1), 404: (AWAY, 1), 405: (AWAY, 1), 413: (REFUSED, 1),
    414: (REFUSED, 1), 418: (AWAY, 1), 422: (REFUSED, 1), 429: (AWAY, 3), 500: (AWAY, 1), 501: (AWAY, 1),
    502: (AWAY, 3), 503: (AWAY, 3), 504: (AWAY, 3),
}  # fmt: skip


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
async def test_a_bad_status_is_an_error_and_tried_again_only_where_that_may_help(
    serve: Serve, status: int, expected: tuple[type[SourceError], int]
) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(status=status, text="<html>a proxy's page</html>", content_type="text/html")

    error = await failed(await serve(answer))
    assert (type(error), len(asked)) == expected
    assert error.reason == f"http_{status}"
    assert "proxy" not in str(error)


async def test_of_a_long_error_page_only_the_status_counts(serve: Serve) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=500, body=b"x" * 1_000_000)

    error = await failed(await serve(answer))
    assert (type(error), error.reason) == (SourceUnavailable, "http_500")


async def test_a_long_step_is_asked_for_to_the_second(serve: Serve) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert (await request.post())["step"] == "1234567"
        return web.json_response(matrix())

    window = Window(start=WINDOW.start, end=WINDOW.start + timedelta(days=30))
    assert await ask(source(await serve(answer)), "up", {}, window, timedelta(seconds=1_234_567)) == []


@pytest.mark.usefixtures("no_waits")
async def test_a_server_that_comes_back_between_two_tries_has_answered(serve: Serve) -> None:
    answers = [web.Response(status=503), web.Response(status=429, headers={"Retry-After": "0"}), web.json_response(UP)]

    async def answer(_: web.Request) -> web.Response:
        return answers.pop(0)

    (series,) = await fetched(await serve(answer))
    assert series.values.tolist() == [1, 2, 3]


async def test_the_wait_that_a_server_asks_for_is_kept(serve: Serve) -> None:
    asked = []

    async def answer(_: web.Request) -> web.Response:
        asked.append(asyncio.get_running_loop().time())
        return web.json_response(UP) if len(asked) == 2 else web.Response(status=429, headers={"Retry-After": "1"})

    await fetched(await serve(answer))
    assert asked[1] - asked[0] >= 1.0


async def test_a_server_that_asks_for_a_long_wait_is_left_to_the_next_look(serve: Serve) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(status=503, headers={"Retry-After": "3600"})

    assert (await failed(await serve(answer))).reason == "http_503"
    assert len(asked) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(serve: Serve, status: int) -> None:
    followed = []

    async def canary(request: web.Request) -> web.Response:
        followed.append(request)
        return web.json_response(UP)

    elsewhere = await serve(canary)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": f"{elsewhere}/api/v1/query_range"})

    assert (await failed(await serve(answer))).reason == "redirect"
    assert not followed


async def test_warnings_of_all_pieces_of_a_long_range_are_kept_and_each_piece_is_small_enough(serve: Serve) -> None:
    ranges = []

    async def answer(request: web.Request) -> web.Response:
        form = await request.post()
        ranges.append((int(str(form["start"])), int(str(form["end"]))))
        values = [[at, str(at)] for at in range(ranges[-1][0], ranges[-1][1] + 1, 60)]
        warnings = ["a store is away", f"piece {len(ranges)}"]
        return web.json_response(matrix({"metric": {}, "values": values}, warnings=warnings))

    window = Window(start=WINDOW.start, end=WINDOW.start + timedelta(minutes=24_999))
    (series,) = await ask(source(await serve(answer)), "up", {}, window, STEP)
    assert (series.values == series.times).all()
    assert len(series.times) == 25_000
    assert series.warnings == ("a store is away", "piece 1", "piece 2", "piece 3")
    assert [(end - start) // 60 + 1 for start, end in ranges] == [11_000, 11_000, 3_000]


async def test_a_failure_of_one_piece_is_a_failure_of_the_whole(serve: Serve) -> None:
    answers = [web.json_response(UP), web.Response(status=500)]

    async def answer(_: web.Request) -> web.Response:
        return answers.pop(0)

    prometheus = source(await serve(answer))
    window = Window(start=WINDOW.start, end=WINDOW.start + timedelta(minutes=20_000))
    with pytest.raises(SourceUnavailable):
        await ask(prometheus, "up", {}, window, STEP)


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_an_answer_beyond_the_cap_is_refused_while_it_comes_in(serve: Serve, encoding: str) -> None:
    part = b" " * 1_000_000
    packer = zlib.compressobj(wbits=31)
    sent = b"".join(packer.compress(part) for _ in range(300)) + packer.flush() if encoding == "gzip" else part

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": encoding})
        await response.prepare(request)
        for _ in range(1 if encoding == "gzip" else 300):
            await response.write(sent)
        return response

    url = await serve(answer)
    tracemalloc.start()
    try:
        error = await failed(url, max_bytes=1_000_000)
        assert tracemalloc.get_traced_memory()[1] < 32_000_000
    finally:
        tracemalloc.stop()
    assert (type(error), error.reason) == (SourceRefused, "too_large")


async def test_a_compressed_answer_is_read(serve: Serve) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=gzip.compress(orjson.dumps(UP)), headers={"Content-Encoding": "gzip"})

    (series,) = await fetched(await serve(answer))
    assert series.values.tolist() == [1, 2, 3]


# What may happen to a connection.

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BODY = orjson.dumps(UP)


def writes(*parts: bytes) -> RawHandler:
    async def handler(writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return handler


def then_hangs(*parts: bytes) -> RawHandler:
    async def handler(writer: asyncio.StreamWriter) -> None:
        await writes(*parts)(writer)
        await asyncio.Event().wait()

    return handler


def drips(before: bytes, part: bytes) -> RawHandler:
    async def handler(writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)

    return handler


def resets(*parts: bytes) -> RawHandler:
    async def handler(writer: asyncio.StreamWriter) -> None:
        await writes(*parts)(writer)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    return handler


LONG = OK + b"Content-Length: 999999\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
TOXICS: dict[str, tuple[RawHandler, str]] = {
    "closes at once": (writes(), "connection"),
    "resets at once": (resets(), "connection"),
    "closes in the header": (writes(OK[:20]), "connection"),
    "resets in the body": (resets(LONG + BODY[:40]), "connection"),
    "closes in the body": (writes(LONG + BODY[:40]), "connection"),
    "closes after what could be a whole body": (writes(LONG + BODY), "connection"),
    "closes in a chunk": (writes(CHUNKED + b"ffff\r\n" + BODY[:40]), "connection"),
    "closes between chunks": (writes(CHUNKED + b"%x\r\n%s\r\n" % (len(BODY), BODY)), "connection"),
    "closes a body without a length early": (writes(OK + b"\r\n" + BODY[:40]), "malformed"),
    "speaks something else": (writes(b"SSH-2.0-OpenSSH_9.6\r\n"), "malformed"),
    "lies about its compression": (writes(OK + b"Content-Encoding: gzip\r\n\r\n" + BODY), "malformed"),
    "says nothing": (then_hangs(), "timeout"),
    "stops in the header": (then_hangs(OK), "timeout"),
    "stops before the body": (then_hangs(LONG), "timeout"),
    "stops in the body": (then_hangs(LONG + BODY[:40]), "timeout"),
    "drips a header": (drips(OK, b"X: y\r\n"), "timeout"),
    "drips a body": (drips(LONG, b" "), "timeout"),
    "drips chunks": (drips(CHUNKED, b"1\r\n \r\n"), "timeout"),
}


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize(("toxic", "reason"), TOXICS.values(), ids=TOXICS)
async def test_a_broken_connection_is_an_error_and_never_an_answer(
    serve_raw: ServeRaw, toxic: RawHandler, reason: str
) -> None:
    error = await failed(await serve_raw(toxic), timeout="500ms")
    assert isinstance(error, SourceUnavailable)
    assert error.reason == reason


@pytest.mark.usefixtures("no_waits")
async def test_a_connection_that_breaks_once_is_tried_again(serve_raw: ServeRaw) -> None:
    whole = writes(OK + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
    handlers = [resets(LONG + BODY[:40]), whole, whole]

    async def answer(writer: asyncio.StreamWriter) -> None:
        await handlers.pop(0)(writer)

    (series,) = await fetched(await serve_raw(answer))
    assert series.values.tolist() == [1, 2, 3]


async def test_an_answer_in_small_slow_pieces_is_read_whole(serve_raw: ServeRaw) -> None:
    head = OK + b"Content-Length: %d\r\n\r\n" % len(BODY)
    (series,) = await fetched(await serve_raw(writes(*((head + BODY)[at : at + 1] for at in range(len(head + BODY))))))
    assert series.values.tolist() == [1, 2, 3]


@pytest.mark.usefixtures("no_waits")
async def test_a_port_where_nobody_listens_is_named_with_the_cause() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        error = await failed(f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert error.reason == "connection"
    assert str(error).endswith("no connection: Connection refused")


# What a configuration may say.

FAULTS: dict[str, tuple[dict[str, object], str]] = {
    "no address": ({"url": "localhost:9090"}, "url: an address such as"),
    "a file": ({"url": "file:///etc/passwd"}, "url: an address such as"),
    "a user in the address": ({"url": "http://me:hunter2@localhost"}, "url: an address holds no user"),
    "parameters in the address": (
        {"url": "http://localhost?token=hunter2"},
        "url: an address holds no user, token or parameters",
    ),
    "two identities": ({"basic_auth": {"username": "me"}, "authorization": {"credentials": "hunter2"}}, "at most one"),
    "no user": ({"basic_auth": {"password": "hunter2"}}, "basic_auth: exactly one of username"),
    "two passwords": (
        {"basic_auth": {"username": "me", "password": "hunter2", "password_file": "/dev/null"}},
        "basic_auth.password_file: ",
    ),
    "no token": ({"authorization": {"type": "Bearer"}}, "authorization: exactly one of credentials"),
    "basic as a token": ({"authorization": {"type": "Basic", "credentials": "hunter2"}}, "authorization: for Basic"),
    "a file that is not there": ({"authorization": {"credentials_file": "/no/such"}}, "authorization.credentials_file"),
    "a key without its certificate": ({"tls_config": {"key_file": __file__}}, "tls_config: cert_file and key_file"),
    "a header that is ours": ({"http_headers": {"authorization": {"values": ["hunter2"]}}}, "http_headers cannot hold"),
    "a parameter that is ours": ({"params": {"query": "hunter2"}}, "params cannot hold query"),
    "a timeout of nothing": ({"timeout": "0s"}, "timeout: "),
    "an unknown key": ({"follow_redirects": True}, "follow_redirects: unknown key; known: url, timeout"),
}


@pytest.mark.parametrize(("block", "message"), FAULTS.values(), ids=FAULTS)
def test_a_fault_of_the_configuration_names_its_place_and_no_secret(block: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=r"^sources\[0\]") as caught:
        source(**{"url": "http://localhost", **block})  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


Seen: TypeAlias = tuple[str, list[dict[str, str]]]


@pytest.fixture
async def whoami(serve: Serve) -> Seen:
    """A server that keeps the headers of each question."""
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(dict(request.headers))
        return web.json_response(UP)

    return await serve(answer), seen


async def test_user_and_password_are_sent_in_any_script(whoami: Seen, tmp_path: Path) -> None:
    (tmp_path / "user").write_text("ü\n")
    url, seen = whoami
    await fetched(url, basic_auth={"username": "ü", "password": "pässwörd"})
    await fetched(url, basic_auth={"username_file": str(tmp_path / "user"), "password": "pässwörd"})
    assert {each["Authorization"] for each in seen} == {"Basic w7w6cMOkc3N3w7ZyZA=="}


async def test_a_rotated_token_works_at_once(whoami: Seen, tmp_path: Path) -> None:
    url, seen = whoami
    token = tmp_path / "token"
    token.write_text("old\n")
    prometheus = source(url, authorization={"credentials_file": str(token)})
    await ask(prometheus, "up", {}, WINDOW, STEP)
    token.write_text("new\n")
    await ask(prometheus, "up", {}, WINDOW, STEP)
    assert [each["Authorization"] for each in seen] == ["Bearer old", "Bearer new"]
    token.unlink()
    with pytest.raises(SourceUnavailable, match="cannot be read") as away:
        await ask(prometheus, "up", {}, WINDOW, STEP)
    assert away.value.reason == "secret_file"


async def test_tenant_headers_are_sent(whoami: Seen, tmp_path: Path) -> None:
    (tmp_path / "more").write_text("c\n")
    url, seen = whoami
    header = {"values": ["a"], "secrets": ["b"], "files": [str(tmp_path / "more")]}
    await fetched(url, http_headers={"X-Scope-OrgID": header})
    assert seen[0]["X-Scope-OrgID"] == "a, b, c"


async def test_nearby_servers_are_spared_the_compressing(whoami: Seen) -> None:
    url, seen = whoami
    await fetched(url)
    assert seen[0]["Accept-Encoding"] == "identity"


async def test_proxies_and_passwords_of_the_environment_are_left_alone(
    whoami: Seen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password hunter2")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    url, seen = whoami
    await fetched(url)
    assert "Authorization" not in seen[0]


SECRETS: dict[str, Callable[[Path], dict[str, object]]] = {
    "a password": lambda _: {"basic_auth": {"username": "me", "password": "hunter2"}},
    "a token": lambda _: {"authorization": {"credentials": "hunter2"}},
    "a token of two lines": lambda _: {"authorization": {"credentials": "hunter2\nhunter2"}},
    "a token in a file": lambda file: {"authorization": {"credentials_file": str(file)}},
    "a header": lambda _: {"http_headers": {"X-Key": {"values": ["hunter2"]}}},
    "a header of two lines": lambda _: {"http_headers": {"X-Key": {"secrets": ["hunter2\r\nX: hunter2"]}}},
}


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize("block", SECRETS.values(), ids=SECRETS)
async def test_a_secret_appears_nowhere(
    serve: Serve,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    block: Callable[[Path], dict[str, Any]],
) -> None:
    (tmp_path / "token").write_text("hunter2")
    statuses = [200, 401, 503, 503, 503]

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=statuses.pop(0), text=repr(request.headers))

    caplog.set_level("DEBUG")
    prometheus = source(await serve(answer), **block(tmp_path / "token"))
    texts = [repr(prometheus)]
    for _ in range(3):
        with pytest.raises(SourceUnavailable) as caught:
            await ask(prometheus, "up", {}, WINDOW, STEP)
        texts += [str(caught.value), repr(caught.value)]
    assert "hunter2" not in "".join([*texts, caplog.text, *capfd.readouterr()])


async def test_infinite_and_missing_values_come_through_the_wire(serve: Serve) -> None:
    values = [[START, "+Inf"], [START + 60, "NaN"], [START + 120, "-Inf"]]

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(matrix({"metric": {}, "values": values}))

    (series,) = await fetched(await serve(answer))
    np.testing.assert_array_equal(series.values, [np.inf, np.nan, -np.inf])
