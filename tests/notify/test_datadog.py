"""Datadog: a deployment and its failure once, by ids of ours; each body as Datadog's own client reads it."""

import re
from pathlib import Path
from typing import Any

import pytest
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v1.model.dashboard import Dashboard
from datadog_api_client.v2.model.change_event_custom_attributes import ChangeEventCustomAttributes

from afdp_exporter.errors import DeliveryError
from afdp_exporter.model import Outcome, ShiftState, Status
from afdp_exporter.settings import build
from loopback import Serve
from receivers import HEADLINE, Inbox, degradation, notice
from receiving import Organisation

DASHBOARD = Path(__file__).parents[2] / "deploy/datadog/dashboard.json"
REPOSITORY = "https://github.com/acme/shop"


async def receiver(serve: Serve, organisation: Organisation, faults: list[Any] | None = None) -> Any:  # noqa: ANN401
    url = await serve(Inbox(serves=organisation.serves, faults=faults or []).answer)
    block = {"url": url, "intake_url": url, "api_key": "a", "app_key": "b", "repository_url": REPOSITORY}
    return build("notify", "datadog", block, "notify[0]")


async def test_our_outcome_becomes_their_change_failure(serve: Serve) -> None:
    datadog = Organisation()
    sender = await receiver(serve, datadog)
    await sender.reach()
    await sender.send(notice("is being deployed", status=Status.STARTED, finished_at=None))
    assert (datadog.deployments, len(datadog.events)) == ({}, 1)
    await sender.send(notice("nothing is measured yet"))
    ((name, deployment),) = datadog.deployments.items()
    assert (deployment["service"], deployment["env"], deployment["version"]) == ("checkout", "production", "v2.1.0")
    assert "change_failure" not in deployment
    await sender.send(notice(impact=degradation()))
    (failure,) = datadog.failures.values()
    assert (datadog.deployments[name]["change_failure"], "finished_at" in failure) == (True, False)
    await sender.send(notice(impact=degradation(ShiftState.RECOVERED)))
    (failure,) = datadog.failures.values()
    assert failure["finished_at"] - failure["started_at"] == 55 * 60 * 1_000_000_000
    assert (len(datadog.deployments), datadog.posted) == (1, 1)


async def test_a_failure_that_a_human_denies_is_taken_back(serve: Serve) -> None:
    datadog = Organisation()
    sender = await receiver(serve, datadog)
    await sender.send(notice(impact=degradation()))
    for _ in range(2):
        await sender.send(notice(impact=degradation(), labelled_outcome=Outcome.SUCCESS))
    (deployment,) = datadog.deployments.values()
    assert (deployment["change_failure"], datadog.failures) == (False, {})


async def test_the_event_is_a_change_with_the_story(serve: Serve) -> None:
    datadog = Organisation()
    await (await receiver(serve, datadog)).send(notice(impact=degradation(), previous_version="v2.0.0"))
    (event,) = datadog.events
    assert event["message"].startswith(HEADLINE)
    assert event["tags"] == ["service:checkout", "env:production", "version:v2.1.0", "reported_by:afdp-exporter"]
    change = ChangeEventCustomAttributes(**event["attributes"])
    assert change.change_metadata["cost_per_hour_low"] == 1000.0
    assert change.prev_value == {"version": "v2.0.0"}


async def test_what_a_deployment_did_is_there_as_metrics_once(serve: Serve) -> None:
    datadog = Organisation()
    sender = await receiver(serve, datadog)
    await sender.send(notice("nothing is measured yet"))
    assert datadog.points == {}
    for _ in range(2):  # the second as after a lost answer
        await sender.send(notice(impact=degradation()))
    of, at = ("service:checkout", "env:production"), int(degradation().measured_at.timestamp())
    assert datadog.points == {
        ("afdp.deployment.harm_active", of, at): 1.0,
        ("afdp.deployment.failed", of, at): 1.0,
        ("afdp.deployment.cost_per_hour", (*of, "currency:USD"), at): 1200.0,
        ("afdp.deployment.cost_per_hour_low", (*of, "currency:USD"), at): 1000.0,
        ("afdp.deployment.cost_per_hour_high", (*of, "currency:USD"), at): 1400.0,
    }


async def test_the_dashboard_is_one_for_datadogs_client_and_shows_each_metric_that_is_sent(serve: Serve) -> None:
    datadog, body = Organisation(), DASHBOARD.read_text()
    await (await receiver(serve, datadog)).send(notice(impact=degradation()))
    with ApiClient(Configuration()) as client:
        read = client.deserialize(body, (Dashboard,), True)
    assert isinstance(read, Dashboard)
    assert not read._unparsed
    assert all(not each.definition.get_oneof_instance()._unparsed for each in read.widgets)
    shown = re.findall(r"\w+:([\w.]+)\{\$service,\$env\} by \{([\w,]+)\}", body)
    known = {name: {tag.partition(":")[0] for tag in tags} for name, tags, _ in datadog.points}
    assert {name for name, _ in shown} == set(known)
    assert all(set(by.split(",")) <= known[name] for name, by in shown)
    (events,) = re.findall(r"tags:(\S+) ", body)
    assert events in datadog.events[0]["tags"]


async def test_a_try_whose_answer_was_lost_makes_no_second_deployment(serve: Serve) -> None:
    datadog = Organisation()
    sender = await receiver(serve, datadog, faults=[None, "lost"])
    with pytest.raises(DeliveryError) as raised:
        await sender.send(notice(impact=degradation()))
    assert raised.value.retry
    await sender.send(notice(impact=degradation()))
    assert (datadog.posted, len(datadog.failures), len(datadog.events)) == (1, 1, 1)


async def test_long_texts_stay_within_what_datadog_takes(serve: Serve) -> None:
    datadog = Organisation()
    sender = await receiver(serve, datadog)
    await sender.send(notice("%%% \n" + "x" * 9000, service="s" * 900, impact=degradation()))
    (event,) = datadog.events
    assert not event["message"].startswith("%")
