"""An Adaptive Card in Microsoft Teams, by the address of a workflow; what is posted there cannot be changed."""

from dataclasses import dataclass
from typing import Any, ClassVar

from afdp_exporter.model import Notification
from afdp_exporter.notify._exchange import Hook
from afdp_exporter.notify._facts import failed

_LONGEST = 2000  # characters of a line
_MOST = 12  # lines: Teams takes 28 kB
_CARD = "application/vnd.microsoft.card.adaptive"
_SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"


@dataclass(frozen=True, kw_only=True)
class Teams(Hook):
    """The workflow "Post to a channel when a webhook request is received" of a channel or chat."""

    appends: ClassVar[bool] = True

    async def reach(self) -> None:
        """As `Receiver.reach`: a workflow can only be used, so that its address alone is looked at."""
        self.address()

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`."""
        await self.post(
            {"type": "message", "attachments": [{"contentType": _CARD, "contentUrl": None, "content": _card(notice)}]}
        )


def _card(notice: Notification) -> dict[str, Any]:
    """Rich text blocks, in which Teams reads no Markdown."""
    head = {"weight": "Bolder", "color": "Attention" if failed(notice) else "Default"}
    story = notice.impact.story[:_MOST] if notice.impact is not None else ()
    card = {
        "$schema": _SCHEMA,
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": [_block(notice.headline, **head), *map(_block, story)],
    }
    if notice.report_url is not None:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Report", "url": notice.report_url}]
    return card


def _block(text: str, **look: str) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text[:_LONGEST], **look}]}


PLUGIN = Teams
