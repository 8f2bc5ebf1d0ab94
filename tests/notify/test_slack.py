"""Slack: one message for each deployment, whatever goes wrong on the way."""

from typing import Any

import pytest
from slack_sdk.models.blocks import Block
from slack_sdk.models.metadata import Metadata

from afdp_exporter.errors import ConfigError, DeliveryError
from afdp_exporter.model import ShiftState
from afdp_exporter.settings import build
from loopback import Serve
from receivers import HEADLINE, REPORT, STORY, Inbox, degradation, notice
from receiving import Channel


def bot(url: str, token: str = "xoxb-canary") -> Any:  # noqa: ANN401
    block = {"url": url, "channel": "C0123", "authorization": {"credentials": token}}
    return build("notify", "slack", block, "notify[0]")


async def test_a_deployment_is_one_message_that_changes_and_slacks_own_models_take_it(serve: Serve) -> None:
    channel = Channel()
    client = bot(await serve(Inbox(serves=channel.serves).answer))
    await client.reach()
    for name in ("d1", "d2", "d3", "d1"):
        await client.send(notice(f"first of {name}", id=name))
    await client.send(notice(impact=degradation()))
    assert channel.texts == [HEADLINE, "first of d2", "first of d3"]
    message = next(iter(channel.messages.values()))
    blocks = [block.to_dict() for block in Block.parse_all(message["blocks"])]
    assert blocks == message["blocks"]
    assert [block["text"]["text"] for block in blocks[:2]] == [HEADLINE, "\n".join(STORY)]
    assert blocks[2]["elements"] == [{"type": "mrkdwn", "text": f"<{REPORT}|Report>"}]
    assert Metadata(**message["metadata"]).to_dict() == message["metadata"]


async def test_a_try_whose_answer_was_lost_and_a_late_double_leave_one_message(serve: Serve) -> None:
    channel = Channel()
    inbox = Inbox(serves=channel.serves, faults=[None, "lost"])
    client = bot(await serve(inbox.answer))
    with pytest.raises(DeliveryError) as raised:
        await client.send(notice("first"))
    assert raised.value.retry
    channel.messages["1772459999.000100"] = dict(next(iter(channel.messages.values())))
    await client.send(notice("again"))
    assert channel.texts == ["again"]


async def test_text_from_outside_is_text_and_mentions_nobody(serve: Serve) -> None:
    channel = Channel()
    client = bot(await serve(Inbox(serves=channel.serves).answer))
    await client.send(notice("<!channel> & <https://evil.example|click> *bold*"))
    (message,) = channel.messages.values()
    assert message["text"] == "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt; *bold*"
    assert message["blocks"][0]["text"]["type"] == "plain_text"


async def test_an_error_within_an_answer_is_one(serve: Serve) -> None:
    client = bot(await serve(Inbox(serves=Channel().serves).answer), token="canary-wrong")
    with pytest.raises(DeliveryError, match="invalid_auth") as raised:
        await client.send(notice())
    assert raised.value.retry
    assert "canary" not in str(raised.value)


async def test_by_a_webhook_messages_are_only_added(serve: Serve) -> None:
    inbox = Inbox(serves=lambda _: (200, "ok"))
    url = await serve(inbox.answer)
    client = build("notify", "slack", {"webhook_url": f"{url}/services/canary"}, "notify[0]")
    assert client.appends
    await client.reach()
    await client.send(notice(impact=degradation(ShiftState.RECOVERED)))
    (call,) = inbox.calls
    assert (call.path, call.json["text"]) == ("/services/canary", HEADLINE)


@pytest.mark.parametrize(
    "block",
    [
        {"channel": "C1"},
        {"channel": "#general", "authorization": {"credentials": "canary"}},
        {"webhook_url": "canary"},
        {"webhook_url": "https://example.org/canary", "channel": "C1", "authorization": {"credentials": "canary"}},
    ],
)
def test_a_block_that_cannot_work_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        build("notify", "slack", block, "notify[0]")
    assert "canary" not in str(raised.value)
