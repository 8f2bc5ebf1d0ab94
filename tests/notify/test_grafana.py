"""Annotations in Grafana: one for each deployment, whatever goes wrong on the way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from afdp_exporter.errors import DeliveryError
from afdp_exporter.model import Attribution, Deployment, Impact, Layer, Notification, Outcome, Shift
from afdp_exporter.notify import Receiver
from afdp_exporter.settings import build
from annotating_grafana import AnnotatingGrafana, answers, loses_the_answer, never_answers
from loopback import Serve

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def notice(headline: str = "checkout v2: nothing is measured yet", **words: Any) -> Notification:  # noqa: ANN401
    fields = {"id": "d1", "service": "checkout", "environment": "production", "started_at": NOON, "received_at": NOON}
    finished = {"finished_at": NOON + timedelta(minutes=4)}
    impact = words.pop("impact", None)
    return Notification(deployment=Deployment(**(fields | finished | words)), impact=impact, headline=headline, at=NOON)


def degradation() -> Impact:
    shift = Shift(metric="latency", layer=Layer.TECHNICAL, verdict=Attribution.ATTRIBUTED, reason="it moved")
    return Impact(
        deployment_id="d1", measured_at=NOON, shifts=(shift,), outcome=Outcome.DEGRADATION, outcome_reason="worse"
    )


async def receiver(serve: Serve, grafana: AnnotatingGrafana, **settings: object) -> Receiver:
    built = build("notify", "grafana", {"url": await serve(grafana.answer)} | settings, "notify[0]")
    assert hasattr(built, "send")
    return built  # type: ignore[no-any-return]


async def test_a_deployment_is_one_region_that_changes_as_its_verdict_firms_up(serve: Serve) -> None:
    grafana = AnnotatingGrafana()
    client = await receiver(serve, grafana, tags=["shop"])
    await client.send(notice(finished_at=None))
    ((number, first),) = grafana.annotations.items()
    ours = ["afdp", "deployment:d1", "service:checkout", "environment:production", "status:succeeded"]
    at = int(NOON.timestamp() * 1000)
    text = "checkout v2: nothing is measured yet"
    assert first == {"time": at, "timeEnd": at, "tags": [*ours, "shop"], "text": text}
    await client.send(notice("checkout v2: latency +15 ms", impact=degradation()))
    assert grafana.annotations == {
        number: {
            "time": at,
            "timeEnd": at + 240_000,
            "tags": [*ours, "outcome:degradation", "shop"],
            "text": "checkout v2: latency +15 ms",
        }
    }
    await client.send(notice("search", id="d2", service="search"))
    assert len(grafana.annotations) == 2


async def test_a_notice_that_is_sent_again_after_its_answer_was_lost_makes_no_double(serve: Serve) -> None:
    grafana = AnnotatingGrafana()
    client = await receiver(serve, grafana, timeout="300ms")
    for fault in (loses_the_answer, never_answers):
        grafana.faults = [None, fault]
        with pytest.raises(DeliveryError) as raised:
            await client.send(notice(id=fault.__name__))
        assert raised.value.retry
        await client.send(notice("again", id=fault.__name__))
    assert [entry["text"] for entry in grafana.annotations.values()] == ["again", "again"]


async def test_doubles_that_a_late_answer_has_left_are_removed(serve: Serve) -> None:
    grafana = AnnotatingGrafana()
    client = await receiver(serve, grafana)
    await client.send(notice())
    (content,) = grafana.annotations.values()
    grafana.annotations[70] = dict(content)
    grafana.annotations[71] = dict(content)
    await client.send(notice("one is enough"))
    assert [entry["text"] for entry in grafana.annotations.values()] == ["one is enough"]


@pytest.mark.parametrize(
    ("status", "retry"),
    [(400, False), (413, False), (422, False)] + [(s, True) for s in (204, 302, 401, 403, 404, 429, 500, 503)],
)
async def test_a_refusal_says_whether_another_try_may_help(serve: Serve, status: int, retry: bool) -> None:
    grafana = AnnotatingGrafana(faults=[None, answers(status)])
    client = await receiver(serve, grafana)
    with pytest.raises(DeliveryError, match=f"it answers {status}") as raised:
        await client.send(notice())
    assert (raised.value.reason, raised.value.retry) == (f"http_{status}", retry)
    assert [path for _, path in grafana.requests] == ["/api/annotations"] * 2


@pytest.mark.parametrize("body", ["", "<html>", "{", '"text'])
async def test_an_answer_that_is_no_json_is_a_failure_and_never_an_empty_list(serve: Serve, body: str) -> None:
    grafana = AnnotatingGrafana(faults=[answers(200, body)])
    client = await receiver(serve, grafana)
    with pytest.raises(DeliveryError, match="no JSON"):
        await client.send(notice())
    assert grafana.annotations == {}


async def test_nobody_who_listens_is_a_failure_that_may_pass() -> None:
    client = build("notify", "grafana", {"url": "http://127.0.0.1:9"}, "notify[0]")
    with pytest.raises(DeliveryError) as raised:
        await client.send(notice())
    assert (raised.value.reason, raised.value.retry) == ("connection", True)


async def test_a_token_is_read_at_each_call_and_stays_secret(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("canary-old\n")
    grafana = AnnotatingGrafana(token="canary-new")
    client = await receiver(serve, grafana, authorization={"credentials_file": str(file)})
    with pytest.raises(DeliveryError) as raised:
        await client.send(notice())
    assert raised.value.retry
    file.write_text("canary-new\n")
    await client.send(notice())
    assert len(grafana.annotations) == 1
    file.unlink()
    with pytest.raises(DeliveryError) as missing:
        await client.send(notice())
    assert (missing.value.reason, missing.value.retry) == ("secret_file", True)
    assert "canary" not in f"{raised.value}{missing.value}{client!r}"


async def test_text_from_outside_is_text_and_never_html(serve: Serve) -> None:
    grafana = AnnotatingGrafana()
    client = await receiver(serve, grafana, report_url="https://afdp.example.org/")
    await client.send(notice('<img src="https://evil.example/x"> & <script>alert(1)</script>', service="<b>x</b>"))
    (content,) = grafana.annotations.values()
    assert content["text"] == (
        '&lt;img src="https://evil.example/x"&gt; &amp; &lt;script&gt;alert(1)&lt;/script&gt; '
        '<a href="https://afdp.example.org/deployments/d1">Report</a>'
    )


async def test_long_names_fit_into_grafanas_tables_and_stay_apart(serve: Serve) -> None:
    grafana = AnnotatingGrafana()
    client = await receiver(serve, grafana)
    long = notice(service="s" * 128, environment="e" * 128, id="i" * 127 + "1")
    await client.send(long)
    await client.send(replace(long, deployment=replace(long.deployment, id="i" * 127 + "2")))
    assert len(grafana.annotations) == 2
    for content in grafana.annotations.values():
        assert all(len(part) <= 100 for tag in content["tags"] for part in tag.split(":", 1))
        assert sum(map(len, content["tags"])) < 500


async def test_it_can_belong_to_one_panel(serve: Serve) -> None:
    grafana = AnnotatingGrafana()
    client = await receiver(
        serve, grafana, dashboard_uid="afdp", panel_id=3, http_headers={"X-Grafana-Org-Id": {"values": ["2"]}}
    )
    await client.send(notice())
    (content,) = grafana.annotations.values()
    assert (content["dashboardUID"], content["panelId"]) == ("afdp", 3)
    assert grafana.headers[-1]["X-Grafana-Org-Id"] == "2"
