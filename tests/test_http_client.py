"""The one way to call another server: within limits, tried again where that helps, and never leaking."""

import asyncio
import gc
import gzip
import socket
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from afdp_exporter.errors import CallFailed
from afdp_exporter.http_client import RESTS, Answer, Client, tried
from afdp_exporter.http_config import is_link_local
from loopback import Serve

SENT = "Sun, 01 Mar 2026 00:00:00 GMT"


async def get(url: str, client: Client | None = None, *, most: int = 1000, seconds: float = 10.0) -> Answer:
    return await (client or Client()).call("GET", url, headers={}, seconds=seconds, most=most)


def headed(**headers: str) -> Answer:
    return Answer(status=503, headers={name.replace("_", "-"): text for name, text in headers.items()}, body=b"")


WAITS = {
    "seconds": (headed(Retry_After="120"), 120.0),
    "a date by the server's clock": (headed(Retry_After="Sun, 01 Mar 2026 00:02:00 GMT", Date=SENT), 120.0),
    "a date that has passed": (headed(Retry_After="Sun, 01 Mar 2020 00:02:00 GMT", Date=SENT), 1.0),
    "a date without a clock": (headed(Retry_After="Sun, 01 Mar 2026 00:02:00 GMT"), None),
    "nonsense": (headed(Retry_After="soon", Date=SENT), None),
    "other digits": (headed(Retry_After="\u0661", Date=SENT), None),
    "nothing": (headed(), None),
}


@pytest.mark.parametrize(("answer", "wait"), WAITS.values(), ids=WAITS)
def test_the_wait_that_a_server_asks_for_is_read_in_every_form(answer: Answer, wait: float | None) -> None:
    assert answer.wait == wait


async def test_a_redirect_is_an_answer_and_not_followed(serve: Serve) -> None:
    followed = []

    async def answer(request: web.Request) -> web.Response:
        followed.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    found = await get(f"{await serve(answer)}/here")
    assert (found.status, found.ok, followed) == (302, False, ["/here"])


async def test_what_surely_was_not_sent_is_told_from_what_may_have_arrived(serve: Serve) -> None:
    arrived = asyncio.Event()

    async def breaks(request: web.Request) -> web.Response:
        arrived.set()
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def hangs(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        places = {
            nobody: True,
            "http://nowhere.invalid": True,
            (await serve(breaks)).replace("http:", "https:"): True,
            await serve(breaks): False,
            await serve(hangs): False,
        }
        for place, unsent in places.items():
            with pytest.raises(CallFailed) as failed:
                await get(place, seconds=1.0)
            assert failed.value.unsent is unsent, (place, str(failed.value))
    assert arrived.is_set()


CODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}


@pytest.mark.parametrize("coding", CODINGS)
async def test_an_answer_is_unpacked_up_to_its_limit_and_no_further(serve: Serve, coding: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        body = CODINGS[coding](b"x" * int(request.query["size"]))
        return web.Response(body=body, headers={"Content-Encoding": coding})

    url = await serve(answer)
    assert (await get(f"{url}/?size=1000")).body == b"x" * 1000
    with pytest.raises(CallFailed, match="larger than 1000 bytes") as failed:
        await get(f"{url}/?size=1001")
    assert failed.value.reason == "too_large"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "\x1b[2J"[1:]])
async def test_a_coding_that_was_not_asked_for_is_no_answer(serve: Serve, coding: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=b"x", headers={"Content-Encoding": coding})

    with pytest.raises(CallFailed) as failed:
        await get(await serve(answer))
    assert failed.value.reason == "malformed"


async def test_of_an_error_only_the_beginning_is_read(serve: Serve) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=500, body=b"x" * 1_000_000)

    assert len((await get(await serve(answer))).body) == 65_536


@pytest.mark.usefixtures("no_waits")
async def test_a_busy_server_is_asked_again_and_its_last_answer_is_the_answer(serve: Serve) -> None:
    statuses = [503, 429, 502, 504]

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=statuses.pop(0))

    url = await serve(answer)
    assert (await tried(lambda: get(url), tries=3)).status == 502
    assert statuses == [504]


async def test_a_call_that_is_answered_at_once_leaves_nothing_to_the_collector_of_cycles() -> None:
    async def call() -> Answer:
        return replace(headed(), status=200)

    gc.collect()
    for _ in range(10):
        await tried(call, tries=3)
    assert gc.collect() == 0


async def test_calls_at_once_share_connections(serve: Serve) -> None:
    together, peers = asyncio.Barrier(2), set()

    async def answer(request: web.Request) -> web.Response:
        peers.add(request.transport.get_extra_info("peername"))  # type: ignore[union-attr]
        await together.wait()
        return web.Response()

    client, url = Client(connections=2, rest=RESTS), await serve(answer)
    for _ in range(3):
        await asyncio.gather(*(get(url, client) for _ in range(2)))
    assert len(peers) == 2


async def test_a_connection_rests_between_calls_and_is_closed_after_that(serve: Serve) -> None:
    peers, closed = list[object](), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        request.task.add_done_callback(lambda _: closed.set())
        return web.Response()

    client, url = Client(rest=0.2), await serve(answer)
    for _ in range(3):
        await get(url, client)
    assert len(peers) == 3
    assert len(set(peers)) == 1
    async with asyncio.timeout(10):
        await closed.wait()
    await get(url, client)
    assert len(set(peers)) == 2


@pytest.mark.parametrize("url", ["localhost:9090", "ftp://localhost", "http://", "http://[::1", ""])
async def test_what_is_no_address_is_an_error_of_its_own(url: str) -> None:
    with pytest.raises(CallFailed) as failed:
        await get(url)
    assert failed.value.reason in {"address", "malformed"}
    assert not failed.value.again


LINK_LOCAL = [
    "169.254.169.254", "169.254.0.1", "[fe80::1]", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]",
    "[fd00:ec2::254]", "100.100.100.200", "168.63.129.16",
]  # fmt: skip


@pytest.mark.parametrize("host", LINK_LOCAL)
async def test_no_address_of_the_link_and_no_metadata_server_is_called(host: str) -> None:
    with pytest.raises(CallFailed, match="allow_link_local") as failed:
        await get(f"http://{host}/latest/meta-data/")
    assert failed.value.reason == "address"
    assert not failed.value.again


async def test_a_name_that_leads_to_the_link_is_not_called_either(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = socket.getaddrinfo

    def answers(host: object, *words: Any, **more: Any) -> Any:  # noqa: ANN401
        return asked("169.254.169.254" if host == "metadata.example.org" else host, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", answers)
    with pytest.raises(CallFailed, match="allow_link_local"):
        await get("http://metadata.example.org/")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "10.0.0.1", "169.253.0.1", "fd00::1", "prometheus", "2001:db8::1"]
)
def test_other_addresses_and_names_are_not_of_the_link(host: str) -> None:
    assert not is_link_local(host)


async def test_who_allows_it_may_call_the_link() -> None:
    called = await asyncio.gather(
        get("http://169.254.0.1:9/", Client(allow_link_local=True), seconds=0.2), return_exceptions=True
    )
    assert "allow_link_local" not in str(called)
