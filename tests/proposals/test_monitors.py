"""A first configuration from what Datadog, New Relic and CloudWatch have, by their usual integrations."""

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner, Result

from afdp_exporter import cli
from afdp_exporter.config import load
from afdp_exporter.model import Series
from afdp_exporter.proposals import MetricPattern
from afdp_exporter.proposals.convention import Integration
from afdp_exporter.proposals.monitors import MONITORS
from afdp_exporter.settings import build
from monitors import Monitor, cloudwatch, datadog, new_relic

SERVICE = "checkout"
MINUTE = timedelta(minutes=1)
GROUP = "targetgroup/checkout/73e2d6bc24d8a067"
RED = {"request_latency_p95_seconds", "error_ratio", "requests_per_second"}


@dataclass(frozen=True)
class Vendor:
    """A monitor's double, how `afdp init` is led to it, the labels of one service, and what is proposed for it."""

    double: type[Monitor]
    given: tuple[str, ...]
    labels: Mapping[str, dict[str, str]]
    wanted: Mapping[str, set[str]]


VENDORS = {
    "datadog": Vendor(
        datadog.Datadog,
        ("api_key=the-api-key", "app_key=the-app-key"),
        {
            "http_request": {"service": SERVICE},
            "alb": {"targetgroup": GROUP},
            "lambda": {"functionname": "resize"},
            "ecs": {"servicename": SERVICE},
            "rds": {"dbinstanceidentifier": "checkout-db"},
        },
        {
            SERVICE: RED | {"db_connections", "cpu_percent"},
            "resize": {"duration_p95_milliseconds", "lambda_error_ratio", "lambda_requests_per_second",
                       "throttles_per_second"},
        },
    ),
    "new_relic": Vendor(
        new_relic.NewRelic,
        ("account_id=7", "api_key=NRAK-the-key"),
        {
            "apm": {"appName": SERVICE, "error": "true"},
            "browser": {"appName": SERVICE},
            "otel": {"service.name": "search", "span.kind": "server", "otel.status_code": "ERROR"},
            "alb": {"aws.applicationelb.TargetGroup": GROUP},
            "lambda": {"entity.name": "resize"},
            "ecs": {"aws.ecs.ServiceName": SERVICE},
            "rds": {"aws.rds.DBInstanceIdentifier": "the-database"},
        },
        {
            SERVICE: RED | {"page_load_p75_seconds", "db_connections"},
            "search": {"request_latency_p95_milliseconds", "otel_error_ratio", "otel_requests_per_second",
                       "db_connections", "db_cpu_percent"},
            "resize": {"duration_mean_milliseconds", "lambda_error_ratio", "lambda_requests_per_second",
                       "throttles_per_second", "db_cpu_percent"},
        },
    ),
    "cloudwatch": Vendor(
        cloudwatch.CloudWatch,
        ("region=eu-west-1",),
        {
            "signals": {"Environment": "eks:shop", "Service": "search"},
            "alb": {"LoadBalancer": "app/shop/1", "TargetGroup": GROUP},
            "lambda": {"FunctionName": "resize"},
            "ecs": {"ClusterName": "shop", "ServiceName": SERVICE},
            "rds": {"DBInstanceIdentifier": "checkout-db"},
        },
        {
            SERVICE: RED | {"db_connections", "cpu_percent"},
            "search": {"request_latency_p95_milliseconds", "signals_error_ratio", "signals_requests_per_second"},
            "resize": {"duration_p95_milliseconds", "lambda_error_ratio", "lambda_requests_per_second",
                       "throttles_per_second"},
        },
    ),
}  # fmt: skip


@contextmanager
def served(double: Monitor) -> Iterator[str]:
    """The address of a double that a program of its own loop can ask."""
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(_app(double), shutdown_timeout=0.1)

    async def begin() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port: int = runner.addresses[0][1]
        return port

    port = loop.run_until_complete(begin())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(runner.cleanup())
        loop.close()


def _app(double: Monitor) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", double.answer)  # type: ignore[attr-defined]
    return app


def reported(vendor: str) -> Iterator[Series]:
    """A day of every metric that the integrations read, with the labels that a service has there."""
    times = np.arange(time.time() // 60 * 60 - 90_000, time.time(), 60)
    labels = VENDORS[vendor].labels
    for integration in MONITORS[vendor].integrations:
        for metric in _metrics(integration) if integration.key in labels else ():
            values = np.full(times.size, 2.0)
            yield Series(metric=metric, labels=labels[integration.key], times=times, values=values)


def _metrics(integration: Integration) -> set[str]:
    """The names of all metrics and events that are read."""

    def named(question: object) -> Iterator[str]:
        if isinstance(question, Mapping):
            if "metric" in question:
                yield str(question["metric"])
            for each in question.values():
                yield from named(each)

    found = {candidate.metric for candidate in integration.candidates}
    for candidate in integration.candidates:
        found |= {*named(candidate.query), *named(candidate.of)}
    return found | {*named(integration.listing)}


def init(*arguments: str) -> Result:
    return CliRunner().invoke(cli._afdp, ["init", *arguments])


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in cloudwatch.KEYS.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("kind", VENDORS)
def test_each_integration_is_known_and_what_is_written_can_be_loaded(kind: str, tmp_path: Path) -> None:
    vendor, file = VENDORS[kind], tmp_path / "afdp.yml"
    with served(vendor.double(series=tuple(reported(kind)))) as url:
        settings = [f"--set={each}" for each in vendor.given]
        proposed = init(f"--source={kind}", f"--url={url}", *settings, f"--output={file}")
    assert proposed.exit_code == 0, proposed.output + repr(proposed.exception)
    content = yaml.safe_load(file.read_text())
    assert {each["name"]: set(each["metrics"]) for each in content["services"]} == vendor.wanted
    assert content["policy"] == {"analysis": {"step": "1m"}}
    loaded = load(file)
    assert {metric.name for metric in loaded.metrics} == set().union(*vendor.wanted.values())


@pytest.mark.parametrize("kind", VENDORS)
def test_every_query_of_the_table_is_one_of_the_source(kind: str) -> None:
    """Also those that no service of the test has, and the example of revenue."""
    monitor, block = MONITORS[kind], dict(each.split("=") for each in VENDORS[kind].given)
    source: Any = build("sources", kind, block, "")
    source.prepare(yaml.safe_load(monitor.revenue))
    for integration in monitor.integrations:
        if isinstance(integration.listing, str):
            assert source.prepare(integration.listing).variables == frozenset()
        selector = monitor.selector({integration.service[0]: "$service"})
        for candidate in integration.candidates:
            lead = MetricPattern(convention=integration, candidate=candidate, metric=candidate.metric, groups={})
            for question in (lead.query(selector, None, MINUTE), lead.denominator(selector, None, MINUTE)):
                assert question is None or source.prepare(question).variables == {"service"}


def test_a_name_that_a_query_could_take_for_its_own_words_is_left_out() -> None:
    times = np.arange(time.time() // 60 * 60 - 90_000, time.time(), 60)
    labels = {"targetgroup": "x} by {host}"}
    hostile = Series(metric="aws.applicationelb.request_count", labels=labels, times=times, values=np.ones(times.size))
    with served(datadog.Datadog(series=(*reported("datadog"), hostile))) as url:
        settings = [f"--set={each}" for each in VENDORS["datadog"].given]
        found = yaml.safe_load(init("--source=datadog", f"--url={url}", *settings, "--output=-").output)
    assert {each["name"] for each in found["services"]} == set(VENDORS["datadog"].wanted)


def test_what_is_missing_is_named_by_its_setting_and_a_wrong_key_by_who_refuses_it() -> None:
    assert "exactly one of api_key and api_key_file is needed" in str(init("--source=datadog").exception)
    refused = init("--source=datadog", "--token-file=x", "--output=-")
    assert "a datadog takes its keys by --set" in str(refused.exception)
    with served(datadog.Datadog()) as url:
        wrong = init("--source=datadog", f"--url={url}", "--set=api_key=no", "--set=app_key=no", "--output=-")
        nothing = init(
            "--source=datadog", f"--url={url}", *(f"--set={each}" for each in VENDORS["datadog"].given), "--output=-"
        )
    assert "its keys are not accepted" in str(wrong.exception) or "may not do this" in str(wrong.exception)
    assert "has a name that is known here" in str(nothing.exception)
