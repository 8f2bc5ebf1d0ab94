"""Targets of executors on the loopback: each remembers every call that could change it, and can be made to fail."""

import asyncio
import copy
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer

Answer = Callable[["Target", web.Request, Any], web.Response | None]


class Target:
    """A server whose state is a dict; `fail` is how the next write fails: refused, error, hang, or not."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.writes: list[tuple[str, str, Any]] = []
        self.fail: str | None = None
        self.hung = asyncio.Event()
        self.called = asyncio.Event()
        self._server: TestServer | None = None

    async def start(self) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._server = TestServer(app)
        await self._server.start_server()
        return str(self._server.make_url("")).rstrip("/")

    async def stop(self) -> None:
        self.hung.set()
        if self._server is not None:
            await self._server.close()

    async def _handle(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        if request.method == "GET":
            return self.read(request)
        self.writes.append((request.method, request.path_qs, copy.deepcopy(body)))
        if self.fail == "refused":
            return web.json_response({"message": "not now"}, status=403)
        if self.fail == "error":
            return web.json_response({"message": "boom"}, status=500)
        answered = self.write(request, body)
        self.called.set()
        if self.fail == "hang":
            await self.hung.wait()
        return answered

    def read(self, request: web.Request) -> web.Response:
        raise NotImplementedError

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401 - JSON
        raise NotImplementedError


def template(image: str) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "checkout"}}, "spec": {"containers": [{"name": "app", "image": image}]}}


class KubernetesTarget(Target):
    """A Deployment with three revisions, of which the newest runs v2, as an API server 1.20 answers."""

    PATH = "/apis/apps/v1/namespaces/shop/deployments/checkout"

    def __init__(self) -> None:
        super().__init__()
        self.state = {
            "metadata": {
                "name": "checkout", "namespace": "shop", "uid": "u1", "resourceVersion": "100", "generation": 3,
                "annotations": {"deployment.kubernetes.io/revision": "3"},
            },
            "spec": {"selector": {"matchLabels": {"app": "checkout"}}, "template": template("shop/checkout:v2")},
            "status": {
                "observedGeneration": 3,
                "conditions": [{"type": "Progressing", "reason": "NewReplicaSetAvailable"}],
            },
        }  # fmt: skip
        self.sets = [
            self._set(number, image)
            for number, image in ((1, "shop/checkout:v0"), (2, "shop/checkout:v1"), (3, "shop/checkout:v2"))
        ]

    @staticmethod
    def _set(number: int, image: str) -> dict[str, Any]:
        made = template(image)
        made["metadata"]["labels"]["pod-template-hash"] = f"hash{number}"
        return {
            "metadata": {
                "name": f"checkout-{number}", "uid": f"set-{number}",
                "ownerReferences": [{"uid": "u1", "controller": True}],
                "annotations": {"deployment.kubernetes.io/revision": str(number)},
            },
            "spec": {"replicas": 1, "template": made},
        }  # fmt: skip

    def read(self, request: web.Request) -> web.Response:
        if request.path == self.PATH:
            return web.json_response(self.state)
        if request.path.endswith("/replicasets"):
            return web.json_response({"items": self.sets})
        return web.json_response({"message": "not found"}, status=404)

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401
        assert request.content_type == "application/json-patch+json"
        test, replace, annotate = body
        if test["value"] != self.state["metadata"]["resourceVersion"]:
            return web.json_response({"message": "the server rejected our request: test failed"}, status=422)
        self.state["spec"]["template"] = replace["value"]
        self.state["metadata"]["annotations"] = annotate["value"]
        self.change()
        return web.json_response(self.state)

    def change(self) -> None:
        """Somebody has changed it."""
        self.state["metadata"]["resourceVersion"] = str(int(self.state["metadata"]["resourceVersion"]) + 1)
        self.state["metadata"]["generation"] += 1
        self.state["status"]["observedGeneration"] = self.state["metadata"]["generation"]

    def returned(self) -> bool:
        return bool(self.state["spec"]["template"]["spec"]["containers"][0]["image"] == "shop/checkout:v1")


class RolloutTarget(Target):
    """A Rollout whose canary of v2 runs: aborting it is a patch of its status."""

    def __init__(self) -> None:
        super().__init__()
        self.state = {
            "metadata": {"name": "checkout", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "generation": 2},
            "spec": {"template": template("shop/checkout:v2")},
            "status": {"stableRS": "aaa", "currentPodHash": "bbb", "phase": "Progressing"},
        }

    def read(self, request: web.Request) -> web.Response:
        return web.json_response(self.state)

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401
        if not request.path.endswith("/status"):
            return web.json_response(self.state)  # taken, and not heeded
        if body["metadata"]["resourceVersion"] != self.state["metadata"]["resourceVersion"]:
            return web.json_response({"message": "the object has been modified"}, status=409)
        self.state["status"].update(body["status"])
        self.change()
        return web.json_response(self.state)

    def change(self) -> None:
        self.state["metadata"]["resourceVersion"] = str(int(self.state["metadata"]["resourceVersion"]) + 1)

    def returned(self) -> bool:
        return bool(self.state["status"].get("abort"))


class ArgoCDTarget(Target):
    """An Application that is synced by hand, with two revisions in its history."""

    def __init__(self) -> None:
        super().__init__()
        self.state = {
            "spec": {"syncPolicy": {}},
            "status": {
                "summary": {"images": ["shop/checkout:v2"]},
                "history": [{"id": 0, "revision": "1111111aaaa"}, {"id": 1, "revision": "2222222bbbb"}],
                "operationState": {"phase": "Succeeded"},
            },
        }

    def read(self, request: web.Request) -> web.Response:
        return web.json_response(self.state)

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401
        assert request.path.endswith("/rollback")
        history = self.state["status"]["history"]
        entry = next((one for one in history if one["id"] == body["id"]), None)
        if entry is None:
            return web.json_response({"message": "application history id not found"}, status=400)
        history.append({"id": history[-1]["id"] + 1, "revision": entry["revision"]})
        self.state["status"]["summary"]["images"] = ["shop/checkout:v1"]
        return web.json_response(self.state)

    def change(self) -> None:
        self.state["status"]["history"][0]["id"] = 99

    def returned(self) -> bool:
        return bool(self.state["status"]["history"][-1]["revision"] == "1111111aaaa")


class FluxTarget(Target):
    """A HelmRelease that is reconciled."""

    def __init__(self) -> None:
        super().__init__()
        self.state = {"metadata": {"name": "checkout", "resourceVersion": "5"}, "spec": {"suspend": False}}

    def read(self, request: web.Request) -> web.Response:
        return web.json_response(self.state)

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401
        assert request.content_type == "application/merge-patch+json"
        if body["metadata"]["resourceVersion"] != self.state["metadata"]["resourceVersion"]:
            return web.json_response({"message": "the object has been modified"}, status=409)
        self.state["spec"].update(body["spec"])
        self.change()
        return web.json_response(self.state)

    def change(self) -> None:
        self.state["metadata"]["resourceVersion"] = str(int(self.state["metadata"]["resourceVersion"]) + 1)

    def returned(self) -> bool:
        return bool(self.state["spec"]["suspend"])


class LaunchDarklyTarget(Target):
    """A flag that is on."""

    def __init__(self) -> None:
        super().__init__()
        self.state = {"key": "new-cart", "environments": {"production": {"on": True, "version": 4}}}

    def read(self, request: web.Request) -> web.Response:
        return web.json_response(self.state)

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401
        assert request.headers["Content-Type"] == "application/json; domain-model=launchdarkly.semanticpatch"
        assert body["instructions"] == [{"kind": "turnFlagOff"}]
        self.state["environments"][body["environmentKey"]]["on"] = False
        return web.json_response(self.state)

    def change(self) -> None:
        """Turning off needs no condition: a change by somebody else does not matter."""

    def returned(self) -> bool:
        return not self.state["environments"]["production"]["on"]


class UnleashTarget(Target):
    """A feature that is on."""

    def __init__(self) -> None:
        super().__init__()
        self.state = {"name": "new-cart", "environments": [{"name": "production", "enabled": True}]}

    def read(self, request: web.Request) -> web.Response:
        return web.json_response(self.state)

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401
        assert request.path == "/api/admin/projects/default/features/new-cart/environments/production/off"
        self.state["environments"][0]["enabled"] = False
        return web.Response(status=200)

    def change(self) -> None:
        """As for a flag of LaunchDarkly."""

    def returned(self) -> bool:
        return not self.state["environments"][0]["enabled"]


class FlagsmithTarget(Target):
    """A feature that is on."""

    def __init__(self) -> None:
        super().__init__()
        self.state = {"id": 12, "enabled": True, "feature": {"id": 3, "name": "new-cart"}}

    def read(self, request: web.Request) -> web.Response:
        return web.json_response({"results": [self.state]})

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401
        assert request.path == "/api/v1/environments/key/featurestates/12/"
        self.state["enabled"] = body["enabled"]
        return web.json_response(self.state)

    def change(self) -> None:
        """As for a flag of LaunchDarkly."""

    def returned(self) -> bool:
        return not self.state["enabled"]


class HookTarget(Target):
    """A program of one's own that does what it is asked for once, by the id."""

    def __init__(self) -> None:
        super().__init__()
        self.state = {"done": False}

    def read(self, request: web.Request) -> web.Response:
        return web.json_response(self.state)

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401
        assert request.headers["webhook-id"].startswith("rollback-")
        assert body["type"] == "rollback.requested"
        self.state["done"] = True
        return web.json_response({})

    def change(self) -> None:
        """There is nothing that it could be held against."""

    def returned(self) -> bool:
        return bool(self.state["done"])


class SwarmTarget(Target):
    """A Swarm service with an earlier spec; a second rollback goes forward again, as the real engine does."""

    def __init__(self) -> None:
        super().__init__()
        self.state = {
            "ID": "s1", "Version": {"Index": 20},
            "Spec": {"Name": "checkout", "TaskTemplate": {"ContainerSpec": {"Image": "shop/checkout:v2"}}},
            "PreviousSpec": {"Name": "checkout", "TaskTemplate": {"ContainerSpec": {"Image": "shop/checkout:v1"}}},
            "UpdateStatus": {"State": "completed"},
        }  # fmt: skip

    def read(self, request: web.Request) -> web.Response:
        if request.path.endswith("/version"):
            return web.json_response({"ApiVersion": "1.41"})
        return web.json_response(self.state)

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401
        if int(request.query["version"]) != self.state["Version"]["Index"]:
            message = "rpc error: code = Unknown desc = update out of sequence"
            return web.json_response({"message": message}, status=500)
        assert request.query["rollback"] == "previous"
        self.state["Spec"], self.state["PreviousSpec"] = self.state["PreviousSpec"], self.state["Spec"]
        self.state["UpdateStatus"] = {"State": "rollback_completed"}
        self.change()
        return web.json_response({"Warnings": None})

    def change(self) -> None:
        self.state["Version"]["Index"] += 1

    def returned(self) -> bool:
        return bool(self.state["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] == "shop/checkout:v1")
