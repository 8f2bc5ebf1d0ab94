"""AppConfig: a configuration that is being deployed is stopped, one that was deployed is reverted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

from afdp_exporter.aws import AWS
from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Order, Plan

_RUNNING = {"DEPLOYING", "BAKING", "VALIDATING"}
_BACK = {"ROLLED_BACK", "REVERTED"}
_REVERTIBLE = timedelta(hours=72)


@dataclass(frozen=True, kw_only=True)
class AppConfig(AWS):
    """The `environment` of an `application`, by name or id; both may hold `$service` and `$environment`."""

    service: ClassVar[str] = "appconfig"

    application: str = "$service"
    environment: str = "$environment"

    async def check(self, order: Order) -> Plan:
        """As `Executor.check`."""
        application = await self._id("ListApplications", order.fill(self.application))
        environment = await self._id("ListEnvironments", order.fill(self.environment), ApplicationId=application)
        place = {"ApplicationId": application, "EnvironmentId": environment}
        listed = await self.listed("ListDeployments", "Items", ("NextToken", "NextToken"), **place)
        if not listed:
            raise ActionRefused(f"nothing was deployed to {order.fill(self.environment)}")
        newest = max(listed, key=lambda each: each["DeploymentNumber"])
        number, state = newest["DeploymentNumber"], newest["State"]
        if state in {*_BACK, "ROLLING_BACK"}:
            return Plan(order=order, sentence=f"deployment {number} is {state} already", request={}, done=True)
        known = {newest.get("VersionLabel"), newest.get("ConfigurationVersion")}
        if order.version is not None and order.version not in known:
            raise ActionRefused(f"deployment {number} does not bring {order.version}")
        late = state == "COMPLETE" and order.at - newest["CompletedAt"] > _REVERTIBLE
        if late or (state not in _RUNNING and state != "COMPLETE"):
            raise ActionRefused(f"deployment {number} is {state}{' for more than 72 hours' if late else ''}")
        request = self.request("StopDeployment", **place, DeploymentNumber=number, AllowRevert=state == "COMPLETE")
        verb = "reverted" if state == "COMPLETE" else "stopped"
        return Plan(order=order, sentence=f"deployment {number} of {newest.get('ConfigurationName')} {verb}",
            request=request, seen={"number": number, "state": state, "place": place},
        )  # fmt: skip

    async def apply(self, plan: Plan) -> Mapping[str, Any]:
        """As `Executor.apply`; the deployment's own number is the condition."""
        return await self.write(plan.request)

    async def verify(self, plan: Plan) -> bool | None:
        """As `Executor.verify`."""
        found = await self.read("GetDeployment", **plan.seen["place"], DeploymentNumber=plan.seen["number"])
        return True if found["State"] in _BACK else None if found["State"] == "ROLLING_BACK" else False

    async def _id(self, operation: str, name: str, **params: str) -> str:
        """The id of what has this name, or is this id. Raises ActionRefused."""
        items = await self.listed(operation, "Items", ("NextToken", "NextToken"), **params)
        found = next((str(each["Id"]) for each in items if name in {each["Name"], each["Id"]}), None)
        if found is None:
            raise ActionRefused(f"AppConfig does not know {name}")
        return found


PLUGIN = AppConfig
