"""GitLab: a deployment that is blocked in a protected environment is approved or rejected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from afdp_exporter.approvals import ApprovalAnswer
from afdp_exporter.approvals._api import Api, plain_names
from afdp_exporter.http_config import Address
from afdp_exporter.model import ApprovalRequest, PendingApproval

_LONGEST = 1000  # characters of a comment


@dataclass(frozen=True, kw_only=True)
class GitLab(Api):
    """A GitLab whose environments ask a bot user, whose token (scope `api`) is in `authorization`."""

    url: Address = "https://gitlab.com"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.authorization is None and not self.http_headers:
            raise ValueError("authorization is needed: the token of the user who approves")

    def check(self, reply: Mapping[str, str]) -> None:
        """As `Approver.check`: GitLab sends no address, only names that stand in the path."""
        plain_names(reply, {"project": r"\w[\w.-]*(/\w[\w.-]*)+", "deployment_id": r"\d+"})

    async def pending(self) -> Sequence[ApprovalRequest]:
        """GitLab calls."""
        return ()

    async def answer(self, waiting: PendingApproval, answer: ApprovalAnswer) -> None:
        """As `Approver.answer`; there is no way to say that it waits."""
        if answer.state == "waiting":
            return
        project, deployment = quote(waiting.reply["project"], safe=""), waiting.reply["deployment_id"]
        body = {"status": answer.state, "comment": answer.comment[:_LONGEST]}
        await self.post(f"/api/v4/projects/{project}/deployments/{deployment}/approval", body)


PLUGIN = GitLab
