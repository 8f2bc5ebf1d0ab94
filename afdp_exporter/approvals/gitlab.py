"""GitLab: a deployment that is blocked in a protected environment is approved or rejected."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from pydantic import BaseModel, TypeAdapter, ValidationError

from afdp_exporter.approvals import ApprovalAnswer, waiting_in
from afdp_exporter.approvals._api import Api, plain_names
from afdp_exporter.errors import DeliveryError
from afdp_exporter.http_config import Address
from afdp_exporter.model import ApprovalRequest, Origin, PendingApproval
from afdp_exporter.versions import version_of

_LONGEST = 1000  # characters of a comment
_PROJECT = r"\w[\w.-]*(/\w[\w.-]*)+"
_BLOCKED = "status=blocked&order_by=id&sort=desc&per_page=50"  # the newest first


class _Environment(BaseModel):
    name: str


class _Deployment(BaseModel):
    """A deployment as GitLab lists it."""

    id: int
    ref: str | None = None
    sha: str | None = None
    environment: _Environment


_listed = TypeAdapter(list[_Deployment])


@dataclass(frozen=True, kw_only=True)
class GitLab(Api):
    """A GitLab whose environments ask a bot user, whose token (scope `api`) is in `authorization`.

    `projects` are asked what is blocked there, whether or not their webhook says so.
    """

    url: Address = "https://gitlab.com"
    projects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.authorization is None and not self.http_headers:
            raise ValueError("authorization is needed: the token of the user who approves")
        odd = [project for project in self.projects if not re.fullmatch(_PROJECT, project, re.ASCII)]
        if odd:
            raise ValueError(f"{odd[0]!a} is not the path of a project, such as group/project")

    def check(self, reply: Mapping[str, str]) -> None:
        """As `Approver.check`: GitLab sends no address, only names that stand in the path."""
        plain_names(reply, {"project": _PROJECT, "deployment_id": r"\d+"})

    async def pending(self) -> Sequence[ApprovalRequest]:
        """As `Approver.pending`: GitLab calls for what its webhook tells; `projects` are asked."""
        return await waiting_in(self.projects, self._blocked)

    async def answer(self, waiting: PendingApproval, answer: ApprovalAnswer) -> None:
        """As `Approver.answer`; there is no way to say that it waits."""
        if answer.state == "waiting":
            return
        project, deployment = quote(waiting.reply["project"], safe=""), waiting.reply["deployment_id"]
        body = {"status": answer.state, "comment": answer.comment[:_LONGEST]}
        await self.post(f"/api/v4/projects/{project}/deployments/{deployment}/approval", body)

    async def _blocked(self, project: str) -> list[ApprovalRequest]:
        answer = await self.get(f"/api/v4/projects/{quote(project, safe='')}/deployments?{_BLOCKED}")
        try:
            found = _listed.validate_json(answer.body)
        except ValidationError:
            message = f"{self.url} lists the deployments of {project} in another form"
            raise DeliveryError("malformed", message, retry=True) from None
        return [
            ApprovalRequest(
                sender="gitlab",
                key=f"{project}:{each.id}",
                origin=Origin(repository=project, environment=each.environment.name, ref=each.ref),
                version=version_of(each.ref, each.sha),
                reply={"project": project, "deployment_id": str(each.id)},
            )
            for each in reversed(found)
        ]


PLUGIN = GitLab
