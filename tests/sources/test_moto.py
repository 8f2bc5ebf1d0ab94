"""CloudWatch by moto's server, which AWS' own library asks in AWS' own protocol: what the double cannot vouch for."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Series, Window
from afdp_exporter.settings import build
from afdp_exporter.sources import Source, ask
from afdp_exporter.sources.cloudwatch import CloudWatch
from monitors import cloudwatch

MINUTE = timedelta(minutes=1)
BEGIN = time.time() // 300 * 300 - 3600  # moto keeps what is recent
MINUTES = 30
SERVICE = [{"Name": "ClusterName", "Value": "shop"}, {"Name": "ServiceName", "Value": "checkout"}]


@pytest.fixture(scope="module")
def moto() -> Iterator[tuple[str, Any]]:
    """Its address, and a client of it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
    yield url, boto3.client("cloudwatch", region_name="eu-west-1", endpoint_url=url, **keys)
    server.stop()


@pytest.fixture(scope="module")
def held(moto: tuple[str, Any]) -> str:
    """Half an hour without its minutes 10 to 14: two samples a minute, of which the later one is larger."""
    url, client = moto
    data = [
        {
            "MetricName": "CPUUtilization",
            "Dimensions": SERVICE,
            "Timestamp": datetime.fromtimestamp(BEGIN + 60 * minute + second, UTC),
            "Value": float(minute + second / 10),
        }
        for minute in range(MINUTES)
        for second in (0, 20)
        if not 10 <= minute < 15
    ]
    client.put_metric_data(Namespace="AWS/ECS-like", MetricData=data)
    return url


@pytest.fixture
def source(held: str, monkeypatch: pytest.MonkeyPatch) -> Source:
    for name, value in cloudwatch.KEYS.items():
        monkeypatch.setenv(name, value)
    return build("sources", "cloudwatch", {"url": held, **cloudwatch.BLOCK}, "")


def query(stat: str, **dimensions: str) -> dict[str, Any]:
    named = {"ClusterName": "shop", "ServiceName": "$service"} | dimensions
    return {"namespace": "AWS/ECS-like", "metric": "CPUUtilization", "stat": stat, "dimensions": named}


def window(first: int, last: int) -> Window:
    return Window(
        start=datetime.fromtimestamp(BEGIN + 60 * first, UTC), end=datetime.fromtimestamp(BEGIN + 60 * last, UTC)
    )


async def fetched(source: Source, stat: str, step: timedelta = MINUTE) -> Series:
    (found,) = await ask(source, query(stat), {"service": "checkout"}, window(1, MINUTES), step)
    return found


async def test_a_minute_is_known_at_its_end_and_a_gap_stays_one(source: Source) -> None:
    found = (await fetched(source, "Average")).values
    missing = (np.arange(MINUTES) >= 10) & (np.arange(MINUTES) < 15)
    assert np.isnan(found).tolist() == missing.tolist()
    assert found[~missing].tolist() == [minute + 1.0 for minute in range(MINUTES) if not 10 <= minute < 15]


async def test_a_longer_period_is_one_statistic_and_sums_come_per_second(source: Source) -> None:
    step = timedelta(minutes=5)
    largest = (await fetched(source, "Maximum", step)).values
    assert largest.tolist() == pytest.approx([6.0, 11.0, np.nan, 21.0, 26.0, 31.0], nan_ok=True)
    counted = (await fetched(source, "SampleCount", step)).values
    assert counted.tolist() == pytest.approx([10 / 300, 10 / 300, np.nan, 10 / 300, 10 / 300, 10 / 300], nan_ok=True)


async def test_several_go_in_one_call_and_what_is_not_there_is_an_empty_list(source: Source) -> None:
    asked = [source.prepare(query("Average")).bind({"service": each}) for each in ("checkout", "cart", "checkout")]
    found = await source.fetch(asked, window(1, 5), MINUTE)
    assert [len(each) for each in found if isinstance(each, list)] == [1, 0, 1]


async def test_the_dimensions_of_a_metric_are_listed_over_all_pages(source: Source, moto: tuple[str, Any]) -> None:
    assert isinstance(source, CloudWatch)
    data = [
        {"MetricName": "Invocations", "Dimensions": [{"Name": "FunctionName", "Value": f"f{number}"}], "Value": 1.0}
        for number in range(600)
    ]
    await asyncio.to_thread(lambda: moto[1].put_metric_data(Namespace="Functions", MetricData=data))
    found = await source.dimensions("Functions", "Invocations", ("FunctionName",))
    assert {each["FunctionName"] for each in found} == {f"f{number}" for number in range(600)}
    assert await source.dimensions("Functions", "Invocations", ("FunctionName", "Resource")) == []
    of_service = await source.dimensions("AWS/ECS-like", "CPUUtilization", ("ServiceName", "ClusterName"))
    assert {tuple(each.items()) for each in of_service} == {(("ClusterName", "shop"), ("ServiceName", "checkout"))}


async def test_a_name_that_no_dimension_takes_is_refused_before_it_is_asked(source: Source) -> None:
    with pytest.raises(SourceRefused):
        source.prepare(query("Average")).bind({"service": "é"})
