"""A signed webhook: its body, its signature, its id."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from afdp_exporter.errors import ConfigError, DeliveryError
from afdp_exporter.settings import build
from loopback import Serve
from receivers import Inbox, degradation, notice

OLD, NEW = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xk", "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3"


async def test_the_library_of_the_standard_takes_it_with_the_old_and_the_new_secret(
    serve: Serve, tmp_path: Path
) -> None:
    inbox, file = Inbox(), tmp_path / "secret"
    file.write_text(f"{NEW}\n{OLD}\n")
    client = build("notify", "webhook", {"url": await serve(inbox.answer), "secret_file": str(file)}, "notify[0]")
    await client.send(replace(notice(impact=degradation()), at=datetime.now(UTC)))
    (call,) = inbox.calls
    for secret in (OLD, NEW):
        body = Webhook(secret).verify(call.body, call.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(call.body.replace(b"degradation", b"success"), call.headers)
    assert body["type"] == "deployment.updated"
    assert body["data"]["costs"] == [
        {
            "currency": "USD",
            "per_hour": {"low": 1000.0, "median": 1200.0, "high": 1400.0},
            "total": {"low": 1100.0, "median": 1300.0, "high": 1500.0},
            "ended": False,
        }
    ]
    assert body["data"]["harm"]["state"] == "active"
    file.unlink()
    with pytest.raises(DeliveryError) as missing:
        await client.send(notice())
    assert missing.value.retry


async def test_a_notice_that_is_sent_again_has_the_same_id_and_another_one_has_another(serve: Serve) -> None:
    inbox = Inbox(faults=["lost"])
    client = build("notify", "webhook", {"url": await serve(inbox.answer), "secret": NEW}, "notify[0]")
    first = notice(impact=degradation())
    with pytest.raises(DeliveryError):
        await client.send(first)
    await client.send(replace(first, at=first.at + timedelta(minutes=5)))
    await client.send(notice("something new", impact=degradation()))
    lost, again, newer = (call.headers["webhook-id"] for call in inbox.calls)
    assert lost == again != newer


@pytest.mark.parametrize("secret", ["whsec_", "canary", "whsec_Y2FuYXJ5", "whsec_!"])
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigError, match="24 bytes") as raised:
        build("notify", "webhook", {"url": "https://example.org", "secret": secret}, "notify[0]")
    assert "canary" not in str(raised.value)
