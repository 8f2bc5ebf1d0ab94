"""Systems on the loopback that wait for an approval: each remembers how it was called back."""

import asyncio
from collections.abc import Callable
from typing import Any

import jwt
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SECRET = "canary-sender"  # of the webhooks
HANDED_OVER = "canary-job"
BOT = "canary-bot"
GUID = "12345678-1234-1234-1234-1234567890ab"


class Caller:
    """A server that takes callbacks; `calls` holds those that were let in: path and body."""

    token = BOT

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.fail: int | None = None  # the status of what comes next
        self.refused = 0
        self.url = ""
        self._called = asyncio.Condition()
        self._server: TestServer | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app)
        await self._server.start_server()
        self.url = str(self._server.make_url("")).rstrip("/")

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for calls; a test that waits in vain fails."""
        async with asyncio.timeout(30), self._called:
            await self._called.wait_for(holds)

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.json() if request.content_type == "application/json" else {"": await request.text()}
        answered = self.before(request, body)
        if answered is None:
            answered = self._called_back(request, body)
        async with self._called:
            self._called.notify_all()
        return answered

    def _called_back(self, request: web.Request, body: dict[str, Any]) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            self.refused += 1
            return web.json_response({"message": "Bad credentials"}, status=401)
        if self.fail is not None:
            status, self.fail = self.fail, None
            self.refused += 1
            return web.json_response({"message": f"no, {self.token}"}, status=status)
        self.calls.append((request.path_qs, body))
        return web.Response(status=204)

    def before(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        """What is asked besides."""

    def decisions(self) -> list[str]:
        """What it was sent, in short."""
        raise NotImplementedError

    def block(self) -> dict[str, Any]:
        """The block under `approvals`."""
        raise NotImplementedError

    def delivery(self, **words: Any) -> tuple[dict[str, str], dict[str, Any]]:  # noqa: ANN401
        """Headers and body of the request, with other words for some of them."""
        raise NotImplementedError


KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()


class GitHubCaller(Caller):
    """A protection rule of an environment, whose App shows who it is by its key and gets a token for an hour."""

    token = "canary-installation"
    path = "/repos/acme/checkout/actions/runs/77/deployment_protection_rule"
    tokens = 0

    def before(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if request.path != "/app/installations/5/access_tokens":
            return None
        _, _, signed = request.headers["Authorization"].partition(" ")
        options = {"verify_exp": False, "verify_iat": False}  # the clock of these tests stands still
        claims = jwt.decode(signed, KEY.public_key(), algorithms=["RS256"], options=options)
        assert claims["iss"] == "4711"
        assert claims["exp"] - claims["iat"] <= 600
        assert body == {"permissions": {"deployments": "write"}, "repository_ids": [3]}
        self.tokens += 1
        return web.json_response({"token": self.token, "expires_at": "2026-03-02T13:00:00Z"}, status=201)

    def decisions(self) -> list[str]:
        for path, body in self.calls:
            assert path == self.path
            assert body["environment_name"] == "production"
            assert len(body["comment"]) <= 1024
        return [body.get("state", "waiting") for _, body in self.calls]

    def block(self) -> dict[str, Any]:
        return {"kind": "github", "url": self.url, "app_id": "4711", "private_key": PEM}

    def delivery(self, **words: Any) -> tuple[dict[str, str], dict[str, Any]]:  # noqa: ANN401
        body = {
            "action": "requested",
            "environment": "production",
            "event": "push",
            "deployment_callback_url": f"{self.url}{self.path}",
            "deployment": {
                "id": 9, "sha": "a" * 40, "ref": "v2", "environment": "production",
                "created_at": "2026-03-02T11:59:00Z",
            },
            "pull_requests": [],
            "repository": {"id": 3, "full_name": "acme/checkout"},
            "installation": {"id": 5},
        }  # fmt: skip
        return {"X-GitHub-Event": "deployment_protection_rule"}, body | words


class GitLabCaller(Caller):
    """A deployment that is blocked until a bot approves it."""

    def before(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        if request.method != "GET":
            return None
        assert request.headers["Authorization"] == f"Bearer {self.token}"
        assert (request.raw_path.partition("?")[0], request.query["status"]) == (
            "/api/v4/projects/acme%2Fcheckout/deployments",
            "blocked",
        )
        waits = {
            "id": 9, "iid": 2, "ref": "v2", "sha": "a" * 40, "status": "blocked", "deployable": None,
            "environment": {"id": 3, "name": "production", "external_url": None},
        }  # fmt: skip
        return web.json_response([] if self.calls else [waits])

    def decisions(self) -> list[str]:
        assert all(path == "/api/v4/projects/acme%2Fcheckout/deployments/9/approval" for path, _ in self.calls)
        return [body["status"] for _, body in self.calls]

    def block(self) -> dict[str, Any]:
        return {"kind": "gitlab", "url": self.url, "authorization": {"credentials": BOT}}

    def delivery(self, **words: Any) -> tuple[dict[str, str], dict[str, Any]]:  # noqa: ANN401
        body = {
            "object_kind": "deployment",
            "status": "blocked",
            "status_changed_at": "2026-03-02 11:59:00 +0000",
            "deployment_id": 9,
            "environment": "production",
            "project": {"path_with_namespace": "acme/checkout"},
            "short_sha": "aaaaaaaa",
            "ref": "v2",
        }
        return {"X-Gitlab-Token": SECRET}, body | words


class AzureCaller(Caller):
    """The check of an environment that hands over the token of its job."""

    token = HANDED_OVER

    plans = f"/{GUID}/_apis/distributedtask/hubs/build/plans/"

    def __init__(self) -> None:
        super().__init__()
        self.logs: list[str] = []
        self.shown: list[str] = []  # at the check, the last one last
        self.logless = False

    def before(self, request: web.Request, body: dict[str, Any]) -> web.Response | None:
        plan, _, rest = request.path.removeprefix(self.plans).partition("/")
        assert request.path.startswith(self.plans)
        assert plan
        if rest == "events":
            return None
        assert request.headers["Authorization"] == f"Bearer {self.token}"
        assert request.query["api-version"] == "4.1"
        if self.logless:
            return web.json_response({"message": "no logs here"}, status=500)
        call, place = request.method, f"/{rest}"
        if (call, place) == ("POST", "/logs"):
            assert body == {"path": f"logs\\{GUID}"}
            self.logs.append("")
            return web.json_response({"id": len(self.logs), "path": body["path"]}, status=201)
        if call == "POST":
            self.logs[int(place.removeprefix("/logs/")) - 1] += body[""]
            return web.json_response({"id": len(self.logs)})
        assert (call, place, body["count"]) == ("PATCH", f"/timelines/{GUID}/records", 1)
        (record,) = body["value"]
        assert record["id"] == GUID
        self.shown.append(self.logs[record["log"]["id"] - 1])
        return web.json_response(body)

    def decisions(self) -> list[str]:
        for called, body in self.calls:
            assert called == f"{self.plans}{GUID}/events?api-version=2.0-preview.1"
            assert (body["name"], body["taskId"], body["jobId"]) == ("TaskCompleted", GUID, GUID)
        return [{"succeeded": "approved", "failed": "rejected"}[body["result"]] for _, body in self.calls]

    def block(self) -> dict[str, Any]:
        return {"kind": "azure_devops", "url": self.url}

    def delivery(self, **words: Any) -> tuple[dict[str, str], dict[str, Any]]:  # noqa: ANN401
        headers = {
            "PlanUrl": f"{self.url}/", "ProjectId": GUID, "HubName": "build", "PlanId": GUID, "JobId": GUID,
            "TimelineId": GUID, "TaskInstanceId": GUID, "AuthToken": HANDED_OVER, "Authorization": f"Bearer {SECRET}",
        }  # fmt: skip
        given = {name: headers.get(name, "") for name in headers} | {
            name: text for name, text in words.items() if name in headers
        }
        body = {"service": "checkout", "environment": "production", "version": "v2"}
        return given, body | {name: text for name, text in words.items() if name not in headers}
