"""One message in a Slack channel for each deployment, changed as more is known.

A message is found again by its metadata, so that nothing has to be remembered here. To an incoming webhook's address
messages can only be added.
"""

import html
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import SecretStr, StringConstraints

from afdp_exporter.errors import DeliveryError
from afdp_exporter.http_config import Address
from afdp_exporter.model import Notification
from afdp_exporter.notify._exchange import Exchange, Hook
from afdp_exporter.notify._facts import key

_EVENT = "afdp_deployment"
_SPARE = timedelta(minutes=10)  # that our clock may be ahead of Slack's
_PAGE = "100"
_PAGES = 50  # of a channel's history since the deployment was reported
_LONGEST = 2900  # characters of a section: Slack takes 3,000
_WRONG = {"invalid_blocks", "invalid_blocks_format", "msg_too_long", "msg_blocks_too_long", "metadata_too_large"}


@dataclass(frozen=True, kw_only=True)
class Slack(Exchange):
    """The channel (its id) that a bot with `authorization` may write to and read, or an incoming webhook."""

    url: Address = "https://slack.com/api"
    channel: Annotated[str, StringConstraints(pattern=r"^[CGD][A-Z0-9]+$")] | None = None
    webhook_url: SecretStr | None = None
    webhook_url_file: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.channel is None) is (self.authorization is not None):
            raise ValueError("channel and authorization belong together")
        if (self.channel is not None) is self.appends:
            raise ValueError("channel with authorization is needed, or webhook_url, or webhook_url_file")
        if self.appends:
            self._hook.check()

    @property
    def appends(self) -> bool:
        """As `Receiver.appends`: a webhook answers with no name for the message."""
        return self.webhook_url is not None or self.webhook_url_file is not None

    async def reach(self) -> None:
        """As `Receiver.reach`: whose token it is; a webhook can only be used."""
        if self.appends:
            self._hook.address()
        else:
            await self._api("auth.test", {})

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`: make the one message of this deployment say what is known now."""
        message = _message(notice)
        if self.appends:
            await self._hook.post(message)
            return
        message |= {"channel": self.channel}
        message |= {"metadata": {"event_type": _EVENT, "event_payload": {"deployment": key(notice.deployment)}}}
        found = await self._found(notice)
        if not found:
            await self._api("chat.postMessage", message)
            return
        first, *doubles = found
        await self._api("chat.update", message | {"ts": first})
        for double in doubles:  # of an earlier try whose answer never came
            await self._api("chat.delete", {"channel": self.channel, "ts": double})

    async def _found(self, notice: Notification) -> list[str]:
        """The messages on this deployment, the oldest first."""
        since = (notice.deployment.received_at - _SPARE).timestamp()
        wanted, cursor = key(notice.deployment), ""
        asked = [("channel", str(self.channel)), ("oldest", f"{since:.6f}"), ("limit", _PAGE)]
        found: list[str] = []
        for _ in range(_PAGES):
            more = [("include_all_metadata", "true"), *([("cursor", cursor)] if cursor else [])]
            page = _checked(await self.call("GET", "/conversations.history", params=[*asked, *more]))
            for entry in page.get("messages", ()):
                metadata = entry.get("metadata") or {}
                if metadata.get("event_type") == _EVENT and metadata["event_payload"].get("deployment") == wanted:
                    found.append(entry["ts"])
            cursor = (page.get("response_metadata") or {}).get("next_cursor", "")
            if not cursor:
                break
        return sorted(found, key=float)

    async def _api(self, method: str, body: dict[str, Any]) -> dict[str, Any]:
        return _checked(await self.call("POST", f"/{method}", body))

    @cached_property
    def _hook(self) -> Hook:
        return Hook(
            webhook_url=self.webhook_url,
            webhook_url_file=self.webhook_url_file,
            timeout=self.timeout,
            tls_config=self.tls_config,
            allow_link_local=self.allow_link_local,
        )


def _message(notice: Notification) -> dict[str, Any]:
    """Plain text, in which Slack reads no markup; the link alone is markup of our own."""
    story = "\n".join(notice.impact.story) if notice.impact is not None else ""
    blocks = [_section(text) for text in (notice.headline, story) if text]
    if notice.report_url is not None:
        link = f"<{html.escape(notice.report_url, quote=False)}|Report>"
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": link}]})
    text = html.escape(notice.headline[:_LONGEST], quote=False)
    return {"text": text, "blocks": blocks, "unfurl_links": False, "unfurl_media": False}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "plain_text", "text": text[:_LONGEST], "emoji": False}}


def _checked(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """What was answered. Raises DeliveryError where it says that it is an error."""
    if isinstance(answer, dict) and answer.get("ok") is True:
        return answer
    code = str(answer.get("error", "")) if isinstance(answer, dict) else ""
    word = code if code.replace("_", "").isalnum() and len(code) < 60 else "an error"
    raise DeliveryError("refused", f"Slack answers {word}", retry=code not in _WRONG)


PLUGIN = Slack
