"""ECS: a service deployment that pauses at a lifecycle hook is continued or rolled back."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from afdp_exporter.approvals import ApprovalAnswer, waiting_in
from afdp_exporter.aws import AWS
from afdp_exporter.errors import ActionError, ActionUnknown, DeliveryError
from afdp_exporter.model import ApprovalRequest, Origin, PendingApproval, Phase

_PHASES = {
    "PRE_SCALE_UP": Phase.PLAN,
    "POST_SCALE_UP": Phase.PREVIEW,
    "TEST_TRAFFIC_SHIFT": Phase.PREVIEW,
    "POST_TEST_TRAFFIC_SHIFT": Phase.PREVIEW,
    "PRODUCTION_TRAFFIC_SHIFT": Phase.CANARY,
    "POST_PRODUCTION_TRAFFIC_SHIFT": Phase.POST,
}
_RUNNING = ["PENDING", "IN_PROGRESS"]


@dataclass(frozen=True, kw_only=True)
class ECS(AWS):
    """The `services` of a `cluster` whose deployments have hooks of the type PAUSE; they belong to `environment`."""

    service: ClassVar[str] = "ecs"

    cluster: str
    services: tuple[str, ...]
    environment: str = "production"

    def check(self, reply: Mapping[str, str]) -> None:
        """As `Approver.check`: only AWS itself is called."""

    async def pending(self) -> Sequence[ApprovalRequest]:
        """As `Approver.pending`: ECS reports no pause, so that running deployments are looked at."""
        return await waiting_in(self.services, self._paused)

    async def answer(self, waiting: PendingApproval, answer: ApprovalAnswer) -> None:
        """As `Approver.answer`; a hook that waits no more refuses it, which is as good."""
        if answer.state == "waiting":
            return
        action = "CONTINUE" if answer.state == "approved" else "ROLLBACK"
        params = {"serviceDeploymentArn": waiting.reply["deployment"], "hookId": waiting.reply["hook"]}
        try:
            await self.write(self.request("ContinueServiceDeployment", **params, action=action))
        except ActionError as error:
            raise DeliveryError("aws", str(error), retry=isinstance(error, ActionUnknown)) from None

    async def _paused(self, name: str) -> list[ApprovalRequest]:
        try:
            listed = await self.listed(
                "ListServiceDeployments", "serviceDeployments", ("nextToken", "nextToken"),
                cluster=self.cluster, service=name, status=_RUNNING,
            )  # fmt: skip
            arns = [each["serviceDeploymentArn"] for each in listed]
            if not arns:
                return []
            found = await self.read("DescribeServiceDeployments", serviceDeploymentArns=arns[:20])
        except ActionError as error:
            raise DeliveryError("aws", str(error), retry=True) from None
        return [asked for each in found["serviceDeployments"] for asked in self._asked(name, each)]

    def _asked(self, name: str, deployment: Mapping[str, Any]) -> Iterator[ApprovalRequest]:
        arn = deployment["serviceDeploymentArn"]
        for hook in deployment.get("lifecycleHookDetails") or []:
            if (hook.get("targetType"), hook.get("status")) == ("PAUSE", "AWAITING_ACTION"):
                yield ApprovalRequest(
                    sender="ecs",
                    key=f"{arn}:{hook['hookId']}",
                    origin=Origin(service=name, environment=self.environment, cluster=self.cluster),
                    phase=_PHASES.get(deployment.get("lifecycleStage", ""), Phase.CANARY),
                    reply={"deployment": arn, "hook": hook["hookId"]},
                )


PLUGIN = ECS
