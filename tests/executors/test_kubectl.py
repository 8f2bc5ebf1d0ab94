"""What the real kubectl asks the API server for, and what our executors ask it for: the same, on one condition more."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Executor, Order
from afdp_exporter.executors.kubernetes import MARK
from afdp_exporter.settings import build
from executors.targets import KubernetesTarget, RolloutTarget, template

ORDER = Order(
    deployment_id="d2", service="checkout", environment="production", at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    version="v2", previous_version="v1",
)  # fmt: skip
REVISION = "deployment.kubernetes.io/revision"
KINDS = {
    "apps/v1": ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ControllerRevision"),
    "argoproj.io/v1alpha1": ("Rollout",),
}


def discovery(path: str) -> dict[str, Any] | None:
    """What an API server says of the kinds that it knows."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/api/v1":
        return {"kind": "APIResourceList", "groupVersion": "v1", "resources": []}
    if path == "/apis":
        groups = [{"name": each.partition("/")[0], "versions": [version(each)], "preferredVersion": version(each)}
                  for each in KINDS]  # fmt: skip
        return {"kind": "APIGroupList", "groups": groups}
    known = KINDS.get(path.removeprefix("/apis/"))
    if known is None:
        return None
    resources = [
        {"name": f"{kind.lower()}s", "singularName": kind.lower(), "namespaced": True, "kind": kind,
         "verbs": ["get", "list", "patch"]}
        for kind in known
    ]  # fmt: skip
    return {"kind": "APIResourceList", "groupVersion": path.removeprefix("/apis/"), "resources": resources}


def version(group: str) -> dict[str, str]:
    return {"groupVersion": group, "version": group.partition("/")[2]}


class Cluster(KubernetesTarget):
    """An API server for kubectl and for us, with the controller that numbers the revisions of a Deployment."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.types: list[str] = []
        self.tags: tuple[tuple[int, str], ...] = ((3, "v2"), (1, "v0"), (2, "v1"))
        self.state["metadata"]["annotations"] |= {
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "on": "call",
        }
        for number, each in enumerate(self.sets):
            each["metadata"]["annotations"]["kubernetes.io/change-cause"] = f"release {number}"

    def read(self, request: web.Request) -> web.Response:
        known = discovery(request.path)
        if known is not None:
            return web.json_response(known)
        if request.path.endswith("/controllerrevisions"):
            return web.json_response({"kind": "ControllerRevisionList", "apiVersion": "apps/v1", "items": self.data()})
        return typed(request, self.state) if request.path.endswith("/checkout") else super().read(request)

    def data(self) -> list[dict[str, Any]]:
        """The revisions of a StatefulSet or DaemonSet, in no order."""
        return [
            {"metadata": {"name": f"checkout-{number}", "ownerReferences": [{"uid": "u1", "controller": True}]},
             "revision": number, "data": {"spec": {"template": template(f"shop/checkout:{tag}")}}}
            for number, tag in self.tags
        ]  # fmt: skip

    def write(self, request: web.Request, body: Any) -> web.Response:  # noqa: ANN401 - JSON
        self.types.append(request.content_type)
        changed = copy.deepcopy(self.state)
        if request.content_type == "application/json-patch+json":
            replaced = {each["path"]: each["value"] for each in body if each["op"] != "test"}
            changed["spec"]["template"] = replaced["/spec/template"]
            changed["metadata"]["annotations"] = replaced["/metadata/annotations"]
        if request.query.get("dryRun") != "All":
            self.state = changed
            self.change()
            self.number()
        return typed(request, changed)

    def number(self) -> None:
        """The set that runs now becomes the newest revision."""
        (now,) = (each for each in self.sets if image(each) == image(self.state))
        newest = str(1 + max(int(each["metadata"]["annotations"][REVISION]) for each in self.sets))
        for each in (now, self.state):
            each["metadata"]["annotations"][REVISION] = newest


def typed(request: web.Request, found: dict[str, Any]) -> web.Response:
    kind = next(each for each in KINDS["apps/v1"] if f"/{each.lower()}s/" in request.path)
    return web.json_response({"kind": kind, "apiVersion": "apps/v1", **found})


def image(found: dict[str, Any]) -> str:
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def bare(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A request without what kubectl's types write though it is empty, and without the condition and mark of ours."""
    if isinstance(value, list):
        return [bare(each) for each in value if not (isinstance(each, dict) and each.get("op") == "test")]
    if not isinstance(value, dict):
        return value
    if value.get("path") == "/metadata/annotations":
        value = {**value, "op": "replace"}
    found = {key: bare(each) for key, each in value.items() if key not in {MARK, "resourceVersion"}}
    return {key: each for key, each in found.items() if each not in ({}, None)}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    target = Cluster()
    target.url = await target.start()
    yield target
    await target.stop()


class Kubectl:
    """The real one, at one server, without any configuration of whoever runs it."""

    def __init__(self, program: str, home: Path) -> None:
        self.program, self.home = program, home

    async def __call__(self, url: str, *words: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            self.program, "--server", url, "--namespace", "shop", *words, env={"HOME": str(self.home)},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()


@pytest.fixture
def kubectl(kubectl_program: str, tmp_path: Path) -> Kubectl:
    return Kubectl(kubectl_program, tmp_path)


def executor(url: str, workload: str = "deployment") -> Executor:
    made: Executor = build("executors", "kubernetes", {"url": url, "namespace": "shop", "workload": workload}, "")
    return made


@pytest.mark.parametrize("workload", ["deployment", "statefulset", "daemonset"])
async def test_an_undo_of_ours_is_that_of_kubectl_on_the_condition_that_nobody_was_faster(
    cluster: Cluster, kubectl: Kubectl, workload: str
) -> None:
    plan = await executor(cluster.url, workload).check(ORDER)
    code, said = await kubectl(cluster.url, "rollout", "undo", f"{workload}/checkout", "--dry-run=server")
    assert code == 0, said
    ((method, path, body),) = cluster.writes
    ours = plan.request
    assert (ours["method"], f"{ours['path']}?dryRun=All", ours["content_type"]) == (method, path, cluster.types[0])
    assert bare(ours["body"]) == bare(body)
    condition = ours["body"][0]["value"] if workload == "deployment" else ours["body"]["metadata"]["resourceVersion"]
    assert condition == "100"


async def test_a_second_undo_of_kubectl_leads_forward_again_and_ours_is_none(
    cluster: Cluster, kubectl: Kubectl
) -> None:
    ours = executor(cluster.url)
    await ours.apply(await ours.check(ORDER))
    assert image(cluster.state) == "shop/checkout:v1"
    assert (await ours.check(ORDER)).done
    code, said = await kubectl(cluster.url, "rollout", "undo", "deployment/checkout")
    assert (code, image(cluster.state)) == (0, "shop/checkout:v2"), said


async def test_what_is_paused_is_refused_by_both(cluster: Cluster, kubectl: Kubectl) -> None:
    cluster.state["spec"]["paused"] = True
    code, said = await kubectl(cluster.url, "rollout", "undo", "deployment/checkout")
    assert (code, "paused" in said) == (1, True)
    with pytest.raises(ActionRefused, match="paused"):
        await executor(cluster.url).check(ORDER)
    assert cluster.writes == []


@pytest.mark.parametrize("workload", ["statefulset", "daemonset"])
async def test_a_second_revision_of_the_bad_version_is_not_what_it_goes_back_to(
    cluster: Cluster, workload: str
) -> None:
    cluster.tags = ((4, "v2"), (3, "v2"), (2, "v1"), (1, "v0"))
    plan = await executor(cluster.url, workload).check(ORDER)
    assert plan.request["body"]["spec"]["template"] == template("shop/checkout:v1")
    assert "revision 2 (shop/checkout:v1)" in plan.sentence
    cluster.tags = ((2, "v2"), (1, "v0"))
    with pytest.raises(ActionRefused, match="no earlier revision of v1"):
        await executor(cluster.url, workload).check(ORDER)


class RolloutCluster(RolloutTarget):
    """An API server that knows a Rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.state |= {"kind": "Rollout", "apiVersion": "argoproj.io/v1alpha1"}

    def read(self, request: web.Request) -> web.Response:
        known = discovery(request.path)
        return super().read(request) if known is None else web.json_response(known)


async def test_an_abort_of_ours_is_the_patch_that_kubectl_would_send(kubectl: Kubectl) -> None:
    target = RolloutCluster()
    url = await target.start()
    argo: Executor = build("executors", "argo_rollouts", {"url": url, "namespace": "shop"}, "")
    plan = await argo.check(ORDER)
    by_hand = json.dumps(plan.request["body"])
    code, said = await kubectl(
        url, "patch", "rollout", "checkout", "--subresource=status", "--type=merge", "-p", by_hand
    )
    assert code == 0, said
    ((method, path, body),) = target.writes
    assert (method, path.partition("?")[0], body) == (
        plan.request["method"],
        plan.request["path"],
        plan.request["body"],
    )
    assert body["status"] == {"abort": True}
    await target.stop()
