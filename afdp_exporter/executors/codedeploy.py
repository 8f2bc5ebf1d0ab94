"""CodeDeploy: a deployment that runs is stopped, and the revision before is deployed by CodeDeploy itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from afdp_exporter.aws import AWS, names
from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan

_RUNNING = {"Created", "Queued", "InProgress", "Baking", "Ready"}
_LONGEST = timedelta(days=7)  # that a deployment may run
_MOST = 25  # that are described at once; in which order they are listed is not documented
_BACK = {"codeDeployRollback", "CloudFormationRollback"}


@dataclass(frozen=True, kw_only=True)
class CodeDeploy(AWS):
    """The `group` of an `application`; both may hold `$service` and `$environment`."""

    service: ClassVar[str] = "codedeploy"

    application: str = "$service"
    group: str = "$environment"

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`; what has ended cannot be stopped, and is refused."""
        application, group = order.fill(self.application), order.fill(self.group)
        listed = await self.listed(
            "ListDeployments", "deployments", ("nextToken", "nextToken"),
            applicationName=application, deploymentGroupName=group, createTimeRange={"start": order.at - _LONGEST},
        )  # fmt: skip
        if not listed:
            raise ActionRefused(f"CodeDeploy has deployed nothing of {application} to {group} within {_LONGEST}")
        known = [
            each
            for first in range(0, len(listed), _MOST)
            for each in (await self.read("BatchGetDeployments", deploymentIds=listed[first : first + _MOST]))[
                "deploymentsInfo"
            ]
        ]
        newest: dict[str, Any] = max(known, key=lambda each: each["createTime"])
        identity, status = newest["deploymentId"], newest["status"]
        if newest.get("creator") in _BACK or (newest.get("rollbackInfo") or {}).get("rollbackDeploymentId"):
            return Plan(order=order, sentence=f"{identity}: it is rolled back already", request={}, done=True)
        if order.version is not None and not names(_texts(newest), order.version):
            raise ActionRefused(f"{identity} does not name {order.version} in its revision or description")
        if status not in _RUNNING:
            raise ActionRefused(f"{identity} is {status}: CodeDeploy takes back only what still runs")
        return Plan(
            order=order,
            sentence=f"{identity} of {application} to {group} stopped, and the revision before deployed",
            request=self.request("StopDeployment", deploymentId=identity, autoRollbackEnabled=True),
            seen={"deployment": identity, "status": status},
        )

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`; the deployment is stopped by its own id, and one that has ended refuses it."""
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        stopped = await self._deployment(plan.seen["deployment"])
        if stopped["status"] != "Stopped":
            return False
        back = (stopped.get("rollbackInfo") or {}).get("rollbackDeploymentId")
        status = (await self._deployment(back))["status"] if back else "Created"
        return True if status == "Succeeded" else None if status in _RUNNING else False

    async def _deployment(self, identity: str) -> dict[str, Any]:
        return dict((await self.read("GetDeployment", deploymentId=identity))["deploymentInfo"])


def _texts(deployment: Mapping[str, Any]) -> list[str]:
    """What names the version of a deployment."""
    revision = deployment.get("revision") or {}
    places = [
        (revision.get("s3Location") or {}).get("key"),
        (revision.get("s3Location") or {}).get("version"),
        (revision.get("gitHubLocation") or {}).get("commitId"),
        (revision.get("appSpecContent") or {}).get("content"),
        deployment.get("description"),
    ]
    return [str(text) for text in places if text]


PLUGIN = CodeDeploy
