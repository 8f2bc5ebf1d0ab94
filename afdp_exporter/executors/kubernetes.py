"""Kubernetes: the revision before, as `kubectl rollout undo` does it, on the condition that nobody was faster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._cluster import Cluster, images, revision, runs, without_label

_REVISION = "deployment.kubernetes.io/revision"
_HASH = "pod-template-hash"
_KEPT = {  # annotations of the Deployment itself that its revision does not overwrite
    "kubectl.kubernetes.io/last-applied-configuration",
    _REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
}
MARK = "afdp.io/rolled-back"
"""The annotation that names the deployment that was taken back: a second undo would go forward to it again."""


@dataclass(frozen=True, kw_only=True)
class Kubernetes(Cluster):
    """A workload named `target` in `namespace`; both may hold `$service` and `$environment`."""

    workload: Literal["deployment", "statefulset", "daemonset"] = "deployment"
    target: str = "$service"

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        path = self._path(order)
        found = await self.read(path)
        self.refuse_gitops(found)
        annotations = found["metadata"].get("annotations") or {}
        if annotations.get(MARK) == order.deployment_id:
            return Plan(order=order, sentence=f"{path} was taken back already", request={}, done=True)
        if found["spec"].get("paused"):
            raise ActionRefused(f"{path} is paused")
        if not runs(found["spec"]["template"], order.version):
            now = ", ".join(images(found["spec"]["template"]))
            raise ActionRefused(f"{path} does not run {order.version} but {now}")
        if self.workload == "deployment":
            return await self._undo(path, found, order)
        return await self._undo_by_revision(path, found, order)

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`."""
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`: marked, and its rollout complete."""
        found = await self.read(self._path(plan.order))
        if (found["metadata"].get("annotations") or {}).get(MARK) != plan.order.deployment_id:
            return False
        status = found.get("status") or {}
        if status.get("observedGeneration", 0) < found["metadata"].get("generation", 0):
            return None
        if self.workload != "deployment":
            return None if status.get("updatedReplicas", 0) < found["spec"].get("replicas", 0) else True
        conditions = {each["type"]: each for each in status.get("conditions") or []}
        complete = conditions.get("Progressing", {}).get("reason") == "NewReplicaSetAvailable"
        return True if complete else None

    def _path(self, order: Order) -> str:
        place = f"/apis/apps/v1/namespaces/{order.fill(self.namespace)}"
        return f"{place}/{self.workload}s/{order.fill(self.target)}"

    async def _undo(self, path: str, found: Mapping[str, Any], order: Order) -> Plan:
        owned = await self._owned(path, found, "replicasets")
        by_revision = sorted(owned, key=lambda each: revision(each, _REVISION), reverse=True)
        current = revision(found, _REVISION)
        before = [each for each in by_revision if 0 < revision(each, _REVISION) < current]
        target = next((each for each in before if runs(each["spec"]["template"], order.previous_version)), None)
        if target is None:
            raise ActionRefused(f"{path} has no earlier revision of {order.previous_version or 'another version'}")
        template = without_label(target["spec"]["template"], _HASH)
        if template == without_label(found["spec"]["template"], _HASH):
            raise ActionRefused(f"{path}: the revision before is the same")
        own = {name: text for name, text in (found["metadata"].get("annotations") or {}).items() if name in _KEPT}
        theirs = {
            name: text for name, text in (target["metadata"].get("annotations") or {}).items() if name not in _KEPT
        }
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]},
            {"op": "replace", "path": "/spec/template", "value": template},
            {"op": "add", "path": "/metadata/annotations", "value": {**theirs, **own, MARK: order.deployment_id}},
        ]
        back = ", ".join(images(template))
        return Plan(
            order=order,
            sentence=f"{path} back to revision {revision(target, _REVISION)} ({back})",
            request=_patch(path, patch, "application/json-patch+json"),
            seen={"revision": current, "resource_version": found["metadata"]["resourceVersion"]},
        )

    async def _undo_by_revision(self, path: str, found: Mapping[str, Any], order: Order) -> Plan:
        strategy = (found["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate")
        if strategy == "OnDelete":
            raise ActionRefused(f"{path} is updated OnDelete: a changed template alone brings nothing back")
        owned = sorted(await self._owned(path, found, "controllerrevisions"), key=lambda each: int(each["revision"]))
        before = reversed(owned[:-1])
        target = next((each for each in before if runs(_template(each), order.previous_version)), None)
        if target is None:
            raise ActionRefused(f"{path} has no earlier revision of {order.previous_version or 'another version'}")
        body = {
            **target["data"],
            "metadata": {
                "resourceVersion": found["metadata"]["resourceVersion"],
                "annotations": {MARK: order.deployment_id},
            },
        }
        return Plan(
            order=order,
            sentence=f"{path} back to revision {target['revision']} ({', '.join(images(_template(target)))})",
            request=_patch(path, body, "application/strategic-merge-patch+json"),
            seen={"revision": owned[-1]["revision"], "resource_version": found["metadata"]["resourceVersion"]},
        )

    async def _owned(self, path: str, found: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
        """The objects of a kind beside a workload that belong to it."""
        labels = ((found["spec"].get("selector") or {}).get("matchLabels") or {}).items()
        selector = ",".join(f"{name}={text}" for name, text in sorted(labels))
        listed = await self.read(path.rpartition("/")[0].rpartition("/")[0] + f"/{kind}", [("labelSelector", selector)])
        uid = found["metadata"]["uid"]
        return [
            each
            for each in listed.get("items") or []
            if any(owner.get("uid") == uid for owner in each["metadata"].get("ownerReferences") or [])
        ]


def _template(kept: Mapping[str, Any]) -> Mapping[str, Any]:
    """The pod template of a ControllerRevision."""
    template: Mapping[str, Any] = kept["data"]["spec"]["template"]
    return template


def _patch(path: str, body: object, content_type: str) -> dict[str, Any]:
    return {"method": "PATCH", "path": path, "content_type": content_type, "body": body}


PLUGIN = Kubernetes
