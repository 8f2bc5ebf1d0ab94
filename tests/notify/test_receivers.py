"""What every receiver promises, whatever it speaks."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from afdp_exporter.errors import DeliveryError
from afdp_exporter.impact.story import headline
from afdp_exporter.model import MeasuredDeployment
from afdp_exporter.notify import Receiver
from afdp_exporter.settings import build, kinds
from afdp_exporter.wording.times import use_time_zone
from loopback import Serve
from receivers import REPORT, SHA, Call, Inbox, degradation, notice

SECRET = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5"


TOKEN = {"authorization": {"credentials": "canary"}}
MARKDOWN = (r"\$1,200 an hour \[\$1,000, \$1,400\]", "degradation", "going on", REPORT)


def hub(call: Call) -> tuple[int, Any]:
    """A GitHub whose commit has one pull request, without comments."""
    if call.method == "GET" and call.path.endswith("/pulls"):
        return 200, [{"number": 7, "merge_commit_sha": SHA}]
    if call.method == "GET" and call.path.endswith("/comments"):
        return 200, []
    return (201 if call.method == "POST" else 200), {"login": "afdp", "id": 1}


def lab(call: Call) -> tuple[int, Any]:
    """A GitLab whose commit has one merge request, without notes."""
    if call.method == "GET" and call.path.endswith("/merge_requests"):
        return 200, [{"iid": 7}]
    if call.method == "GET" and call.path.endswith("/notes"):
        return 200, []
    return (201 if call.method == "POST" else 200), {"id": 1}


def dog(call: Call) -> tuple[int, Any]:
    """A Datadog that knows no deployment yet."""
    return (200 if call.path.endswith("/validate") else 404 if call.method == "GET" else 202), {}


@dataclass
class Row:
    """A receiver under test: its settings at an address, what its server answers, and what it is sent."""

    kind: str
    settings: Callable[[str], dict[str, Any]]
    serves: Callable[[Call], tuple[int, Any]] = lambda _: (200, {})
    words: tuple[str, ...] = ("$1,200 an hour [$1,000, $1,400]", "degradation", "going on", REPORT)
    secrets: tuple[str, ...] = field(default=("canary",))


KEYS = {"api_key": "canary-api", "app_key": "canary-app"}
OWN = {"azure_monitor", "cloudwatch", "grafana"}  # whose servers ask for more than one answer
ROWS = [
    Row("datadog", lambda url: {"url": url, "intake_url": url, **KEYS}, serves=dog),
    Row("new_relic", lambda url: {"url": url, "api_key": "canary"}),
    Row("otlp", lambda url: {"url": url, "http_headers": {"api-key": {"values": ["canary"]}}}),
    Row("github", lambda url: {"url": url, "repositories": {"*": "acme/shop"}, **TOKEN}, serves=hub, words=MARKDOWN),
    Row("gitlab", lambda url: {"url": url, "projects": {"checkout": "acme/shop"}, **TOKEN}, serves=lab, words=MARKDOWN),
    Row("slack", lambda url: {"url": url, "channel": "C1", **TOKEN}, serves=lambda _: (200, {"ok": True, "ts": "1"})),
    Row("teams", lambda url: {"webhook_url": f"{url}/invoke?sig=canary"}),
    Row("webhook", lambda url: {"url": url, "secret": SECRET}, secrets=(SECRET, "canary")),
]


def of(row: Row) -> str:
    return row.kind


def built(row: Row, url: str) -> Receiver:
    receiver = build("notify", row.kind, row.settings(url), "notify[0]")
    assert hasattr(receiver, "send")
    return receiver  # type: ignore[no-any-return]


def test_each_receiver_stands_in_the_table_or_has_its_own() -> None:
    assert {row.kind for row in ROWS} | OWN == set(kinds("notify"))
    assert all((Path(__file__).parent / f"test_{kind}.py").exists() for kind in OWN)


@pytest.mark.parametrize("row", ROWS, ids=of)
async def test_the_story_is_reported_with_money_range_verdict_and_link(serve: Serve, row: Row) -> None:
    inbox = Inbox(serves=row.serves)
    receiver = built(row, await serve(inbox.answer))
    await receiver.reach()
    await receiver.send(notice(impact=degradation()))
    texts = " ".join(_texts(call) for call in inbox.calls if call.method != "GET")
    assert [word for word in row.words if word not in texts] == []


@pytest.mark.parametrize("row", ROWS, ids=of)
async def test_times_are_on_the_configured_clock(serve: Serve, row: Row) -> None:
    use_time_zone(ZoneInfo("Asia/Kolkata"))
    text = headline(MeasuredDeployment(deployment=notice().deployment, impact=degradation()))
    inbox = Inbox(serves=row.serves)
    await built(row, await serve(inbox.answer)).send(notice(text, impact=degradation()))
    texts = " ".join(_texts(call) for call in inbox.calls if call.method != "GET")
    assert "17:30 IST" in texts
    assert " UTC" not in texts


@pytest.mark.parametrize("row", ROWS, ids=of)
@pytest.mark.parametrize(("status", "retry"), [(400, False), (401, True), (429, True), (500, True), (503, True)])
async def test_a_refusal_says_whether_another_try_may_help_and_holds_no_secret(
    serve: Serve, row: Row, status: int, retry: bool
) -> None:
    inbox = Inbox(serves=row.serves, faults=[status] * 9)
    receiver = built(row, await serve(inbox.answer))
    with pytest.raises(DeliveryError) as raised:
        await receiver.send(notice(impact=degradation()))
    assert raised.value.retry is retry
    assert not [secret for secret in row.secrets if secret in f"{raised.value} {receiver!r}"]


@pytest.mark.parametrize("row", ROWS, ids=of)
async def test_nobody_who_listens_is_a_failure_that_may_pass(row: Row) -> None:
    receiver = built(row, "http://127.0.0.1:9")
    with pytest.raises(DeliveryError) as raised:
        await receiver.send(notice(impact=degradation()))
    assert raised.value.retry
    assert not [secret for secret in row.secrets if secret in str(raised.value)]


@pytest.mark.parametrize("row", ROWS, ids=of)
async def test_what_is_not_measured_yet_is_reported_as_that(serve: Serve, row: Row) -> None:
    inbox = Inbox(serves=row.serves)
    await built(row, await serve(inbox.answer)).send(notice("checkout v2.1.0 was deployed; nothing is measured yet"))
    texts = " ".join(_texts(call) for call in inbox.calls)
    assert "$" not in texts.replace("$schema", "")
    assert "success" not in texts.replace("succeeded", "")


def _texts(call: Call) -> str:
    """All text of a body, as its receiver shows it."""

    def within(value: object) -> str:
        if isinstance(value, dict):
            return " ".join(map(within, value.values()))
        return " ".join(map(within, value)) if isinstance(value, list) else str(value)

    return within(json.loads(call.body)) if call.body else ""
