"""GitHub: a comment on the pull request of a deployment's commit, changed as more is known, and the commit's status.

A comment is found again by a marker that is not shown and by its author, so that nothing has to be remembered here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from afdp_exporter.errors import DeliveryError
from afdp_exporter.http_config import Address
from afdp_exporter.model import Notification, Outcome
from afdp_exporter.notify._exchange import Exchange
from afdp_exporter.notify._facts import comment, marker, shortened

_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_REPOSITORY = re.compile(r"[\w-]+/(?!\.\.?$)[\w.-]+", re.ASCII)
_SHA = re.compile(r"[0-9a-f]{7,64}")
_PAGE = 100
_PAGES = 50  # of comments on a pull request
_DESCRIPTION = 140  # characters that GitHub takes
_STATES = {Outcome.SUCCESS: "success", Outcome.DEGRADATION: "failure", Outcome.FAILURE: "failure"}


@dataclass(frozen=True, kw_only=True)
class GitHub(Exchange):
    """The repositories of services, by the service's name, `*` for all others; `url` is of the API.

    The token may read contents, and write pull requests and commit statuses. Services without a repository, and
    deployments without a commit, are not reported.
    """

    appends: ClassVar[bool] = False

    url: Address = "https://api.github.com"
    repositories: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.repositories or self.authorization is None:
            raise ValueError("authorization and repositories are needed")
        if not all(_REPOSITORY.fullmatch(each) for each in self.repositories.values()):
            raise ValueError("a repository is OWNER/NAME")

    async def reach(self) -> None:
        """As `Receiver.reach`: read how often we may call, which costs nothing."""
        await self.call("GET", "/rate_limit", more=_HEADERS)

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`: make the one comment and the status say what is known now."""
        deployment = notice.deployment
        repository = self.repositories.get(deployment.service, self.repositories.get("*"))
        commit = (deployment.commit or "").lower()
        if repository is None or not _SHA.fullmatch(commit):
            return
        place = f"/repos/{repository}"
        pull = _of(commit, await self.look(f"{place}/commits/{commit}/pulls", _HEADERS))
        if pull is not None and not pull.get("locked"):
            await self._comment(notice, place, pull["number"])
        await self.call("POST", f"{place}/statuses/{_full(commit, pull)}", _status(notice), more=_HEADERS)

    async def _comment(self, notice: Notification, place: str, number: int) -> None:
        found, ours = await self._ours(f"{place}/issues/{number}/comments", notice), {"body": comment(notice)}
        if not found:
            await self.call("POST", f"{place}/issues/{number}/comments", ours, more=_HEADERS)
            return
        first, *doubles = found
        await self.call("PATCH", f"{place}/issues/comments/{first}", ours, more=_HEADERS)
        for double in doubles:  # of an earlier try whose answer never came
            await self.deliver("DELETE", f"{place}/issues/comments/{double}", more=_HEADERS)

    async def _ours(self, path: str, notice: Notification) -> list[int]:
        """The comments of ours on this deployment, the oldest first."""
        login, mark = await self._login(), marker(notice.deployment)
        found = []
        for page in range(1, _PAGES + 1):
            params = [("per_page", str(_PAGE)), ("page", str(page))]
            entries = await self.call("GET", path, params=params, more=_HEADERS)
            for entry in entries:
                author = entry.get("user") or {}
                is_ours = author.get("login") == login if login is not None else author.get("type") == "Bot"
                if is_ours and (entry.get("body") or "").startswith(mark):
                    found.append(entry["id"])
            if len(entries) < _PAGE:
                break
        return sorted(found)

    async def _login(self) -> str | None:
        """Who we are; None for an app's installation, which GitHub does not say."""
        try:
            return str((await self.call("GET", "/user", more=_HEADERS))["login"])
        except DeliveryError as error:
            if error.reason != "http_403":
                raise
            return None


def _of(commit: str, pulls: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The pull request that brought a commit: the one merged as it, else the first one that holds it."""
    merged = [pull for pull in pulls if str(pull.get("merge_commit_sha") or "").startswith(commit)]
    return min(merged or pulls, key=lambda pull: int(pull["number"]), default=None)


def _full(commit: str, pull: dict[str, Any] | None) -> str:
    """The whole SHA of a commit, where the pull request names it."""
    known = str((pull or {}).get("merge_commit_sha") or "")
    return known if known.startswith(commit) else commit


def _status(notice: Notification) -> dict[str, Any]:
    """Pending as long as nobody knows: what cannot be judged is no success."""
    status = {
        "state": _STATES.get(notice.measured.decision.outcome, "pending"),
        "context": f"afdp/{shortened(notice.deployment.environment, 80)}",
        "description": shortened(notice.headline, _DESCRIPTION),
    }
    return status | ({"target_url": notice.report_url} if notice.report_url is not None else {})


PLUGIN = GitHub
