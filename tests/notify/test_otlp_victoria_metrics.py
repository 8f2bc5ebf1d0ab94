"""OTLP as a real VictoriaMetrics takes it, in the binary form alone."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from afdp_exporter.errors import DeliveryError
from afdp_exporter.settings import build
from real_parts.fixtures import Start
from real_parts.servers import Missing, VictoriaMetrics
from real_parts.waiting import until
from receivers import degradation, notice


class VictoriaMetricsWithOTLP(VictoriaMetrics):
    """One of a release that takes OTLP."""

    programs: ClassVar[tuple[str, ...]] = ("victoria-metrics-with-otlp",)


@pytest.fixture
def taking(start: Start, tmp_path: Path) -> VictoriaMetricsWithOTLP:
    try:
        VictoriaMetricsWithOTLP.program()
    except Missing:
        pytest.skip("no VictoriaMetrics that takes OTLP could be fetched")
    return start(VictoriaMetricsWithOTLP(tmp_path / "victoria-metrics"))


async def test_a_victoria_metrics_takes_what_a_deployment_did(taking: VictoriaMetricsWithOTLP) -> None:
    block = {"url": f"{taking.url}/opentelemetry", "signals": ["metrics"]}
    receiver = build("notify", "otlp", block | {"encoding": "protobuf"}, "notify[0]")
    await receiver.reach()
    measured = datetime.now(UTC) - timedelta(minutes=1)
    await receiver.send(notice(impact=replace(degradation(), measured_at=measured)))
    taking.http.request("GET", f"{taking.url}/internal/force_flush")
    at = str(measured.timestamp())

    def kept() -> dict[str, float]:
        found = taking.get("/api/v1/query", query='{__name__=~"afdp.+"}', time=at)["data"]["result"]
        assert all(each["metric"]["service.name"] == "checkout" for each in found)
        return {each["metric"]["__name__"]: float(each["value"][1]) for each in found}

    until(kept, lambda: taking.log)
    assert kept() == {
        "afdp.deployment.harm_active": 1.0,
        "afdp.deployment.failed": 1.0,
        "afdp.deployment.cost_per_hour": 1200.0,
        "afdp.deployment.cost_per_hour_low": 1000.0,
        "afdp.deployment.cost_per_hour_high": 1400.0,
    }
    with pytest.raises(DeliveryError, match="it answers 400; it may take `encoding: protobuf` alone"):
        await build("notify", "otlp", block, "notify[0]").reach()
