"""Azure DevOps: the check *Invoke REST API* of an environment, completed by a callback with the job's own token."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
import structlog

from afdp_exporter.approvals import ApprovalAnswer
from afdp_exporter.approvals._api import Api, elsewhere, plain_names
from afdp_exporter.errors import DeliveryError
from afdp_exporter.model import ApprovalRequest, PendingApproval

log = structlog.get_logger(__name__)

_LOGS = "api-version=4.1"
_GUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_NAMES = {"ProjectId": _GUID, "HubName": "[A-Za-z]+", "PlanId": _GUID, "JobId": _GUID, "TaskInstanceId": _GUID}


@dataclass(frozen=True, kw_only=True)
class AzureDevOps(Api):
    """The organisation at `url`, such as `https://dev.azure.com/acme`; no other one is called back."""

    def check(self, reply: Mapping[str, str]) -> None:
        """As `Approver.check`."""
        if reply.get("PlanUrl", "").rstrip("/") != self.url:
            raise elsewhere("PlanUrl", [self.url])
        plain_names(reply, _NAMES if "TimelineId" not in reply else {**_NAMES, "TimelineId": _GUID})

    async def pending(self) -> Sequence[ApprovalRequest]:
        """Azure DevOps calls."""
        return ()

    async def answer(self, waiting: PendingApproval, answer: ApprovalAnswer) -> None:
        """As `Approver.answer`; the reason goes into the log of the check, where it hands over its timeline.

        A decision does not wait for its log: one that cannot be written is left out.
        """
        reply = waiting.reply
        plan = f"/{reply['ProjectId']}/_apis/distributedtask/hubs/{reply['HubName']}/plans/{reply['PlanId']}"
        bearer = {"Authorization": f"Bearer {waiting.credential}"}
        if reply.get("TimelineId"):
            try:
                await self._write_log(plan, reply, answer.comment, bearer)
            except DeliveryError as error:
                if answer.state == "waiting":
                    raise
                log.warning("the log of a check was not written", approval=waiting.id, error=str(error))
        if answer.state == "waiting":
            return
        result = "succeeded" if answer.state == "approved" else "failed"
        body = {
            "name": "TaskCompleted", "taskId": reply["TaskInstanceId"], "jobId": reply["JobId"], "result": result,
        }  # fmt: skip
        await self.post(f"{plan}/events?api-version=2.0-preview.1", body, bearer)

    async def _write_log(self, plan: str, reply: Mapping[str, str], text: str, bearer: Mapping[str, str]) -> None:
        """Make a log, write into it, and show it at the check."""
        task = reply["TaskInstanceId"]
        made = await self.post(f"{plan}/logs?{_LOGS}", {"path": f"logs\\{task}"}, bearer)
        number = _number(made.body)
        binary = {**bearer, "Content-Type": "application/octet-stream"}
        await self.send("POST", f"{plan}/logs/{number}?{_LOGS}", f"{text}\n".encode(), binary)
        shown = orjson.dumps({"value": [{"id": task, "log": {"id": number}}], "count": 1})
        await self.send("PATCH", f"{plan}/timelines/{reply['TimelineId']}/records?{_LOGS}", shown, bearer)


def _number(body: bytes) -> int:
    """The number of a log that was made."""
    try:
        return int(orjson.loads(body)["id"])
    except (ValueError, TypeError, KeyError):
        raise DeliveryError("answer", "the log that was made has no number", retry=True) from None


PLUGIN = AzureDevOps
