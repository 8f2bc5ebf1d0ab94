"""The templates for Argo CD and Argo Rollouts, rendered by Go's own engine; what Flagger and Flux send."""

import hashlib
import hmac
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from aiohttp import ClientSession

from deploy.conftest import DEPLOY, TOKEN, Exporter, run

SENDERS = DEPLOY / "senders"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
APPLICATION: dict[str, Any] = {
    "metadata": {"name": "checkout", "labels": {"team": "till"}},
    "spec": {
        "project": "shop",
        "destination": {"namespace": "shop", "name": "in-cluster"},
        "source": {"repoURL": "https://github.com/acme/checkout"},
    },
    "status": {
        "health": {"status": "Healthy"},
        "summary": {"images": ["registry.example.org/checkout:v2.1.0"]},
        "operationState": {
            "phase": "Succeeded",
            "startedAt": "2026-03-01T12:00:00Z",
            "finishedAt": "2026-03-01T12:01:00Z",
            "message": 'successfully "synced"\nall',
            "operation": {"initiatedBy": {"username": "ada"}},
            "syncResult": {"revision": "731f1b2c731f1b2c731f1b2c731f1b2c731f1b2c"},
        },
    },
}
SEVERAL_SOURCES = {
    "metadata": {"name": "checkout"},
    "spec": {"destination": {}, "sources": [{"repoURL": "x"}]},
    "status": {
        "health": {},
        "operationState": {
            "phase": "Running",
            "startedAt": "2026-03-01T12:00:00Z",
            "syncResult": {"revisions": ["aaaa", "bbbb"]},
        },
    },
}
ROLLOUT: dict[str, Any] = {
    "metadata": {
        "name": "checkout",
        "namespace": "shop",
        "labels": {"app.kubernetes.io/version": "v2.1.0"},
        "annotations": {"rollout.argoproj.io/revision": "7"},
    },
    "spec": {
        "strategy": {"canary": {"steps": []}},
        "template": {"spec": {"containers": [{"image": "r/checkout:v2.1.0"}, {"image": "r/sidecar:1"}]}},
    },
    "status": {
        "phase": "Progressing",
        "currentStepIndex": 1,
        "canary": {"weights": {"canary": {"weight": 20}}},
        "currentPodHash": "abc",
    },
}


@pytest.fixture
def render(program: Callable[[str], str], tmp_path: Path) -> Callable[..., Any]:
    """Renders the body of a notification template with its object, by Helm, which has the same engine and functions."""

    async def rendered(file: str, template: str, name: str, thing: dict[str, Any]) -> tuple[str, bytes]:
        data = yaml.safe_load((SENDERS / file).read_text())["data"]
        webhook = yaml.safe_load(data[template])["webhook"]["afdp"]
        chart = tmp_path / "chart"
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text("{apiVersion: v2, name: x, version: 1.0.0}")
        (chart / "values.yaml").write_text(yaml.safe_dump({name: thing}))
        (chart / "templates/body.yaml").write_text(re.sub(rf"(?<![\w.])\.{name}\b", f".Values.{name}", webhook["body"]))
        done = await run(program("helm"), "template", "x", chart)
        assert done.code == 0, done.err
        body = done.out.split("# Source: x/templates/body.yaml\n", 1)[1]
        assert orjson.loads(body)
        return str(webhook["path"]), body.encode()

    return rendered


async def send(exporter: Exporter, path: str, body: bytes, **headers: str) -> list[dict[str, Any]]:
    async with ClientSession(exporter.url, headers={"Content-Type": ""} | headers) as sender:
        answer = await sender.post(path, data=body)
        assert answer.status == 200, await answer.text()
        answered = await answer.json()
    assert answered["ignored"] == []
    return list(answered["deployments"])


async def test_argo_cds_template_ends_as_the_right_deployment(exporter: Exporter, render: Callable[..., Any]) -> None:
    path, body = await render("argocd/notifications.yml", "template.afdp-deployment", "app", APPLICATION)
    (placed,) = await send(exporter, path, body, **BEARER)
    deployment = await exporter.deployment(placed["id"])
    words = ("service", "version", "actor", "status", "started_at", "finished_at")
    expected = ["checkout", "v2.1.0", "ada", "succeeded", "2026-03-01T12:00:00Z", "2026-03-01T12:01:00Z"]
    assert [deployment[word] for word in words] == expected


async def test_argo_cds_template_can_do_with_several_sources_and_little_else(
    exporter: Exporter, render: Callable[..., Any]
) -> None:
    path, body = await render("argocd/notifications.yml", "template.afdp-deployment", "app", SEVERAL_SOURCES)
    (deployment,) = await send(exporter, path, body, **BEARER)
    assert (deployment["service"], deployment["status"]) == ("checkout", "started")


async def test_argo_rollouts_template_ends_as_the_right_deployment(
    exporter: Exporter, render: Callable[..., Any]
) -> None:
    path, body = await render("argo-rollouts/notifications.yml", "template.afdp-rollout", "rollout", ROLLOUT)
    (placed,) = await send(exporter, path, body, **BEARER)
    deployment = await exporter.deployment(placed["id"])
    assert (deployment["service"], deployment["version"], deployment["status"]) == ("checkout", "v2.1.0", "started")
    assert (deployment["strategy"], deployment["traffic_ratio"]) == ("canary", 0.2)


async def test_flaggers_event_hook_is_let_in_by_its_metadata(exporter: Exporter) -> None:
    canary = yaml.safe_load((SENDERS / "flagger/canary.yml").read_text())
    (hook,) = canary["spec"]["analysis"]["webhooks"]
    assert hook["type"] == "event"
    event = {"name": "checkout", "namespace": "shop", "phase": "Progressing", "checksum": "85d557f47b"}
    event["metadata"] = hook["metadata"] | {
        "token": TOKEN,
        "eventMessage": "New revision detected",
        "eventType": "Normal",
    }
    path = hook["url"].removeprefix("http://afdp-exporter.monitoring:10333")
    (known,) = await send(exporter, path, orjson.dumps(event))
    assert (known["service"], known["environment"], known["status"]) == ("checkout", "production", "started")


async def test_fluxs_provider_signs_what_it_sends(exporter: Exporter) -> None:
    provider, alert = yaml.safe_load_all((SENDERS / "flux/notifications.yml").read_text())
    assert alert["spec"]["providerRef"]["name"] == provider["metadata"]["name"]
    event = {
        "involvedObject": {"kind": "HelmRelease", "name": "checkout", "namespace": "apps"},
        "metadata": alert["spec"]["eventMetadata"] | {"helm.toolkit.fluxcd.io/revision": "6.5.1"},
        "severity": "info",
        "reason": "UpgradeSucceeded",
        "message": "Helm upgrade succeeded",
        "reportingController": "helm-controller",
        "timestamp": "2026-03-01T12:00:00Z",
    }
    body = orjson.dumps(event)
    signature = "sha256=" + hmac.new(TOKEN.encode(), body, hashlib.sha256).hexdigest()
    path = provider["spec"]["address"].removeprefix("http://afdp-exporter.monitoring:10333")
    (known,) = await send(exporter, path, body, **{"X-Signature": signature})
    assert (known["service"], known["environment"], known["version"]) == ("checkout", "production", "6.5.1")
