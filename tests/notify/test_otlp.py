"""OTLP: read back by the protocol's own messages."""

from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from afdp_exporter.errors import DeliveryError
from afdp_exporter.model import ShiftState
from afdp_exporter.settings import build
from loopback import Serve
from receivers import HEADLINE, SHA, Inbox, degradation, notice


async def opened(serve: Serve, inbox: Inbox, **settings: Any) -> Any:  # noqa: ANN401
    return build("notify", "otlp", {"url": await serve(inbox.answer), **settings}, "notify[0]")


def read(pairs: Any) -> dict[str, Any]:  # noqa: ANN401
    def value(pair: KeyValue) -> Any:  # noqa: ANN401
        return getattr(pair.value, str(pair.value.WhichOneof("value")))

    return {pair.key: value(pair) for pair in pairs}


async def test_metrics_and_an_event_are_read_back_with_nothing_unknown(serve: Serve) -> None:
    inbox = Inbox()
    await (await opened(serve, inbox)).send(notice(impact=degradation()))
    metrics, logs = inbox.calls
    assert (metrics.path, logs.path) == ("/v1/metrics", "/v1/logs")
    (resource,) = ParseDict(metrics.json, ExportMetricsServiceRequest()).resource_metrics
    names = {"service.name": "checkout", "deployment.environment.name": "production", "service.version": "v2.1.0"}
    assert read(resource.resource.attributes) == names
    points = {each.name: each for each in resource.scope_metrics[0].metrics}
    assert {name: each.gauge.data_points[0].as_double for name, each in points.items()} == {
        "afdp.deployment.harm_active": 1.0,
        "afdp.deployment.failed": 1.0,
        "afdp.deployment.cost_per_hour": 1200.0,
        "afdp.deployment.cost_per_hour_low": 1000.0,
        "afdp.deployment.cost_per_hour_high": 1400.0,
    }
    assert points["afdp.deployment.cost_per_hour"].unit == "{USD}/h"
    at = points["afdp.deployment.failed"].gauge.data_points[0].time_unix_nano
    assert at == int(degradation().measured_at.timestamp()) * 10**9
    (record,) = ParseDict(logs.json, ExportLogsServiceRequest()).resource_logs[0].scope_logs[0].log_records
    attributes = read(record.attributes)
    assert (record.body.string_value, record.severity_number) == (HEADLINE, 13)
    assert (attributes["event.name"], attributes["vcs.ref.head.revision"]) == ("deployment", SHA)
    assert (attributes["afdp.outcome"], attributes["afdp.cost_per_hour"]) == ("degradation", 1200.0)


async def test_what_is_over_costs_nothing_an_hour_and_what_is_not_measured_has_no_metric(serve: Serve) -> None:
    inbox = Inbox()
    receiver = await opened(serve, inbox)
    await receiver.send(notice("nothing is measured yet"))
    assert [call.path for call in inbox.calls] == ["/v1/logs"]
    await receiver.send(notice(impact=degradation(ShiftState.RECOVERED)))
    metrics = ParseDict(inbox.calls[1].json, ExportMetricsServiceRequest()).resource_metrics[0].scope_metrics[0].metrics
    values = {each.name: each.gauge.data_points[0].as_double for each in metrics}
    assert (values["afdp.deployment.cost_per_hour"], values["afdp.deployment.harm_active"]) == (0.0, 0.0)
    assert values["afdp.deployment.failed"] == 1.0


async def test_who_takes_metrics_alone_is_sent_metrics_alone(serve: Serve) -> None:
    inbox = Inbox()
    receiver = await opened(serve, inbox, signals=["metrics"])
    await receiver.reach()
    await receiver.send(notice(impact=degradation()))
    assert [call.path for call in inbox.calls] == ["/v1/metrics"] * 2
    assert not ParseDict(inbox.calls[0].json, ExportMetricsServiceRequest()).resource_metrics


async def test_what_is_rejected_in_part_is_reported_and_not_sent_again(serve: Serve) -> None:
    answer = {"partialSuccess": {"rejectedDataPoints": "2", "errorMessage": "canary"}}
    receiver = await opened(serve, Inbox(serves=lambda _: (200, answer)))
    with pytest.raises(DeliveryError, match="rejects a part") as raised:
        await receiver.send(notice(impact=degradation()))
    assert not raised.value.retry
    assert "canary" not in str(raised.value)
