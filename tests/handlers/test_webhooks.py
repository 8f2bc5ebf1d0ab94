"""What a sender's delivery becomes, and who is not let in."""

import hashlib
import hmac
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from io import BytesIO
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession
from prometheus_client.parser import text_string_to_metric_families

from afdp_exporter.store.sqlite import SQLiteStore
from api_description import described

SECRET = "canary-secret"
PATH = "/webhooks/github"
ONE = "github:octo:hello:1"
BLOCKS = [{"kind": "github", "secret": SECRET}]


def deployment(**words: object) -> dict[str, Any]:
    plain = {"id": 1, "sha": "f95f852bd8fc", "ref": "v1.4", "environment": "production", "payload": {}}
    return plain | {"created_at": "2026-03-02T10:00:00Z"} | words


def event(state: str | None = None, minutes: int = 0, **words: object) -> dict[str, Any]:
    body: dict[str, Any] = {"deployment": deployment(**words), "repository": {"full_name": "octo/hello"}}
    if state is not None:
        changed = {"id": minutes, "state": state, "created_at": f"2026-03-02T10:{minutes:02}:00Z"}
        body["deployment_status"] = changed
    return body


Deliver = Callable[..., Awaitable[ClientResponse]]


@pytest.fixture
async def client(start: Callable[..., Any]) -> ClientSession:
    """A client of an exporter that GitHub may call."""
    started = await start(webhooks=BLOCKS)
    assert isinstance(started, ClientSession)
    return started


@pytest.fixture
def deliver(client: ClientSession) -> Deliver:
    """Delivers an event as GitHub does."""

    async def post(body: dict[str, Any], name: str | None = None, secret: str = SECRET) -> ClientResponse:
        raw = json.dumps(body).encode()
        named = name or ("deployment_status" if "deployment_status" in body else "deployment")
        signature = "sha256=" + hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"X-GitHub-Event": named, "X-Hub-Signature-256": signature, "Content-Type": "application/json"}
        return await client.post(PATH, data=raw, headers=headers)

    return post


async def counted(client: ClientSession, name: str) -> dict[tuple[str, ...], float]:
    page = await (await client.get("/metrics")).text()
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {tuple(each.labels.values()): each.value for each in samples if each.name == name}


async def test_the_events_of_a_deployment_become_one_life(client: ClientSession, deliver: Deliver) -> None:
    answer = await deliver(event())
    assert answer.status == 200
    await described(answer, "POST", "/webhooks/{kind}")
    (deployment,) = (await answer.json())["deployments"]
    assert (deployment["id"], deployment["service"], deployment["status"], deployment["created"]) == (
        ONE,
        "hello",
        "started",
        True,
    )
    await deliver(event("in_progress", 2))
    (deployment,) = (await (await deliver(event("success", 9))).json())["deployments"]
    assert (deployment["status"], deployment["created"], deployment["changed"]) == ("succeeded", False, True)
    report = await (await client.get(f"/api/v1/deployments/{ONE}")).json()
    assert report["deployment"]["started_at"] == "2026-03-02T10:00:00Z"
    assert report["deployment"]["finished_at"] == "2026-03-02T10:09:00Z"
    assert report["deployment"]["version"] == "v1.4"
    assert report["looks"]


async def test_a_delivery_that_comes_again_changes_nothing(client: ClientSession, deliver: Deliver) -> None:
    await deliver(event("success", 9))
    (deployment,) = (await (await deliver(event("success", 9))).json())["deployments"]
    assert (deployment["id"], deployment["changed"], deployment["created"]) == (ONE, False, False)
    page = await (await client.get("/api/v1/deployments")).json()
    assert len(page["deployments"]) == 1
    assert await counted(client, "afdp_annotations_received_total") == {("github",): 2}  # its creation and its status


async def test_what_a_human_says_outlives_later_events(client: ClientSession, deliver: Deliver) -> None:
    await deliver(event())
    await client.patch(f"/api/v1/deployments/{ONE}", json={"outcome": "failure", "note": "seen", "version": "v1.4.1"})
    await deliver(event("success", 9))
    found = (await (await client.get(f"/api/v1/deployments/{ONE}")).json())["deployment"]
    assert (found["labelled_outcome"], found["note"], found["version"]) == ("failure", "seen", "v1.4.1")
    assert found["status"] == "succeeded"


async def test_what_was_called_off_before_it_began_is_not_looked_at(
    start: Callable[..., Any], store: SQLiteStore, deliver: Deliver
) -> None:
    body = {"action": "completed", "repository": {"full_name": "octo/hello"}}
    run = {"id": 7, "name": "deploy", "head_sha": "abc", "conclusion": "cancelled"}
    times = {"created_at": "2026-03-02T10:00:00Z", "updated_at": "2026-03-02T10:05:00Z"}
    await deliver(body | {"workflow_run": run | times}, "workflow_run")
    await deliver(body | {"action": "requested", "workflow_run": run | times}, "workflow_run")
    assert (await store.deployments.find("github:octo:hello:run:7:1")).status == "cancelled"
    assert await store.looks.of_deployment("github:octo:hello:run:7:1") == ()


async def test_why_an_event_was_ignored_is_reported(client: ClientSession, deliver: Deliver) -> None:
    answer = await deliver({"zen": "Keep it logically awesome."}, "ping")
    assert (answer.status, await answer.json()) == (
        200,
        {"deployments": [], "events": [], "ignored": [{"reason": "a ping: the webhook works"}]},
    )
    assert await counted(client, "afdp_annotations_ignored_total") == {("github",): 1}


async def test_rules_name_the_service_or_leave_an_event_out(start: Callable[..., Any], store: SQLiteStore) -> None:
    mapping = [
        {"match": {"environment": "pr-.*"}, "ignore": "previews"},
        {"match": {"repository": "octo/(.*)"}, "service": "shop-${1}", "environment": "live"},
    ]
    client = await start(webhooks=BLOCKS, mapping=mapping)
    for name, count in (("pr-12", 0), ("production", 1)):
        raw = json.dumps(event(environment=name)).encode()
        signature = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"X-GitHub-Event": "deployment", "X-Hub-Signature-256": signature}
        answer = await (await client.post(PATH, data=raw, headers=headers)).json()
        assert len(answer["deployments"]) == count
    found = await store.deployments.find(ONE)
    assert (found.service, found.environment) == ("shop-hello", "live")


async def test_a_sender_whose_clock_is_wrong_is_warned(deliver: Deliver) -> None:
    answer = await deliver(event(created_at="2026-03-02T13:00:01Z"))
    assert answer.status == 422
    assert (await answer.json())["errors"][0]["field"] == "at"


async def test_a_body_that_cannot_be_read_is_refused(client: ClientSession) -> None:
    for raw, status in ((b"{", 400), (b"[]", 422), (b"{}", 422)):
        signature = "sha256=" + hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()
        headers = {"X-GitHub-Event": "deployment", "X-Hub-Signature-256": signature}
        answer = await client.post(PATH, data=raw, headers=headers)
        assert answer.status == status
        await described(answer, "POST", "/webhooks/{kind}")
    assert await counted(client, "afdp_annotations_rejected_total") == {
        ("github", "malformed"): 1,
        ("github", "invalid"): 2,
    }


@pytest.mark.parametrize("kind", ["gitlab", "..%2Fgithub", "github%00", "GITHUB", "x" * 4000])
async def test_a_kind_without_a_block_is_not_there(client: ClientSession, kind: str) -> None:
    assert (await client.post(f"/webhooks/{kind}", data=b"{}")).status == 404
    assert await counted(client, "afdp_annotations_rejected_total") == {}


async def test_a_large_event_is_read_and_a_huge_one_is_not(client: ClientSession, deliver: Deliver) -> None:
    assert (await deliver(event(description="x" * 500_000))).status == 200
    assert (await client.post(PATH, data=BytesIO(b"x" * (2**21 + 1)))).status == 413

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 2**16

    assert (await client.post(PATH, data=endless())).status == 413


@pytest.mark.parametrize("many", [500, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_changed_deliveries_do_not_get_in(client: ClientSession, store: SQLiteStore, many: int) -> None:
    chance = random.Random(20260302)
    body = json.dumps(event("success", 9)).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    answers: dict[int, int] = {}
    for number in range(many):
        sent, header = mutated(chance, body, signature) if number % 2 else (body, spoiled(chance, signature))
        headers = {"X-GitHub-Event": "deployment_status"} | ({} if header is None else {"X-Hub-Signature-256": header})
        async with client.post(PATH, data=sent, headers=headers) as answer:
            answers[answer.status] = answers.get(answer.status, 0) + 1
    assert answers == {401: many}
    assert (await store.deployments.page()).deployments == ()
    assert await counted(client, "afdp_annotations_rejected_total") == {("github", "unauthorised"): many}


def mutated(chance: random.Random, body: bytes, signature: str) -> tuple[bytes, str]:
    """The body with a byte changed, added or taken away, under the signature of the original."""
    place = chance.randrange(len(body))
    byte = bytes([body[place] ^ chance.randrange(1, 256)])
    ways = (
        body[:place] + byte + body[place + 1 :],
        body[:place] + byte + body[place:],
        body[:place] + body[place + 1 :],
    )
    return chance.choice(ways), signature


def spoiled(chance: random.Random, signature: str) -> str | None:
    """The signature changed, cut, in other letters, twice, of other text, or not there."""
    place = chance.randrange(len(signature))
    other = chance.choice("0123456789abcdefé ,=%")
    changed = signature[:place] + other + signature[place + 1 :]
    ways = (
        changed if changed != signature else signature[:-1],
        signature[:place],
        signature.upper(),
        f"{signature}, {signature}",
        f" {signature}é",
        f"sha1={signature[7:]}",
        signature.replace("sha256=", ""),
        "sha256=" + hmac.new(b"", b"", "sha256").hexdigest(),
        "",
        None,
    )
    return chance.choice(ways)


async def test_an_event_counts_for_three_days_and_longer(
    deliver: Deliver, wait: Callable[[timedelta], Any], store: SQLiteStore
) -> None:
    await deliver(event("success", 9))
    wait(timedelta(days=40))
    (deployment,) = (await (await deliver(event("success", 9))).json())["deployments"]
    assert deployment["changed"] is False
    assert len((await store.deployments.page()).deployments) == 1


PUSH = {"after": "f95f852bd8fc", "commits": [{"added": ["db/migrate/1.sql"], "modified": ["a.py"], "removed": []}]}


@pytest.mark.parametrize("order", [("push", "deploy", "end"), ("deploy", "push", "end"), ("deploy", "end", "push")])
async def test_what_a_push_changed_belongs_to_the_deployment_of_its_commit(
    deliver: Deliver, store: SQLiteStore, order: tuple[str, ...]
) -> None:
    own = {"afdp": {"rows": 5, "commits": 7, "list": [1], "object": {}, "none": None, "huge": 1e301, "": 1}}
    deliveries = {
        "push": (PUSH, "push"),
        "deploy": (event(payload=own), "deployment"),
        "end": (event("success", 9, payload=own), "deployment_status"),
    }
    for name in order:
        assert (await deliver(*deliveries[name])).status == 200
    found = await store.deployments.find(ONE)
    assert found.traits == {"rows": 5.0, "commits": 7.0, "files_changed": 2.0, "migrations_changed": 1.0}
    assert found.change_types == ("code", "database")
    assert found.status == "succeeded"
    assert (await deliver(PUSH, "push")).status == 200
    assert await store.deployments.find(ONE) == found
