"""CloudWatch: metrics that moto takes as AWS does, and errors in AWS' own form."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from aiohttp import web
from moto.server import ThreadedMotoServer

from afdp_exporter.errors import ConfigError, DeliveryError
from afdp_exporter.model import ShiftState
from afdp_exporter.settings import build
from loopback import Serve
from receivers import Inbox, degradation, notice

REGION = "eu-central-1"
DASHBOARD = Path(__file__).parents[2] / "deploy/cloudwatch/dashboard.json"


@pytest.fixture
async def aws(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    await asyncio.to_thread(server.start)
    yield "http://{}:{}".format(*server.get_host_and_port())
    await asyncio.to_thread(server.stop)


def receiver(url: str) -> Any:  # noqa: ANN401
    return build("notify", "cloudwatch", {"region": REGION, "url": url}, "notify[0]")


def averages(url: str) -> dict[str, float]:
    """The average of each metric around the measurement, by its name."""
    client = botocore.session.Session().create_client("cloudwatch", region_name=REGION, endpoint_url=url)
    at, found = degradation().measured_at, {}
    for metric in client.list_metrics(Namespace="AFDP")["Metrics"]:
        assert {each["Name"]: each["Value"] for each in metric["Dimensions"]}.items() >= {
            ("Service", "checkout"),
            ("Environment", "production"),
        }
        answer = client.get_metric_statistics(
            **metric,
            StartTime=at - timedelta(minutes=5),
            EndTime=at + timedelta(minutes=5),
            Period=60,
            Statistics=["Average"],
        )
        (point,) = answer["Datapoints"]
        found[metric["MetricName"]] = point["Average"]
    client.close()
    return found


async def test_what_a_deployment_did_is_there_as_metrics_of_its_service(aws: str) -> None:
    cloudwatch = receiver(aws)
    await cloudwatch.reach()
    await cloudwatch.send(notice("nothing is measured yet"))
    for _ in range(2):  # the second as after a lost answer
        await cloudwatch.send(notice(impact=degradation()))
    assert await asyncio.to_thread(averages, aws) == {
        "HarmActive": 1.0,
        "Failed": 1.0,
        "CostPerHour": 1200.0,
        "CostPerHourLow": 1000.0,
        "CostPerHourHigh": 1400.0,
    }


async def test_the_dashboard_shows_each_metric_that_is_written_under_its_dimensions(aws: str) -> None:
    body = DASHBOARD.read_text()
    await receiver(aws).send(notice(impact=degradation()))

    def written() -> set[tuple[str, str]]:
        client = botocore.session.Session().create_client("cloudwatch", region_name=REGION, endpoint_url=aws)
        client.put_dashboard(DashboardName="afdp", DashboardBody=body)
        kept = client.get_dashboard(DashboardName="afdp")["DashboardBody"]
        assert json.loads(kept) == json.loads(body)
        found = client.list_metrics(Namespace="AFDP")["Metrics"]
        client.close()
        return {(each["MetricName"], ",".join(sorted(d["Name"] for d in each["Dimensions"]))) for each in found}

    shown = re.findall(r"SEARCH\('\{AFDP,([\w,]+)\} MetricName=\\\"(\w+)\\\"'", body)
    assert {(name, dimensions) for dimensions, name in shown} == await asyncio.to_thread(written)


async def test_odd_names_are_made_to_fit(aws: str) -> None:
    await receiver(aws).send(notice(service=":ünï\ncode" * 90, impact=degradation(ShiftState.RECOVERED)))


@pytest.mark.parametrize(("status", "retry"), [(403, True), (429, True), (500, True)])
async def test_a_refusal_may_pass_and_holds_no_secret(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, status: int, retry: bool
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "canary-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-key")
    cloudwatch = receiver(await serve(Inbox(faults=[status]).answer))
    with pytest.raises(DeliveryError) as raised:
        await cloudwatch.send(notice(impact=degradation()))
    assert raised.value.retry is retry
    assert "canary-key" not in str(raised.value)


@pytest.mark.parametrize(
    ("code", "retry"),
    [("InvalidClientTokenId", True), ("ExpiredTokenException", True), ("InvalidParameterValue", False)],
)
async def test_keys_that_are_changed_lose_no_notice(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, code: str, retry: bool
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary")

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"__type": code, "message": "no"}, status=403 if retry else 400)

    cloudwatch = receiver(await serve(refuse))
    with pytest.raises(DeliveryError) as raised:
        await cloudwatch.send(notice(impact=degradation()))
    assert code in str(raised.value)
    assert raised.value.retry is retry


def test_amazons_own_namespaces_are_not_written_to() -> None:
    with pytest.raises(ConfigError):
        build("notify", "cloudwatch", {"region": REGION, "namespace": "AWS/ECS"}, "notify[0]")
