"""GitHub: a custom deployment protection rule, answered by a GitHub App."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import orjson
from cachetools import TTLCache
from pydantic import SecretStr

from afdp_exporter.approvals import ApprovalAnswer
from afdp_exporter.approvals._api import Api, elsewhere, plain_names
from afdp_exporter.errors import DeliveryError
from afdp_exporter.http_config import Address
from afdp_exporter.model import ApprovalRequest, PendingApproval
from afdp_exporter.settings import read_secret

_CALLBACK = re.compile(r"/repos/\w[\w-]*/(?!\.\.?/)[\w.-]+/actions/runs/\d+/deployment_protection_rule", re.ASCII)
_HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_LONGEST = 1024  # characters of a comment
_MOST_REPORTS = 9  # of the ten that GitHub takes; the last is left for the decision's own comment
_TOKEN_SECONDS = 50 * 60.0  # of the hour that an installation's token lives
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#|!~])")


@dataclass(frozen=True, kw_only=True)
class GitHub(Api):
    """The GitHub App `app_id` with its private key (PEM); `url` is the API's, of GitHub Enterprise its own."""

    url: Address = "https://api.github.com"
    app_id: str
    private_key: SecretStr | None = None
    private_key_file: Path | None = None
    _tokens: TTLCache[tuple[str, str | None], str] = field(
        default_factory=lambda: TTLCache(1000, _TOKEN_SECONDS), init=False, repr=False, compare=False
    )
    _asking: asyncio.Lock = field(default_factory=asyncio.Lock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.private_key is None) is (self.private_key_file is None):
            raise ValueError("exactly one of private_key and private_key_file is needed")

    def check(self, reply: Mapping[str, str]) -> None:
        """As `Approver.check`."""
        url = reply.get("deployment_callback_url", "")
        if not url.startswith(f"{self.url}/") or not _CALLBACK.fullmatch(url.removeprefix(self.url)):
            raise elsewhere("deployment_callback_url", [self.url])
        names = ("installation.id", "repository.id") if "repository.id" in reply else ("installation.id",)
        plain_names(reply, dict.fromkeys(names, r"\d+"))

    async def pending(self) -> Sequence[ApprovalRequest]:
        """GitHub calls."""
        return ()

    async def answer(self, waiting: PendingApproval, answer: ApprovalAnswer) -> None:
        """As `Approver.answer`; what was decided before is refused by GitHub, which is as good."""
        if answer.state == "waiting" and waiting.reports >= _MOST_REPORTS:
            return
        body: dict[str, Any] = {"environment_name": waiting.reply["environment"], "comment": _markdown(answer.comment)}
        if answer.state != "waiting":
            body["state"] = answer.state
        of = waiting.reply["installation.id"], waiting.reply.get("repository.id")
        async with self._asking:  # one token for all who need it at once
            token = await self._token(*of, answer.at)
        path = waiting.reply["deployment_callback_url"].removeprefix(self.url)
        try:
            await self.post(path, body, _HEADERS | {"Authorization": f"Bearer {token}"})
        except DeliveryError as error:
            if error.reason == "http_401":
                self._tokens.pop(of, None)
            raise

    async def _token(self, installation: str, repository: str | None, now: datetime) -> str:
        """The token of an installation, which may do nothing but answer deployments of this repository."""
        known = self._tokens.get((installation, repository))
        if known is not None:
            return known
        path = f"/app/installations/{installation}/access_tokens"
        bearer = _HEADERS | {"Authorization": f"Bearer {self._signed(now)}"}
        wanted: dict[str, Any] = {"permissions": {"deployments": "write"}}
        if repository is not None:
            wanted["repository_ids"] = [int(repository)]
        answer = await self.post(path, wanted, bearer)
        try:
            token = str(orjson.loads(answer.body)["token"])
        except (ValueError, KeyError, TypeError):
            raise DeliveryError("malformed", f"{self.url} answers with no token", retry=True) from None
        self._tokens[installation, repository] = token
        return token

    def _signed(self, now: datetime) -> str:
        """Who the app is, for ten minutes at most, and from a minute ago: clocks differ."""
        claims = {"iat": now - timedelta(seconds=60), "exp": now + timedelta(minutes=9), "iss": self.app_id}
        try:
            key = read_secret(self.private_key, self.private_key_file) or ""
            return str(jwt.encode(claims, key, algorithm="RS256"))
        except (OSError, ValueError, TypeError, jwt.PyJWTError):
            raise DeliveryError("secret_file", "the private key of the app cannot be used", retry=True) from None


def _markdown(text: str) -> str:
    """A text as it is, which mentions nobody."""
    escaped = _SPECIAL.sub(r"\\\1", text).replace("@", "@\u2060")
    return escaped if len(escaped) <= _LONGEST else f"{escaped[: _LONGEST - 1].rstrip(chr(92))}…"


PLUGIN = GitHub
