"""GitLab: a note on the merge request of a deployment's commit, changed as more is known, and the commit's status.

A note is found again by a marker that is not shown and by its author, so that nothing has to be remembered here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import quote

from afdp_exporter.errors import DeliveryError
from afdp_exporter.http_config import Address
from afdp_exporter.model import Notification, Outcome
from afdp_exporter.notify._exchange import Exchange
from afdp_exporter.notify._facts import comment, marker, shortened

_PROJECT = re.compile(r"\d+|[\w.-]+(/[\w.-]+)+", re.ASCII)
_SHA = re.compile(r"[0-9a-f]{7,64}")
_PAGE = 100
_PAGES = 50  # of notes on a merge request
_DESCRIPTION = 140  # characters that are shown
_STATES = {Outcome.SUCCESS: "success", Outcome.DEGRADATION: "failed", Outcome.FAILURE: "failed"}


@dataclass(frozen=True, kw_only=True)
class GitLab(Exchange):
    """The projects of services (number or path), by the service's name, `*` for all others; `url` is of the API.

    The token has the scope `api`. Services without a project, and deployments without a commit, are not reported.
    """

    appends: ClassVar[bool] = False

    url: Address = "https://gitlab.com/api/v4"
    projects: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.projects or self.authorization is None:
            raise ValueError("authorization and projects are needed")
        if not all(_PROJECT.fullmatch(each) for each in self.projects.values()):
            raise ValueError("a project is its number, or GROUP/NAME")

    async def reach(self) -> None:
        """As `Receiver.reach`: who we are."""
        await self.call("GET", "/user")

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`: make the one note and the status say what is known now."""
        project = self.projects.get(notice.deployment.service, self.projects.get("*"))
        commit = (notice.deployment.commit or "").lower()
        if project is None or not _SHA.fullmatch(commit):
            return
        place = f"/projects/{quote(project, safe='')}"
        requests = await self.look(f"{place}/repository/commits/{commit}/merge_requests")
        number = min((int(each["iid"]) for each in requests if not each.get("discussion_locked")), default=None)
        if number is not None:
            await self._note(notice, f"{place}/merge_requests/{number}/notes")
        await self._set(f"{place}/statuses/{commit}", _status(notice))

    async def _note(self, notice: Notification, path: str) -> None:
        found, ours = await self._ours(path, notice), {"body": comment(notice)}
        if not found:
            await self.call("POST", path, ours)
            return
        first, *doubles = found
        await self.call("PUT", f"{path}/{first}", ours)
        for double in doubles:  # of an earlier try whose answer never came
            await self.deliver("DELETE", f"{path}/{double}")

    async def _ours(self, path: str, notice: Notification) -> list[int]:
        """The notes of ours on this deployment, the oldest first."""
        us, mark = (await self.call("GET", "/user"))["id"], marker(notice.deployment)
        found = []
        for page in range(1, _PAGES + 1):
            entries = await self.call("GET", path, params=[("per_page", str(_PAGE)), ("page", str(page))])
            found += [each["id"] for each in entries if each["author"]["id"] == us and each["body"].startswith(mark)]
            if len(entries) < _PAGE:
                break
        return sorted(found)

    async def _set(self, path: str, status: dict[str, Any]) -> None:
        try:
            await self.call("POST", path, status)
        except DeliveryError as error:  # GitLab refuses to make pending what is pending already
            if status["state"] != "pending" or error.reason != "http_400":
                raise


def _status(notice: Notification) -> dict[str, Any]:
    """Pending as long as nobody knows: what cannot be judged is no success."""
    status = {
        "state": _STATES.get(notice.measured.decision.outcome, "pending"),
        "name": f"afdp/{shortened(notice.deployment.environment, 80)}",
        "description": shortened(notice.headline, _DESCRIPTION),
    }
    return status | ({"target_url": notice.report_url} if notice.report_url is not None else {})


PLUGIN = GitLab
