"""Callers that wait for a callback: GitHub's protection rule, GitLab's approvals, Azure DevOps' checks, ECS' pauses."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import orjson
import pytest
from aiohttp import ClientSession, web

from afdp_exporter.approvals import ApprovalAnswer
from afdp_exporter.config import read
from afdp_exporter.errors import BadInput, ConfigError
from afdp_exporter.model import ApprovalRequest, ApprovalState, Outcome, PendingApproval, Phase
from afdp_exporter.settings import build
from afdp_exporter.store.sqlite import SQLiteStore
from approving import BOT, GUID, HANDED_OVER, PEM, SECRET, AzureCaller, Caller, GitHubCaller, GitLabCaller
from executors.aws_targets import ECSTarget
from gated import ENFORCED, deployment, impact
from remembering import remember

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CALLERS = {"github": GitHubCaller, "gitlab": GitLabCaller, "azure_devops": AzureCaller}


def frozen(hours: float) -> dict[str, Any]:
    """A calendar that holds everything for so long."""
    end = NOON + hours * HOUR
    return {"calendar": [{"name": "sale", "kind": "freeze", "start": "2026-03-02T00:00:00Z", "end": end.isoformat()}]}


@pytest.fixture(autouse=True)
def role(monkeypatch: pytest.MonkeyPatch) -> None:
    """The credentials of this machine."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary-aws")


@pytest.fixture(params=CALLERS)
async def caller(request: pytest.FixtureRequest) -> AsyncIterator[Caller]:
    """Each of the systems that say that they wait."""
    chosen = CALLERS[request.param]()
    await chosen.start()
    yield chosen
    await chosen.stop()


@pytest.fixture
def serve(start: Callable[..., Any]) -> Callable[..., Any]:
    """Starts the exporter with a caller's blocks."""

    async def run(caller: Caller, **additions: Any) -> ClientSession:  # noqa: ANN401
        kind = caller.block()["kind"]
        senders = [{"kind": kind, "secret": SECRET}]
        started = await start(**{**ENFORCED, "webhooks": senders, "approvals": [caller.block()], **additions})
        assert isinstance(started, ClientSession)
        return started

    return run


async def ask(client: ClientSession, caller: Caller, **words: Any) -> tuple[int, dict[str, Any]]:  # noqa: ANN401
    """One delivery of its request, signed as its system does."""
    headers, body = caller.delivery(**words)
    data = orjson.dumps(body)
    digest = hmac.new(SECRET.encode(), data, "sha256").hexdigest()
    signed = {"X-Hub-Signature-256": f"sha256={digest}"} if isinstance(caller, GitHubCaller) else {}
    async with client.post(
        f"/webhooks/{caller.block()['kind']}",
        data=data, headers={**headers, **signed, "Content-Type": "application/json"},
    ) as answer:  # fmt: skip
        return answer.status, await answer.json()


async def until(store: SQLiteStore, holds: Callable[[list[PendingApproval]], bool]) -> None:
    """Read what waits until it is as expected; a test that waits in vain fails."""
    async with asyncio.timeout(30):
        while not holds(await store.approvals.waiting()):  # noqa: ASYNC110 - what is kept is all there is to see
            await asyncio.sleep(0.01)


async def test_what_may_go_on_is_approved_at_once_and_once(
    serve: Callable[..., Any], caller: Caller, store: SQLiteStore, capfd: pytest.CaptureFixture[str]
) -> None:
    client = await serve(caller)
    status, received = await ask(client, caller)
    assert status == 200
    assert received["gate"]["enforced_verdict"] in {"allow", "warn"}
    await caller.until(lambda: bool(caller.calls))
    assert caller.decisions() == ["approved"]
    await until(store, lambda found: not found)
    await ask(client, caller)  # GitHub delivers again, a job is run again
    async with client.post("/api/v1/deployments", json={"service": "other"}) as answer:
        assert answer.status == 201
    async with client.get("/metrics") as answer:
        kind = caller.block()["kind"]
        assert f'afdp_gate_callbacks_total{{caller="{kind}",result="approved"}} 1.0' in await answer.text()
    assert len(caller.calls) == 1
    written = capfd.readouterr()
    for secret in (SECRET, HANDED_OVER, BOT, "canary-installation", "PRIVATE KEY"):
        assert secret not in written.out + written.err


async def test_a_hold_that_becomes_an_allow_is_reported(
    serve: Callable[..., Any], caller: Caller, store: SQLiteStore, wait: Callable[[timedelta], datetime]
) -> None:
    client = await serve(caller, **frozen(0.5))
    status, received = await ask(client, caller)
    assert (status, received["gate"]["enforced_verdict"]) == (200, "hold")
    if isinstance(caller, GitHubCaller):
        await caller.until(lambda: bool(caller.calls))
        assert caller.decisions() == ["waiting"]
        assert "sale" in caller.calls[0][1]["comment"]
    (kept,) = await store.approvals.waiting()
    assert kept.state is ApprovalState.WAITING
    assert HANDED_OVER not in repr(kept)
    before = len(caller.calls)
    wait(timedelta(minutes=40))
    await ask(client, caller)
    await caller.until(lambda: len(caller.calls) > before)
    assert caller.decisions()[before:] == ["approved"]


async def test_a_hold_that_lasts_too_long_is_a_rejection_that_says_so(
    serve: Callable[..., Any], caller: Caller, wait: Callable[[timedelta], datetime]
) -> None:
    client = await serve(caller, **frozen(48))
    await ask(client, caller)
    wait(timedelta(minutes=61))
    await ask(client, caller)
    await caller.until(lambda: "rejected" in caller.decisions())
    assert caller.decisions()[-1] == "rejected"
    if not isinstance(caller, AzureCaller):
        assert "held for 1 hour" in caller.calls[-1][1]["comment"]


@pytest.mark.parametrize(("calendar", "decision"), [({}, "approved"), (frozen(48), "rejected")])
async def test_who_waited_at_a_restart_is_answered_after_it(
    serve: Callable[..., Any], caller: Caller, store: SQLiteStore, calendar: dict[str, Any], decision: str
) -> None:
    headers, body = caller.delivery()
    (asked,) = (
        each
        for each in build("webhooks", caller.block()["kind"], {}, "").parse(
            {name.lower(): text for name, text in headers.items()}, orjson.dumps(body)
        )
        if isinstance(each, ApprovalRequest)
    )
    waiting = PendingApproval(
        id="kept", kind=asked.sender, service="checkout", environment="production", version="v2", phase=Phase.PLAN,
        reply=asked.reply, credential=asked.credential, asked_at=NOON - 2 * HOUR, due_at=NOON - 2 * HOUR,
    )  # fmt: skip
    await store.approvals.keep(waiting)
    await serve(caller, **calendar)
    await caller.until(lambda: bool(caller.calls))
    assert caller.decisions() == [decision]


async def test_all_who_wait_are_answered_and_share_one_token(serve: Callable[..., Any], store: SQLiteStore) -> None:
    caller = GitHubCaller()
    await caller.start()
    _, body = caller.delivery()
    reply = {"deployment_callback_url": body["deployment_callback_url"], "environment": "production"}
    for number in range(40):
        waiting = PendingApproval(
            id=f"{number}", kind="github", service="checkout", environment="production", phase=Phase.PLAN,
            reply=reply | {"installation.id": "5", "repository.id": "3"}, asked_at=NOON, due_at=NOON,
        )  # fmt: skip
        await store.approvals.keep(waiting)
    await serve(caller)
    await caller.until(lambda: len(caller.calls) == 40)
    assert caller.decisions() == 40 * ["approved"]
    assert caller.tokens == 1
    await until(store, lambda found: not found)
    await caller.stop()


async def test_a_callback_that_fails_is_made_again_and_one_that_is_refused_is_not(
    serve: Callable[..., Any],
    caller: Caller,
    store: SQLiteStore,
    wait: Callable[[timedelta], datetime],
    capfd: pytest.CaptureFixture[str],
) -> None:
    client = await serve(caller)
    caller.fail = 503
    await ask(client, caller)
    await caller.until(lambda: caller.refused == 1)
    await until(store, lambda found: found[0].attempts == 1)
    assert caller.token not in capfd.readouterr().out  # though its answer holds it
    wait(timedelta(minutes=2))
    await ask(client, caller)
    await caller.until(lambda: bool(caller.calls))
    assert caller.decisions() == ["approved"]
    caller.fail = 422  # somebody has decided before
    words = {"PlanId": GUID.replace("1", "2")} if isinstance(caller, AzureCaller) else {"deployment_id": 10}
    if isinstance(caller, GitHubCaller):
        words = {"deployment": caller.delivery()[1]["deployment"] | {"id": 10}}
    await ask(client, caller, **words)
    await caller.until(lambda: caller.refused == 2)
    await until(store, lambda found: not found)
    assert len(caller.calls) == 1


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:9",
        "http://[::1]:9",
        "http://10.0.0.7",
        "https://evil.example",
        "{url}.evil.example",
        "{url}@evil.example",
        "{url}:80@evil.example",
        "{url}/../..",
        "file:///etc/passwd",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["github", "azure_devops"])
async def test_a_callback_to_any_other_address_is_refused_and_never_made(
    serve: Callable[..., Any], store: SQLiteStore, kind: str, address: str
) -> None:
    caller = CALLERS[kind]()
    await caller.start()
    client = await serve(caller)
    place = address.format(url=caller.url)
    path = GitHubCaller.path if place else ""
    words = {"deployment_callback_url": f"{place}{path}"} if kind == "github" else {"PlanUrl": place or "-"}
    status, received = await ask(client, caller, **words)
    assert status == 422
    assert "callbacks go to" in received["errors"][0]["message"]
    assert await store.approvals.waiting() == []
    assert (caller.calls, caller.refused) == ([], 0)
    await caller.stop()


@pytest.mark.parametrize(
    ("kind", "block", "reply"),
    [
        ("github", {"app_id": "1", "private_key": PEM}, {"deployment_callback_url": "https://api.github.com/user"}),
        (
            "github",
            {"app_id": "1", "private_key": PEM},
            {
                "deployment_callback_url": "https://api.github.com/repos/a/../actions/runs/1/deployment_protection_rule",
                "installation.id": "5",
            },
        ),
        (
            "github",
            {"app_id": "1", "private_key": PEM},
            {"deployment_callback_url": f"https://api.github.com{GitHubCaller.path}?x=1", "installation.id": "5"},
        ),
        (
            "github",
            {"app_id": "1", "private_key": PEM},
            {"deployment_callback_url": f"https://api.github.com{GitHubCaller.path}", "installation.id": "5/../6"},
        ),
        (
            "github",
            {"app_id": "1", "private_key": PEM},
            {
                "deployment_callback_url": f"https://api.github.com{GitHubCaller.path}",
                "installation.id": "5",
                "repository.id": "3,4",
            },
        ),
        ("gitlab", {"authorization": {"credentials": "x"}}, {"project": "../admin", "deployment_id": "9"}),
        ("gitlab", {"authorization": {"credentials": "x"}}, {"project": "a/b", "deployment_id": "9/x"}),
        (
            "azure_devops",
            {"url": "https://dev.azure.com/acme"},
            {"PlanUrl": "https://dev.azure.com/acme", "ProjectId": "../other", "HubName": "build"},
        ),
        ("azure_devops", {"url": "https://dev.azure.com/acme"}, {"PlanUrl": "https://dev.azure.com/evil"}),
    ],
)
def test_what_stands_in_a_path_is_what_its_sender_writes(kind: str, block: Any, reply: dict[str, str]) -> None:  # noqa: ANN401
    approver = build("approvals", kind, block, "")
    with pytest.raises(BadInput):
        approver.check(reply)


async def test_a_forged_request_asks_nothing(serve: Callable[..., Any], caller: Caller, store: SQLiteStore) -> None:
    client = await serve(caller)
    headers, body = caller.delivery()
    for forged in ({}, {"Authorization": "Bearer wrong", "X-Gitlab-Token": "wrong", "X-Hub-Signature-256": "sha256=0"}):
        sent = {name: text for name, text in headers.items() if name not in {"X-Gitlab-Token", "Authorization"}}
        async with client.post(f"/webhooks/{caller.block()['kind']}", json=body, headers=sent | forged) as answer:
            assert answer.status == 401
    assert await store.approvals.waiting() == []
    assert (caller.calls, caller.refused) == ([], 0)


async def test_without_a_block_nobody_is_called_back_and_the_answer_says_so(
    serve: Callable[..., Any], caller: Caller, store: SQLiteStore
) -> None:
    client = await serve(caller, approvals=[])
    status, received = await ask(client, caller)
    assert status == 200
    assert "nobody is called back" in received["ignored"][-1]["reason"]
    assert await store.approvals.waiting() == []


async def test_a_check_of_azure_devops_shows_in_its_log_why_it_waits_and_how_it_ended(
    serve: Callable[..., Any], wait: Callable[[timedelta], datetime]
) -> None:
    caller = AzureCaller()
    await caller.start()
    client = await serve(caller, **frozen(48))
    await ask(client, caller)
    await caller.until(lambda: bool(caller.shown))
    assert caller.shown[-1].startswith("hold: ")
    assert not caller.calls
    wait(timedelta(minutes=61))
    await ask(client, caller)
    await caller.until(lambda: bool(caller.calls))
    assert caller.decisions() == ["rejected"]
    assert "held for 1 hour" in caller.shown[-1]
    await caller.stop()


@pytest.mark.parametrize("timeline", [True, False])
async def test_a_decision_does_not_wait_for_the_log_of_the_check(serve: Callable[..., Any], timeline: bool) -> None:
    caller = AzureCaller()
    await caller.start()
    caller.logless = timeline
    client = await serve(caller)
    await ask(client, caller, **({} if timeline else {"TimelineId": ""}))
    await caller.until(lambda: bool(caller.calls))
    assert (caller.decisions(), caller.logs) == (["approved"], [])
    await caller.stop()


@pytest.mark.parametrize(("outcome", "verdict"), [(Outcome.SUCCESS, "allow"), (Outcome.FAILURE, "rollback")])
async def test_a_check_of_azure_devops_that_hands_no_token_over_is_answered_in_the_body(
    serve: Callable[..., Any], store: SQLiteStore, outcome: Outcome, verdict: str
) -> None:
    caller = AzureCaller()
    await caller.start()
    client = await serve(caller, approvals=[])
    await remember(store, deployment(), impact(outcome))
    status, received = await ask(client, caller, AuthToken="", phase="post")
    assert (status, received["gate"]["enforced_verdict"]) == (200, verdict)
    assert received["gate"]["data"]["ok"] is (verdict == "allow")
    assert await store.approvals.waiting() == []
    await caller.stop()


async def test_a_comment_is_shown_as_it_is_and_mentions_nobody(serve: Callable[..., Any]) -> None:
    caller = GitHubCaller()
    await caller.start()
    name = "@everyone <img src=x> [a](http://b) `c` " + "x" * 90
    freeze = {"name": name, "kind": "freeze", "start": "2026-03-02T00:00:00Z", "end": "2026-03-03T00:00:00Z"}
    client = await serve(caller, calendar=[freeze])
    await ask(client, caller)
    await caller.until(lambda: bool(caller.calls))
    comment = caller.calls[0][1]["comment"]
    assert "@everyone" not in comment
    assert r"\<img" in comment
    assert r"\[a\]" in comment
    assert caller.tokens == 1
    await caller.stop()


async def test_a_wait_whose_reason_changes_is_answered_nine_times_and_then_the_decision(store: SQLiteStore) -> None:
    caller = GitHubCaller()
    await caller.start()
    approver = build("approvals", "github", {key: each for key, each in caller.block().items() if key != "kind"}, "")
    _, body = caller.delivery()
    reply = {"deployment_callback_url": body["deployment_callback_url"], "environment": "production"}
    waiting = PendingApproval(
        id="a", kind="github", service="checkout", environment="production", phase=Phase.PLAN, asked_at=NOON,
        reply=reply | {"installation.id": "5", "repository.id": "3"}, due_at=NOON,
    )  # fmt: skip
    for count in range(14):
        answer = ApprovalAnswer(state="waiting", comment=f"{count}", at=NOON)
        await approver.answer(replace(waiting, reports=count), answer)
    await approver.answer(replace(waiting, reports=14), ApprovalAnswer(state="approved", comment="x" * 3000, at=NOON))
    assert caller.decisions() == 9 * ["waiting"] + ["approved"]
    assert caller.tokens == 1
    await caller.stop()


class PausingTarget(ECSTarget):
    """A service deployment that pauses before it shifts traffic."""

    writing: ClassVar[set[str]] = {"ContinueServiceDeployment"}

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.deployments[-1] |= {"lifecycleStage": "PRE_SCALE_UP", "lifecycleHookDetails": [self.hook()]}

    def hook(self) -> dict[str, Any]:
        status = "AWAITING_ACTION" if self.action is None else "SUCCEEDED"
        return {"hookId": "h1", "targetType": "PAUSE", "status": status, "timeoutAction": "ROLLBACK"}

    def answer(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        if operation == "ListServiceDeployments":
            assert params["status"] == ["PENDING", "IN_PROGRESS"]
        if operation == "ContinueServiceDeployment":
            assert params["hookId"] == "h1"
            assert self.action is None
            self.action = params["action"]
            self.deployments[-1]["lifecycleHookDetails"] = [self.hook()]
            return {"serviceDeploymentArn": params["serviceDeploymentArn"]}
        return super().answer(operation, params)


@pytest.mark.parametrize(("hours", "action"), [(0.0, "CONTINUE"), (0.5, "CONTINUE"), (48.0, "ROLLBACK")])
async def test_a_pause_of_ecs_is_continued_or_rolled_back(
    start: Callable[..., Any], store: SQLiteStore, wait: Callable[[timedelta], datetime], hours: float, action: str
) -> None:
    target = PausingTarget()
    url = await target.start()
    block = {"kind": "ecs", "url": url, "region": "eu-west-1", "cluster": "shop", "services": ["checkout"]}
    client = await start(**ENFORCED, approvals=[block], **(frozen(hours) if hours else {}))
    if hours:
        await until(store, lambda found: bool(found) and bool(found[0].said))
        wait(timedelta(minutes=64))
        await wake(client)
    async with asyncio.timeout(30):
        await target.called.wait()
    assert target.action == action
    assert len(target.writes) == 1
    await target.stop()


@pytest.mark.parametrize(("hours", "decision"), [(0.0, "approved"), (48.0, "rejected")])
async def test_what_is_blocked_in_a_project_of_gitlab_is_found_where_no_webhook_tells(
    start: Callable[..., Any], store: SQLiteStore, wait: Callable[[timedelta], datetime], hours: float, decision: str
) -> None:
    caller = GitLabCaller()
    await caller.start()
    block = {**caller.block(), "projects": ["acme/checkout"]}
    client = await start(**ENFORCED, approvals=[block], **(frozen(hours) if hours else {}))
    if hours:
        await until(store, lambda found: bool(found) and bool(found[0].said))
        wait(timedelta(minutes=64))
        await wake(client)
    await caller.until(lambda: bool(caller.calls))
    assert caller.decisions() == [decision]
    assert caller.calls[0][1]["status"] == decision
    await caller.stop()


async def test_what_a_webhook_of_gitlab_tells_is_the_same_question_as_what_its_project_lists(
    serve: Callable[..., Any], store: SQLiteStore
) -> None:
    caller = GitLabCaller()
    await caller.start()
    block = {**caller.block(), "projects": ["acme/checkout"]}
    client = await serve(caller, approvals=[block], **frozen(48.0))
    await until(store, lambda found: bool(found) and bool(found[0].said))
    await ask(client, caller)
    assert len(await store.approvals.waiting()) == 1
    await caller.stop()


async def test_a_project_that_is_gone_keeps_none_of_the_others_waiting() -> None:
    class Gone(GitLabCaller):
        def before(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
            if "gone" in request.raw_path:
                return web.json_response({"message": "404 Project Not Found"}, status=404)
            return super().before(request, body)

    caller = Gone()
    await caller.start()
    block = {**caller.block(), "projects": ["acme/gone", "acme/checkout"]}
    del block["kind"]
    found = await build("approvals", "gitlab", block, "").pending()
    assert [asked.key for asked in found] == ["acme/checkout:9"]
    await caller.stop()


async def test_a_service_of_ecs_that_is_gone_keeps_none_of_the_others_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(PausingTarget):
        async def _handle(self, request: web.Request) -> web.Response:
            _, params = await self.asked(request)
            if params.get("service") == "gone":
                return self.answered(400, {"message": "Service not found."}, "ServiceNotFoundException")
            return await super()._handle(request)

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret")
    target = Gone()
    block = {"url": await target.start(), "region": "eu-west-1", "cluster": "shop", "services": ["gone", "checkout"]}
    found = await build("approvals", "ecs", block, "").pending()
    assert [asked.origin.service for asked in found] == ["checkout"]
    await target.stop()


async def wake(client: ClientSession) -> None:
    """Something has happened elsewhere."""
    async with client.post("/api/v1/deployments", json={"service": "other"}) as answer:
        assert answer.status == 201


async def test_what_is_kept_of_a_request_holds_no_credential_once_it_is_answered(store: SQLiteStore) -> None:
    waiting = PendingApproval(
        id="a", kind="azure_devops", service="checkout", environment="production", phase=Phase.PLAN, reply={},
        credential=HANDED_OVER, asked_at=NOON, due_at=NOON,
    )  # fmt: skip
    assert await store.approvals.keep(waiting)
    assert not await store.approvals.keep(waiting)
    assert await store.approvals.waiting() == [waiting]
    await store.approvals.change(replace(waiting, state=ApprovalState.ANSWERED))
    assert await store.approvals.waiting() == []
    rows = await store.approvals._readers.read(lambda connection: connection.execute("SELECT * FROM approvals"))
    assert HANDED_OVER not in str([tuple(row) for row in rows])


@pytest.mark.parametrize(
    "block",
    [
        {"kind": "github", "app_id": "1"},
        {"kind": "github", "app_id": "1", "private_key": "canary", "private_key_file": "x"},
        {"kind": "gitlab"},
        {"kind": "azure_devops"},
        {"kind": "jenkins"},
    ],
)
def test_a_block_that_cannot_work_stops_the_start(content: dict[str, Any], block: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        read(content | {"approvals": [block]})
    assert "canary" not in str(raised.value)
