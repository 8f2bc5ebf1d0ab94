"""The Alertmanager example, judged by amtool and obeyed by a real Alertmanager."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from real_parts.fixtures import Start
from real_parts.receiver import Receiver
from real_parts.servers import Alertmanager
from real_parts.waiting import until
from shipped import ROOT
from shipped.alertmanager import rewired

CONFIG = ROOT / "alerting/alertmanager.yml"
TEMPLATES = ROOT / "alerting/templates/*.tmpl"

CHECKOUT = {"service": "checkout", "environment": "production"}
CART = {"service": "cart", "environment": "production"}
IMPACT = {"alertname": "AFDPDeploymentImpact", "deployment_id": "c-1", **CHECKOUT}


def amtool_says(amtool: Path, *arguments: str) -> str:
    """What amtool prints; it must succeed."""
    done = subprocess.run([amtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_finds_no_fault(amtool: Path) -> None:
    assert "1 templates" in amtool_says(amtool, "check-config", str(CONFIG))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=AFDPDeploymentImpact severity=critical service=checkout environment=production", "on-call,mail"),
        ("alertname=AFDPDeploymentImpact severity=warning service=checkout environment=production", "chat"),
        ("alertname=AFDPDeploymentInProgress severity=none service=checkout environment=production", "nobody"),
        ("alertname=AFDPSourceDown severity=warning source=prometheus", "chat"),
        ("alertname=AFDPPredictedImpact severity=warning stage=planned deployment_id=next", "chat"),
        ("alertname=HighErrorRate severity=warning service=checkout", "mail"),
    ],
)
def test_alerts_reach_their_receivers(amtool: Path, labels: str, receiver: str) -> None:
    routed = amtool_says(amtool, "config", "routes", "test", f"--config.file={CONFIG}", *labels.split())
    assert routed.strip() == receiver


def test_what_a_mail_quotes_is_escaped(amtool: Path, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    hostile = {"status": "firing", "annotations": {"description": "<script>", "report_url": "javascript:alert(1)"}}
    data.write_bytes(orjson.dumps({"status": "firing", "alerts": [hostile]}))
    text = '{{ template "afdp.html" . }}'
    options = [f"--template.glob={TEMPLATES}", "--template.type=html", f"--template.data={data}"]
    page = amtool_says(amtool, "template", "render", *options, f"--template.text={text}")
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "javascript:" not in page


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def routed(start: Start, receiver: Receiver, tmp_path: Path) -> Alertmanager:
    """A real Alertmanager with the example's routes, inhibition and templates; webhook and chat on the loopback."""
    return start(Alertmanager(tmp_path / "alertmanager", rewired(receiver.url)))


def post(alertmanager: Alertmanager, *alerts: dict[str, str], **annotations: str) -> None:
    body = orjson.dumps([{"labels": labels, "annotations": annotations} for labels in alerts])
    headers = {"Content-Type": "application/json"}
    answer = alertmanager.http.request("POST", f"{alertmanager.url}/api/v2/alerts", body=body, headers=headers)
    assert answer.status == 200, answer.data


def states(alertmanager: Alertmanager) -> list[tuple[str, str, str, str]]:
    """(alert, service, severity, state) of every alert."""
    alerts: list[dict[str, Any]] = alertmanager.get("/api/v2/alerts")
    return sorted(
        (
            alert["labels"]["alertname"],
            alert["labels"].get("service", ""),
            alert["labels"]["severity"],
            alert["status"]["state"],
        )
        for alert in alerts
    )


def test_a_deployment_mutes_the_warnings_of_its_own_service_only(routed: Alertmanager) -> None:
    post(
        routed,
        {"alertname": "AFDPDeploymentInProgress", "severity": "none", "deployment_id": "c-1", **CHECKOUT},
    )
    post(
        routed,
        {"alertname": "Slow", "severity": "warning", **CHECKOUT},
        {"alertname": "Slow", "severity": "critical", **CHECKOUT},
        {"alertname": "Slow", "severity": "warning", **CART},
        {"alertname": "DiskFull", "severity": "warning"},
        {**IMPACT, "severity": "warning"},
    )
    wanted = [
        ("AFDPDeploymentImpact", "checkout", "warning", "active"),
        ("AFDPDeploymentInProgress", "checkout", "none", "active"),
        ("DiskFull", "", "warning", "active"),
        ("Slow", "cart", "warning", "active"),
        ("Slow", "checkout", "critical", "active"),
        ("Slow", "checkout", "warning", "suppressed"),
    ]
    until(lambda: states(routed) == wanted, lambda: states(routed))


def test_an_impact_that_wakes_somebody_is_not_notified_twice(routed: Alertmanager, receiver: Receiver) -> None:
    post(routed, {**IMPACT, "severity": "critical"}, {**IMPACT, "severity": "warning"}, summary="Worse.")
    until(
        lambda: (
            states(routed)
            == [
                ("AFDPDeploymentImpact", "checkout", "critical", "active"),
                ("AFDPDeploymentImpact", "checkout", "warning", "suppressed"),
            ]
        ),
        lambda: states(routed),
    )
    page = receiver.wait_for(lambda path, _: path == "/on-call")
    assert page["commonLabels"]["severity"] == "critical"


def test_the_chat_gets_the_story(routed: Alertmanager, receiver: Receiver) -> None:
    post(
        routed,
        {**IMPACT, "severity": "warning"},
        summary="A deployment made production worse.",
        description="checkout v2.1.0 in production is to blame for latency +0.015 [0.012, 0.018].",
        report_url="http://localhost:10333/api/v1/deployments/c-1",
    )
    message = receiver.wait_for(lambda path, _: path == "/chat")["attachments"][0]
    assert message["title"] == "checkout in production: A deployment made production worse."
    assert message["title_link"] == "http://localhost:10333/api/v1/deployments/c-1"
    assert "latency +0.015 [0.012, 0.018]" in message["text"]


def test_what_is_sent_from_outside_calls_nobody_in_the_chat(routed: Alertmanager, receiver: Receiver) -> None:
    post(
        routed,
        {**IMPACT, "severity": "warning"},
        summary="Worse.",
        description="<!channel> & <https://evil|report>",
    )
    message = receiver.wait_for(lambda path, _: path == "/chat")["attachments"][0]
    assert "&lt;!channel&gt; &amp; &lt;https://evil|report&gt;" in message["text"]


def test_what_is_measured_replaces_what_was_expected(routed: Alertmanager) -> None:
    of_deployment = {**CHECKOUT, "deployment_id": "c-1"}
    other = {**CHECKOUT, "deployment_id": "c-2"}
    post(
        routed,
        {**IMPACT, "severity": "warning"},
        {"alertname": "AFDPPredictedImpact", "severity": "warning", "stage": "running", **of_deployment},
        {"alertname": "AFDPPatternMatched", "severity": "info", **of_deployment},
        {"alertname": "AFDPPredictedImpact", "severity": "warning", "stage": "planned", **other},
    )
    wanted = [
        ("AFDPDeploymentImpact", "checkout", "warning", "active"),
        ("AFDPPatternMatched", "checkout", "info", "suppressed"),
        ("AFDPPredictedImpact", "checkout", "warning", "active"),
        ("AFDPPredictedImpact", "checkout", "warning", "suppressed"),
    ]
    until(lambda: states(routed) == wanted, lambda: states(routed))


def test_secrets_come_from_files() -> None:
    given = yaml.safe_load(CONFIG.read_text("utf-8"))["global"]
    assert {key for key in given if "password" in key or "api_url" in key} == {
        "smtp_auth_password_file",
        "slack_api_url_file",
    }
