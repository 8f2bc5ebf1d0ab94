"""Patches held to what a real API server answers: where a subresource is heeded, what refuses a stale one, and once."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import kmock
import pytest

from afdp_exporter.errors import ActionError, ActionRefused
from afdp_exporter.executors import Executor, Order
from afdp_exporter.settings import build
from executors.targets import KubernetesTarget, template

ORDER = Order(
    deployment_id="d2", service="checkout", environment="production", at=datetime(2026, 3, 2, 12, tzinfo=UTC),
    version="v2", previous_version="v1", traits={},
)  # fmt: skip
ROLLOUT = "/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/checkout"
DEPLOYMENT = KubernetesTarget.PATH
SETS = "/apis/apps/v1/namespaces/shop/replicasets"


def rollout(*, promoted: bool = False, aborted: bool = False) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "checkout", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "generation": 2,
            "annotations": {"rollout.argoproj.io/revision": "3"},
        },
        "spec": {"template": template("shop/checkout:v2")},
        "status": {"stableRS": "bbb" if promoted else "aaa", "currentPodHash": "bbb", "abort": aborted},
    }  # fmt: skip


def replica_sets(annotation: str, label: str) -> dict[str, Any]:
    """Three revisions, as one controller or the other marks them."""
    found = KubernetesTarget().sets
    for number, each in enumerate(found, 1):
        each["metadata"]["annotations"] = {annotation: str(number)}
        each["spec"]["template"]["metadata"]["labels"] = {"app": "checkout", label: f"hash{number}"}
    return {"items": found}


OF_ARGO = replica_sets("rollout.argoproj.io/revision", "rollouts-pod-template-hash")
OF_KUBERNETES = replica_sets("deployment.kubernetes.io/revision", "pod-template-hash")


@pytest.fixture
async def api() -> AsyncIterator[kmock.RawHandler]:
    async with kmock.RawHandler() as handler, kmock.Server(handler):
        yield handler


def executor(kind: str, api: kmock.RawHandler) -> Executor:
    made: Executor = build("executors", kind, {"url": str(api.url).rstrip("/"), "namespace": "shop"}, "")
    return made


async def test_an_abort_goes_to_the_status_since_the_object_itself_ignores_it(api: kmock.RawHandler) -> None:
    api[f"get {ROLLOUT}"] << rollout()
    api[f"patch {ROLLOUT}/status"] << rollout(aborted=True)
    argo = executor("argo_rollouts", api)
    await argo.apply(await argo.check(ORDER))
    (sent,) = api["patch"]
    assert sent.url.path == f"{ROLLOUT}/status"
    assert sent.headers["Content-Type"] == "application/merge-patch+json"  # a strategic one is answered with 415
    assert sent.data["status"] == {"abort": True}
    assert sent.data["metadata"]["resourceVersion"] == "7"


async def test_what_is_aborted_is_done_and_not_sent_again(api: kmock.RawHandler) -> None:
    api[f"get {ROLLOUT}"] << rollout(aborted=True)
    assert (await executor("argo_rollouts", api).check(ORDER)).done
    assert len(api["patch"]) == 0


async def test_what_is_promoted_is_undone_in_its_spec_since_the_controller_removes_an_abort(
    api: kmock.RawHandler,
) -> None:
    api[f"get {ROLLOUT}"] << rollout(promoted=True)
    api[f"get {SETS}"] << OF_ARGO
    api[f"patch {ROLLOUT}"] << rollout(promoted=True)
    argo = executor("argo_rollouts", api)
    await argo.apply(await argo.check(ORDER))
    (sent,) = api["patch"]
    assert sent.url.path == ROLLOUT  # a spec that goes to the status is ignored
    assert sent.headers["Content-Type"] == "application/json-patch+json"
    test, replaced = sent.data
    assert test == {"op": "test", "path": "/metadata/resourceVersion", "value": "7"}
    assert replaced["value"] == template("shop/checkout:v1")


@pytest.mark.parametrize(
    ("kind", "status", "why"),
    [
        ("argo_rollouts", 403, "a role with the status alone"),
        ("argo_rollouts", 404, "no subresource: an old controller"),
        ("argo_rollouts", 409, "a merge patch whose resourceVersion is stale"),
        ("argo_rollouts", 415, "a kind of patch that custom resources do not know"),
        ("kubernetes", 403, "a role that may not patch"),
        ("kubernetes", 422, "a JSON patch whose test fails: somebody has changed it"),
    ],
)
async def test_what_the_api_refuses_is_refused_and_sent_once(
    api: kmock.RawHandler, kind: str, status: int, why: str
) -> None:
    path = f"{ROLLOUT}/status" if kind == "argo_rollouts" else DEPLOYMENT
    api[f"get {ROLLOUT}"] << rollout()
    api[f"get {DEPLOYMENT}"] << KubernetesTarget().state
    api[f"get {SETS}"] << OF_KUBERNETES
    api[f"patch {path}"] << status << {"kind": "Status", "code": status, "message": why}
    one = executor(kind, api)
    with pytest.raises(ActionRefused):
        await one.apply(await one.check(ORDER))
    assert len(api["patch"]) == 1


async def test_a_second_undo_would_lead_forward_again_and_is_never_planned(api: kmock.RawHandler) -> None:
    state = KubernetesTarget().state
    state["spec"]["template"] = template("shop/checkout:v1")  # as the first one left it, in a new revision
    state["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "4", "afdp.io/rolled-back": "d2"}
    api[f"get {DEPLOYMENT}"] << state
    api[f"get {SETS}"] << OF_KUBERNETES
    assert (await executor("kubernetes", api).check(ORDER)).done


async def test_a_paused_deployment_is_left_alone_as_kubectl_does(api: kmock.RawHandler) -> None:
    state = KubernetesTarget().state
    state["spec"]["paused"] = True
    api[f"get {DEPLOYMENT}"] << state
    api[f"get {SETS}"] << OF_KUBERNETES
    with pytest.raises(ActionRefused):
        await executor("kubernetes", api).check(ORDER)


async def test_no_executor_tries_what_it_cannot_know(api: kmock.RawHandler) -> None:
    api[f"get {DEPLOYMENT}"] << 500 << {"kind": "Status", "message": "etcd is away"}
    with pytest.raises(ActionError):
        await executor("kubernetes", api).check(ORDER)
    assert len(api["patch"]) == 0
