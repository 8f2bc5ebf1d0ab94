"""What the systems keep that receivers of notices write to: their APIs as their documentation describes them."""

from dataclasses import dataclass, field
from typing import Any

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v2.model.dora_deployment_patch_request import DORADeploymentPatchRequest
from datadog_api_client.v2.model.dora_deployment_request import DORADeploymentRequest
from datadog_api_client.v2.model.dora_failure_request import DORAFailureRequest
from datadog_api_client.v2.model.event_create_request_payload import EventCreateRequestPayload
from datadog_api_client.v2.model.metric_payload import MetricPayload

from receivers import SHA, Call

RESOURCE = "/subscriptions/11-22/resourceGroups/shop/providers/microsoft.insights/components/shop-prod"
MODELS = {
    ("POST", "deployment"): DORADeploymentRequest,
    ("PATCH", "deployments"): DORADeploymentPatchRequest,
    ("POST", "failure"): DORAFailureRequest,
    ("POST", "events"): EventCreateRequestPayload,
    ("POST", "series"): MetricPayload,
}


@dataclass
class Channel:
    """A channel as Slack keeps it; its history comes in pages of two, the newest first."""

    messages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def serves(self, call: Call) -> tuple[int, Any]:
        method = call.path.rpartition("/")[2]
        if call.headers.get("Authorization") != "Bearer xoxb-canary":
            return 200, {"ok": False, "error": "invalid_auth"}
        if method == "conversations.history":
            oldest = float(call.query["oldest"])
            newest = [ts for ts in sorted(self.messages, key=float, reverse=True) if float(ts) >= oldest]
            start = int(call.query.get("cursor", "0"))
            cursor = str(start + 2) if start + 2 < len(newest) else ""
            page = [{"ts": ts, **self.messages[ts]} for ts in newest[start : start + 2]]
            return 200, {"ok": True, "messages": page, "response_metadata": {"next_cursor": cursor}}
        if method == "chat.postMessage":
            newest = max((int(float(each)) for each in self.messages), default=1772452899)
            ts = f"{newest + 1}.000100"
            self.messages[ts] = call.json
            return 200, {"ok": True, "ts": ts}
        if method == "chat.update":
            self.messages[call.json["ts"]] = call.json
        if method == "chat.delete":
            del self.messages[call.json["ts"]]
        return 200, {"ok": True}

    @property
    def texts(self) -> list[str]:
        return [each["text"] for each in self.messages.values()]


@dataclass
class Forge:
    """The comments on one change, which came by the commit SHA, and the statuses of commits."""

    kind: str
    app: bool = False
    locked: bool = False
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    statuses: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def serves(self, call: Call) -> tuple[int, Any]:  # noqa: PLR0911 - one for each call
        parts = call.path.strip("/").split("/")
        if "statuses" in parts:
            return self._status(parts[-1], call.json)
        match call.method, parts[-1]:
            case "GET", "user":
                return (403, {}) if self.app else (200, {"login": "afdp", "id": 5})
            case "GET", "pulls":
                return 200, [
                    {"number": 9, "merge_commit_sha": None},
                    {"number": 7, "merge_commit_sha": SHA, "locked": self.locked},
                ]
            case "GET", "merge_requests":
                return 200, [{"iid": 7, "discussion_locked": self.locked}]
            case "GET", _:
                size, page = int(call.query["per_page"]), int(call.query["page"])
                return 200, [{"id": n, **each} for n, each in self.comments.items()][(page - 1) * size : page * size]
            case "POST", _:
                assert "7" in parts
                us = {"login": "afdp[bot]" if self.app else "afdp", "id": 5, "type": "Bot" if self.app else "User"}
                self.comments[max([999, *self.comments]) + 1] = {"user": us, "author": us, **call.json}
                return 201, {}
            case "DELETE", number:
                del self.comments[int(number)]
                return 204, ""
            case _, number:
                self.comments[int(number)] |= call.json
        return 200, {}

    def _status(self, sha: str, status: dict[str, Any]) -> tuple[int, Any]:
        known = self.statuses.setdefault(sha, [])
        if self.kind == "gitlab" and status["state"] == "pending" and known and known[-1]["state"] == "pending":
            return 400, {"message": "Cannot transition status via :enqueue from :pending"}
        known.append(status)
        return 201, {}

    def chatter(self, count: int, body: str = "looks good") -> None:
        """What others write."""
        stranger = {"login": "mallory", "id": 66, "type": "User"}
        for number in range(count):
            self.comments[number] = {"user": stranger, "author": stranger, "body": body}

    @property
    def ours(self) -> list[str]:
        return [each["body"] for each in self.comments.values() if each["author"]["id"] == 5]


@dataclass
class Organisation:
    """What Datadog keeps; each body is read by the model of its own client first."""

    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    points: dict[tuple[str, tuple[str, ...], int], float] = field(default_factory=dict)
    posted: int = 0

    def serves(self, call: Call) -> tuple[int, Any]:
        assert (call.headers["DD-API-KEY"], call.headers["DD-APPLICATION-KEY"]) == ("a", "b")
        parts = call.path.split("/")
        if call.method == "GET":
            return (200 if parts[-1] in self.deployments or parts[-1] == "validate" else 404), {}
        if call.method == "DELETE":
            return (202 if self.failures.pop(parts[-1], None) else 404), {}
        body = _read(call, parts)
        if parts[-1] == "series":
            for each in body["series"]:
                for point in each["points"]:
                    self.points[each["metric"], tuple(each["tags"]), point["timestamp"]] = point["value"]
            return 202, {"errors": []}
        attributes = body["data"]["attributes"]
        if call.method == "PATCH":
            self.deployments[parts[-1]] |= attributes
        elif parts[-1] == "deployment":
            self.posted += 1
            self.deployments[attributes["id"]] = attributes
        elif parts[-1] == "failure":
            self.failures[attributes["id"]] = attributes
        else:
            self.events.append(attributes)
        return 202, {}


def _read(call: Call, parts: list[str]) -> Any:  # noqa: ANN401
    name = parts[-1] if call.method == "POST" else parts[-2]
    model = MODELS[call.method, name]
    with ApiClient(Configuration()) as client:
        read = client.deserialize(call.body.decode(), (model,), True)
    assert isinstance(read, model)
    assert not read._unparsed
    return call.json


@dataclass
class Azure:
    """An issuer of tokens, and a resource that keeps annotations."""

    annotations: dict[str, dict[str, Any]] = field(default_factory=dict)
    scopes: list[bytes] = field(default_factory=list)
    token: str = "one"

    def serves(self, call: Call) -> tuple[int, Any]:
        if call.path.endswith("/oauth2/v2.0/token"):
            self.scopes.append(call.body)
            return 200, {"access_token": self.token, "expires_in": 3600}
        if call.headers.get("Authorization") != f"Bearer {self.token}":
            return 401, {}
        if call.method == "PUT":
            assert (call.path, call.query) == (f"{RESOURCE}/Annotations", {"api-version": "2015-05-01"})
            self.annotations[call.json["Id"]] = call.json
        return 200, {}
