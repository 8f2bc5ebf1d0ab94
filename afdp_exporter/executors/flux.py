"""Flux: a HelmRelease is suspended, so that it goes no further. Flux has no way back of its own: Git has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan
from afdp_exporter.executors._cluster import Cluster

_KINDS = {
    "helmrelease": "/apis/helm.toolkit.fluxcd.io/v2/namespaces/{namespace}/helmreleases/{name}",
    "kustomization": "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{namespace}/kustomizations/{name}",
}


@dataclass(frozen=True, kw_only=True)
class Flux(Cluster):
    """A HelmRelease or Kustomization named `target` in `namespace`; both may hold `$service` and `$environment`.

    With `chart_version` a HelmRelease is also pinned to the version before; without, it only stays as it is.
    """

    workload: Literal["helmrelease", "kustomization"] = "helmrelease"
    target: str = "$service"
    chart_version: bool = False

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        path = self._path(order)
        found = await self.read(path)
        if found["spec"].get("suspend"):
            return Plan(order=order, sentence=f"{path} is suspended already", request={}, done=True)
        spec: dict[str, Any] = {"suspend": True}
        if self.chart_version:
            spec = {"chart": {"spec": {"version": self._before(found, path, order)}}}
        body = {"metadata": {"resourceVersion": found["metadata"]["resourceVersion"]}, "spec": spec}
        said = "pinned to the version before" if self.chart_version else "suspended: it goes no further"
        return Plan(
            order=order,
            sentence=f"{path} {said}; Git still names the newer one",
            request={"method": "PATCH", "path": path, "content_type": "application/merge-patch+json", "body": body},
            seen={"spec": spec},
        )

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`."""
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        found = await self.read(self._path(plan.order))
        if not self.chart_version:
            return bool(found["spec"].get("suspend"))
        wanted = plan.seen["spec"]["chart"]["spec"]["version"]
        if ((found["spec"].get("chart") or {}).get("spec") or {}).get("version") != wanted:
            return False
        history = (found.get("status") or {}).get("history") or []
        return True if history and history[0].get("chartVersion") == wanted else None

    def _path(self, order: Order) -> str:
        return _KINDS[self.workload].format(namespace=order.fill(self.namespace), name=order.fill(self.target))

    def _before(self, found: Mapping[str, Any], path: str, order: Order) -> str:
        history = [entry.get("chartVersion") for entry in (found.get("status") or {}).get("history") or []]
        if not history or (
            order.version is not None and history[0] not in {order.version, order.version.removeprefix("v")}
        ):
            raise ActionRefused(f"{path} does not run {order.version} but {history[0] if history else 'nothing'}")
        before = next((version for version in history[1:] if version != history[0]), None)
        if before is None:
            raise ActionRefused(f"{path} has no earlier version in its history")
        return str(before)


PLUGIN = Flux
