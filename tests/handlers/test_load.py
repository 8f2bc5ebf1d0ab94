"""Who may take how much: those who only hold things give way to those who come with a request, and all is counted."""

import asyncio
import hashlib
import hmac
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from io import BytesIO
from typing import Any

import bcrypt
import pytest
from aiohttp import ClientSession, TCPConnector
from prometheus_client.parser import text_string_to_metric_families

from afdp_exporter.handlers.load import Bodies, Connections, Overloaded, Work
from afdp_exporter.handlers.passwords import Passwords, TooMany
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.store.memory.data import Data
from afdp_exporter.store.memory.deployments import MemoryDeployments

REQUEST = b"GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n"
SECRET = "canary-secret"
SENDERS = [{"kind": "github", "secret": SECRET}]
LARGE = 2 * 1024 * 1024


@asynccontextmanager
async def connected(client: ClientSession, address: str = "127.0.0.1") -> AsyncIterator[Any]:
    """A bare connection from an address of the loopback."""
    url = client._base_url
    assert url is not None
    reader, writer = await asyncio.open_connection(url.host, url.port, local_addr=(address, 0))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the connection was closed, sooner or later."""
    with suppress(ConnectionError):
        await reader.read()
    return True


async def refusals(client: ClientSession) -> dict[str, float]:
    page = await (await client.get("/metrics")).text()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {each.labels["reason"]: each.value for each in samples if each.name == "afdp_refusals_total"}


async def test_the_newest_connection_takes_the_place_of_the_one_that_waits_for_the_longest(
    start: Callable[..., Any],
) -> None:
    client = await start(most=2)
    async with connected(client) as (first, ask), connected(client) as (second, ask_too):
        for reader, writer in ((first, ask), (second, ask_too)):
            writer.write(REQUEST)
            assert (await reader.readline()).split()[1] == b"200"
        async with connected(client) as (third, newest):
            assert await ended(first)
            for reader, writer in ((second, ask_too), (third, newest)):
                writer.write(REQUEST)
                assert await reader.readuntil(b"HTTP/1.1 200")
    assert (await refusals(client))["connections"] >= 1


async def test_an_address_has_its_share_and_takes_no_other_place_than_its_own(start: Callable[..., Any]) -> None:
    client = await start(of_address=3)
    async with connected(client, "127.0.0.2") as (neighbour, ask), AsyncExitStack() as held:
        greedy = [await held.enter_async_context(connected(client, "127.0.0.3")) for _ in range(10)]
        assert all([await ended(reader) for reader, _ in greedy[:7]])
        ask.write(REQUEST)
        assert (await neighbour.readline()).split()[1] == b"200"
        for reader, writer in greedy[7:]:
            writer.write(REQUEST)
            assert (await reader.readline()).split()[1] == b"200"
    assert (await refusals(client))["address_connections"] == 7


async def test_a_thousand_connections_of_one_address_lock_nobody_out(start: Callable[..., Any]) -> None:
    client = await start()
    async with AsyncExitStack() as held:
        for _ in range(1000):
            with suppress(ConnectionError):
                _, writer = await held.enter_async_context(connected(client))
                writer.write(REQUEST)
        answers = await asyncio.gather(
            client.get("/-/healthy"), client.get("/metrics"), client.post("/api/v1/deployments", json={"service": "s"})
        )
        assert [answer.status for answer in answers] == [200, 200, 201]


def test_whoever_is_worked_for_is_not_ended_and_the_next_one_is_refused() -> None:
    statuses, ends = Counter[str](), list[str]()
    connections = Connections(lambda reason: statuses.update([reason]), most=2, of_address=2)
    assert connections.enter("a", "1", lambda: ends.append("a"))
    connections.works("a")
    assert connections.enter("b", "2", lambda: ends.append("b"))
    assert connections.enter("c", "3", lambda: ends.append("c"))
    assert ends == ["b"]
    connections.works("c")
    assert not connections.enter("d", "4", lambda: ends.append("d"))
    connections.waits("a")
    assert connections.enter("d", "4", lambda: ends.append("d"))
    assert ends == ["b", "a"]
    for each in ("a", "b", "c", "d", "never"):
        connections.leave(each)
    assert connections.enter("e", "1", lambda: ends.append("e"))
    assert statuses == {"connections": 3}


def test_a_caller_that_asked_is_not_silent_and_one_that_did_not_is_ended() -> None:
    statuses, ends = Counter[str](), list[str]()
    connections = Connections(lambda reason: statuses.update([reason]))
    for name in ("asked", "silent"):
        connections.enter(name, "1", lambda name=name: ends.append(name))  # type: ignore[misc]
    connections.asked("asked")
    for name in ("asked", "silent", "gone"):
        connections.end_silent(name)
    assert (ends, statuses) == (["silent"], {"slow_connection": 1})


async def test_bodies_without_proof_give_way_to_one_that_comes_at_once(start: Callable[..., Any]) -> None:
    client = await start(webhooks=SENDERS)
    head = f"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE}\r\n\r\n".encode()
    async with AsyncExitStack() as held:
        hanging = [await held.enter_async_context(connected(client)) for _ in range(12)]
        for _, writer in hanging:
            writer.write(head + b"x" * (LARGE - 1))
            await writer.drain()
        body = b'{"zen": "%s"}' % (b"x" * (LARGE - 100))
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-GitHub-Event": "ping", "X-Hub-Signature-256": signature}
        assert (await client.post("/webhooks/github", data=BytesIO(body), headers=headers)).status == 200
        assert (await hanging[0][0].readline()).split()[1] == b"408"
    found = await refusals(client)
    assert found["unproven_bodies"] >= 12 + 1 - 8
    assert found["slow"] >= 1


async def test_where_no_other_body_is_on_its_way_the_next_one_is_asked_to_come_again() -> None:
    bodies = Bodies(lambda _: None, most=100)
    async with asyncio.timeout(60) as arriving:
        with bodies.held() as one, bodies.held() as other:
            one.grown(90, arriving)
            one.arrived()
            with pytest.raises(Overloaded):
                other.grown(20, arriving)
        with bodies.held() as another:
            another.grown(100, arriving)
        await asyncio.sleep(0)  # nobody was given up


class Slow(MemoryDeployments):
    """Lists nothing before it is let."""

    def __init__(self, data: Data) -> None:
        super().__init__(data)
        self.go_on = asyncio.Event()
        self.asked = asyncio.Semaphore(0)

    async def page(self, **words: Any) -> Any:  # noqa: ANN401
        self.asked.release()
        await self.go_on.wait()
        return await super().page(**words)


async def test_a_sender_that_goes_away_in_the_middle_leaves_no_traceback(
    start: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    client = await start(webhooks=SENDERS)
    async with connected(client) as (_, writer):
        writer.write(b"POST /webhooks/github HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx")
        await writer.drain()
        assert (await client.get("/-/healthy")).status == 200
    assert (await client.get("/-/healthy")).status == 200
    assert "Traceback" not in "".join(capsys.readouterr())


async def test_beyond_what_is_worked_on_at_once_callers_are_asked_to_come_again(start: Callable[..., Any]) -> None:
    store, slow = MemoryStore(), Slow(Data())
    store.deployments = slow
    client = await start(held=store, of_address=1000)
    async with ClientSession(client._base_url, connector=TCPConnector(limit=0)) as crowd:
        many = [asyncio.create_task(crowd.get("/api/v1/deployments")) for _ in range(128)]
        for _ in many:
            async with asyncio.timeout(30):
                await slow.asked.acquire()
        shed = await crowd.get("/api/v1/deployments")
        assert (shed.status, shed.headers["Retry-After"]) == (429, "5")
        assert (await crowd.post("/api/v1/deployments", json={"service": "s"})).status == 201
        assert (await crowd.get("/-/healthy")).status == 200
        assert (await refusals(crowd))["overloaded"] == 1
        slow.go_on.set()
        assert {answer.status for answer in await asyncio.gather(*many)} == {200}
        assert (await crowd.get("/api/v1/deployments")).status == 200


def test_a_lane_has_room_again_once_a_request_ends() -> None:
    work = Work(at_once=1)
    work.begin("a", "read")
    work.begin("a", "read")
    work.begin("b", "annotate")
    with pytest.raises(Overloaded):
        work.begin("c", "read")
    work.end("a")
    work.end("a")
    work.begin("c", "read")


async def test_a_first_login_does_not_wait_behind_all_who_guess() -> None:
    passwords = Passwords(lambda: 0.0)
    users = {"ada": bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()}

    async def login(password: str, address: str) -> bool | str:
        try:
            return await passwords.fits(users, "ada", password, address)
        except TooMany:
            return "too many"

    for number in range(20):
        assert await login("wrong", f"192.0.2.{number}") is False
    guesses = [asyncio.create_task(login("wrong", f"192.0.2.{number}")) for number in range(20)]
    await asyncio.sleep(0)
    assert await login("right", "198.51.100.1") is True
    assert Counter(await asyncio.gather(*guesses)) == {False: 6, "too many": 14}
