"""Argo Rollouts: abort while it runs, undo once it is promoted; always through the subresource that is heeded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._cluster import Cluster, images, revision, runs, without_label

_REVISION = "rollout.argoproj.io/revision"
_HASH = "rollouts-pod-template-hash"


@dataclass(frozen=True, kw_only=True)
class ArgoRollouts(Cluster):
    """A Rollout named `target` in `namespace`; both may hold `$service` and `$environment`."""

    target: str = "$service"

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        path = self._path(order)
        found = await self.read(path)
        status = found.get("status") or {}
        if status.get("abort"):
            return Plan(order=order, sentence=f"{path} is aborted already", request={}, done=True)
        if "workloadRef" in found["spec"]:
            raise ActionRefused(f"{path} takes its template from a Deployment: take that back with kind kubernetes")
        if not runs(found["spec"]["template"], order.version):
            raise ActionRefused(
                f"{path} does not run {order.version} but {', '.join(images(found['spec']['template']))}"
            )
        if not status.get("stableRS"):
            raise ActionRefused(f"{path} has no stable version yet: there is nothing to return to")
        if status["stableRS"] != status.get("currentPodHash"):
            request = {
                "method": "PATCH", "path": f"{path}/status", "content_type": "application/merge-patch+json",
                "body": {"status": {"abort": True}, "metadata": _held(found)},
            }  # fmt: skip
            said = f"{path} aborted: all traffic back to {status['stableRS']}; its template stays at the bad version"
            return Plan(order=order, sentence=said, request=request, seen={"hash": status.get("currentPodHash")})
        self.refuse_gitops(found)
        return await self._undo(path, found, order)

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`."""
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        found = await self.read(self._path(plan.order))
        status = found.get("status") or {}
        if plan.request.get("path", "").endswith("/status"):
            return bool(status.get("abort"))
        if runs(found["spec"]["template"], plan.order.version):
            return False
        return True if status.get("phase") == "Healthy" else None

    def _path(self, order: Order) -> str:
        place = f"/apis/argoproj.io/v1alpha1/namespaces/{order.fill(self.namespace)}"
        return f"{place}/rollouts/{order.fill(self.target)}"

    async def _undo(self, path: str, found: Mapping[str, Any], order: Order) -> Plan:
        namespace, uid = found["metadata"]["namespace"], found["metadata"]["uid"]
        listed = await self.read(f"/apis/apps/v1/namespaces/{namespace}/replicasets")
        owned = [
            each
            for each in listed.get("items") or []
            if any(owner.get("uid") == uid for owner in each["metadata"].get("ownerReferences") or [])
        ]
        current = int((found["metadata"].get("annotations") or {}).get(_REVISION, 0))
        by_revision = sorted(owned, key=lambda each: revision(each, _REVISION), reverse=True)
        before = [each for each in by_revision if 0 < revision(each, _REVISION) < current]
        target = next((each for each in before if runs(each["spec"]["template"], order.previous_version)), None)
        if target is None:
            raise ActionRefused(f"{path} has no earlier revision of {order.previous_version or 'another version'}")
        template = without_label(target["spec"]["template"], _HASH)
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": found["metadata"]["resourceVersion"]},
            {"op": "replace", "path": "/spec/template", "value": template},
        ]
        request = {
            "method": "PATCH", "path": path, "content_type": "application/json-patch+json", "body": patch,
        }  # fmt: skip
        said = f"{path} back to revision {revision(target, _REVISION)} ({', '.join(images(template))})"
        return Plan(order=order, sentence=said, request=request, seen={"revision": current})


def _held(found: Mapping[str, Any]) -> dict[str, str]:
    return {"resourceVersion": found["metadata"]["resourceVersion"]}


PLUGIN = ArgoRollouts
