"""ECS: a service deployment is stopped with a rollback; after its end the task definition before comes back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from afdp_exporter.aws import AWS, names
from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan

_RUNNING = {"PENDING", "IN_PROGRESS"}
_RETURNING = {"ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS", "ROLLBACK_SUCCESSFUL"}
_STOP, _UPDATE = "StopServiceDeployment", "UpdateService"


@dataclass(frozen=True, kw_only=True)
class ECS(AWS):
    """The service `target` in `cluster`; both may hold `$service` and `$environment`."""

    service: ClassVar[str] = "ecs"

    cluster: str = "$environment"
    target: str = "$service"

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        newest = await self._newest(order)
        arn, status = newest["serviceDeploymentArn"], newest["status"]
        if status in _RETURNING:
            return Plan(order=order, sentence=f"{arn} is rolled back already ({status})", request={}, done=True)
        if status not in {*_RUNNING, "SUCCESSFUL"}:
            raise ActionRefused(f"{arn} is {status}")
        known = await self._revision(newest["targetServiceRevision"]["arn"])
        if order.version is not None and not names(_texts(known), order.version):
            raise ActionRefused(f"{arn} does not bring {order.version} but {', '.join(_texts(known))}")
        sources = newest.get("sourceServiceRevisions") or []
        if not sources:
            raise ActionRefused(f"{arn} is the first of its service: there is nothing to return to")
        before = await self._revision(sources[0]["arn"])
        target = str(before["taskDefinition"])
        if status in _RUNNING:
            request = self.request(_STOP, serviceDeploymentArn=arn, stopType="ROLLBACK")
        else:
            place = {"cluster": order.fill(self.cluster), "service": order.fill(self.target)}
            request = self.request(_UPDATE, **place, taskDefinition=target)
        if target == known["taskDefinition"]:
            raise ActionRefused(f"{arn} changed no task definition")
        return Plan(
            order=order,
            sentence=f"{order.fill(self.target)} from {known['taskDefinition']} back to {target}",
            request=request,
            seen={"deployment": arn, "status": status, "target": target},
        )

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`; a deployment is stopped by its own name, an update is preceded by one more look."""
        if plan.request["operation"] == _UPDATE:
            newest = await self._newest(plan.order)
            if newest["serviceDeploymentArn"] != plan.seen["deployment"]:
                raise ActionRefused(f"{newest['serviceDeploymentArn']} has begun since then")
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        newest = await self._newest(plan.order)
        status = newest["status"]
        if newest["serviceDeploymentArn"] == plan.seen["deployment"]:
            return True if status == "ROLLBACK_SUCCESSFUL" else None if status in _RETURNING else False
        known = await self._revision(newest["targetServiceRevision"]["arn"])
        if known["taskDefinition"] != plan.seen["target"]:
            return False
        return True if status == "SUCCESSFUL" else None if status in _RUNNING else False

    async def _newest(self, order: Order) -> dict[str, Any]:
        """The newest deployment of the service. Raises ActionRefused where there is none."""
        cluster, name = order.fill(self.cluster), order.fill(self.target)
        listed = await self.listed(
            "ListServiceDeployments", "serviceDeployments", ("nextToken", "nextToken"), cluster=cluster, service=name
        )
        if not listed:
            raise ActionRefused(f"ECS knows no deployment of {name} in {cluster}")
        arn = max(listed, key=lambda each: each["createdAt"])["serviceDeploymentArn"]
        found = await self.read("DescribeServiceDeployments", serviceDeploymentArns=[arn])
        if not found["serviceDeployments"]:
            raise ActionRefused(f"{arn} is not there any more")
        return dict(found["serviceDeployments"][0])

    async def _revision(self, arn: str) -> dict[str, Any]:
        found = (await self.read("DescribeServiceRevisions", serviceRevisionArns=[arn]))["serviceRevisions"]
        if not found:
            raise ActionRefused(f"the revision {arn} is not there any more")
        return dict(found[0])


def _texts(revision: Mapping[str, Any]) -> list[str]:
    """What names the version of a service revision: its task definition and images."""
    images = [str(each.get("image", "")) for each in revision.get("containerImages") or []]
    return [str(revision["taskDefinition"]), *images]


PLUGIN = ECS
