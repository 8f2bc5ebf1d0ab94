"""Teams: the card, as Adaptive Cards 1.4 names its parts."""

from pathlib import Path

import pytest

from afdp_exporter.errors import ConfigError, DeliveryError
from afdp_exporter.settings import build
from loopback import Serve
from receivers import HEADLINE, REPORT, STORY, Inbox, degradation, notice


async def test_the_card_holds_plain_text_alone_and_one_link(serve: Serve) -> None:
    inbox = Inbox(serves=lambda _: (202, ""))
    url = await serve(inbox.answer)
    client = build("notify", "teams", {"webhook_url": f"{url}/invoke?sig=a%2Fb"}, "notify[0]")
    await client.send(notice("[click](https://evil.example) **v2** <at>all</at>", impact=degradation()))
    (call,) = inbox.calls
    (attachment,) = call.json["attachments"]
    card = attachment["content"]
    assert (call.json["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert (card["type"], card["version"], call.query) == ("AdaptiveCard", "1.4", {"sig": "a/b"})
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert {run["type"] for block in card["body"] for run in block["inlines"]} == {"TextRun"}
    texts = [run["text"] for block in card["body"] for run in block["inlines"]]
    assert texts == ["[click](https://evil.example) **v2** <at>all</at>", *STORY]
    assert card["actions"] == [{"type": "Action.OpenUrl", "title": "Report", "url": REPORT}]


async def test_a_long_story_stays_within_what_teams_takes(serve: Serve) -> None:
    inbox = Inbox()
    client = build("notify", "teams", {"webhook_url": await serve(inbox.answer)}, "notify[0]")
    await client.send(notice("x" * 9000, impact=degradation()))
    assert len(inbox.calls[0].body) < 28_000


async def test_the_address_is_read_at_each_call_and_named_in_no_error(serve: Serve, tmp_path: Path) -> None:
    inbox = Inbox(faults=[404])
    file = tmp_path / "url"
    file.write_text(f"{await serve(inbox.answer)}/canary\n")
    client = build("notify", "teams", {"webhook_url_file": str(file)}, "notify[0]")
    with pytest.raises(DeliveryError, match="webhook_url: it answers 404") as raised:
        await client.send(notice(HEADLINE))
    file.write_text("canary")
    with pytest.raises(DeliveryError) as wrong:
        await client.send(notice(HEADLINE))
    assert "canary" not in f"{raised.value}{wrong.value}"


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="begins with https://"):
        build("notify", "teams", {"webhook_url": "prod.logic.azure.com"}, "notify[0]")
