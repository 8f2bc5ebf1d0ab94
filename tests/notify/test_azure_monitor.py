"""Azure Monitor: one annotation for each deployment, under an id of ours."""

import json
import uuid
from typing import Any

import pytest

from afdp_exporter.errors import ConfigError, DeliveryError
from afdp_exporter.settings import build
from loopback import Serve
from receivers import HEADLINE, REPORT, STORY, Inbox, degradation, notice
from receiving import RESOURCE, Azure

APPLICATION = {"client_id": "11-22", "tenant_id": "33-44", "client_secret": "canary"}


async def receiver(serve: Serve, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    url = await serve(inbox.answer)
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", url)
    block = {"url": url, "resource": RESOURCE, "azuread": {"oauth": APPLICATION}}
    return build("notify", "azure_monitor", block, "notify[0]")


async def test_a_deployment_is_one_annotation_that_changes(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    azure = Azure()
    client = await receiver(serve, Inbox(serves=azure.serves, faults=[None, None, None, "lost", "lost"]), monkeypatch)
    await client.reach()
    await client.send(notice("nothing is measured yet"))
    with pytest.raises(DeliveryError):
        await client.send(notice(impact=degradation()))
    await client.send(notice(impact=degradation()))
    ((name, annotation),) = azure.annotations.items()
    assert uuid.UUID(name)
    assert annotation["AnnotationName"] == "checkout v2.1.0: degradation"
    assert (annotation["EventTime"], annotation["Category"]) == ("2026-03-02T12:00:00", "Deployment")
    properties = json.loads(annotation["Properties"])
    assert (properties["headline"], properties["report_url"]) == (HEADLINE, REPORT)
    assert (properties["cost_per_hour"], properties["story_2"]) == ("1200.0", STORY[1])
    assert len(azure.scopes) == 1  # a token for all calls
    assert b"management.azure.com%2F.default" in azure.scopes[0]


async def test_a_token_that_is_no_longer_accepted_is_renewed_for_the_next_try(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    azure = Azure()
    client = await receiver(serve, Inbox(serves=azure.serves), monkeypatch)
    await client.send(notice())
    azure.token = "two"
    with pytest.raises(DeliveryError) as raised:
        await client.send(notice())
    assert raised.value.retry
    await client.send(notice())


@pytest.mark.parametrize("status", [400, 401, 500])
async def test_no_token_is_a_failure_that_may_pass_and_holds_no_secret(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    client = await receiver(serve, Inbox(faults=[status]), monkeypatch)
    with pytest.raises(DeliveryError) as raised:
        await client.send(notice())
    assert (raised.value.reason, raised.value.retry) == ("login", True)
    assert "canary" not in f"{raised.value}{client!r}"


async def test_what_azure_calls_wrong_is_not_sent_again(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await receiver(serve, Inbox(serves=Azure().serves, faults=[None, 400]), monkeypatch)
    with pytest.raises(DeliveryError) as raised:
        await client.send(notice())
    assert not raised.value.retry


def test_a_resource_that_is_none_is_refused() -> None:
    block = {"resource": f"{RESOURCE}/../other", "azuread": {"oauth": APPLICATION}}
    with pytest.raises(ConfigError):
        build("notify", "azure_monitor", block, "notify[0]")
