"""The risk of a deployment is one figure: predictions, windows, metrics and pages say alike, in the demo's shop."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from aiohttp import ClientSession
from planted_shop import END, shop_cases
from prometheus_client.parser import text_string_to_metric_families

from afdp_exporter.demo import shop
from afdp_exporter.model import Estimate
from afdp_exporter.store.memory import MemoryStore
from afdp_exporter.wording.numbers import format_share_range
from handlers.conftest import Clock
from remembering import remember

PLACES = [service.name for service in shop.SERVICES]
NOW = "afdp_deploy_now_risk_ratio"


@pytest.fixture
async def client(clock: Clock, start: Callable[..., Any]) -> ClientSession:
    """An exporter that has seen eight weeks of the shop."""
    store, clock.now = MemoryStore(), END
    for case in shop_cases(5102):
        await remember(store, case.deployment, case.impact)
    client = await start(held=store)
    assert isinstance(client, ClientSession)
    return client


async def test_predictions_windows_metrics_and_pages_say_alike_how_risky_a_deployment_is(client: ClientSession) -> None:
    await _reported_ones_are_alike(client)
    await _usual_ones_are_alike(client)


async def _usual_ones_are_alike(client: ClientSession) -> None:
    shown = await _exposed(client)
    risks = set()
    for service in PLACES:
        planned = {"service": service, "environment": shop.ENVIRONMENT}
        asked = await (await client.post("/api/v1/predictions", json=planned)).json()
        ranked = await (await client.get(f"/api/v1/windows?service={service}")).json()
        risk = asked["risk"]
        assert asked["risk_ratio"] == risk["median"] == pytest.approx(ranked["now"]["risk_ratio"])
        assert ranked["now"]["risk"] == pytest.approx(risk)
        assert shown[service] == pytest.approx({"": risk["median"], "_lower": risk["low"], "_upper": risk["high"]})
        words = format_share_range(Estimate(**risk))
        for address in (
            f"/predictions?service={service}&environment={shop.ENVIRONMENT}",
            f"/windows?service={service}",
        ):
            assert words in unescape(await (await client.get(address)).text())
        risks.add(words)
    assert len(risks) > 1


async def _reported_ones_are_alike(client: ClientSession) -> None:
    planned = {"service": shop.API, "environment": shop.ENVIRONMENT, "version": "v9.1.0", "previous_version": "v9.0.3"}
    planned |= {"change_types": ["code"], "strategy": "canary", "traffic_ratio": 0.25, "actor": "ada"}
    planned |= {"traits": {"files_changed": 7.0}, "started_at": (END + timedelta(seconds=90)).isoformat()}
    asked = await (await client.post("/api/v1/predictions", json=planned)).json()
    answer = await client.post("/api/v1/deployments", json=planned | {"id": "next", "status": "planned"})
    assert answer.status == 201
    found: list[float] = []
    async with asyncio.timeout(60):
        while not found:
            text = await (await client.get("/metrics")).text()
            found = [
                float(each)
                for each in re.findall(r'^afdp_predicted_risk_ratio{.*"next".*"0.5".*} (\S+)$', text, re.MULTILINE)
            ]
    assert found == [pytest.approx(asked["risk_ratio"])]
    page = unescape(await (await client.get("/deployments/next", headers={"Accept": "text/html"})).text())
    (link,) = re.findall(r'href="(/predictions\?[^"]+)"', page)
    words = format_share_range(Estimate(**asked["risk"]))
    assert words in unescape(await (await client.get(link)).text())


async def _exposed(client: ClientSession) -> dict[str, dict[str, float]]:
    """By service, the risk of a deployment now with its range, as soon as all of them are there."""
    found: dict[str, dict[str, float]] = {}
    async with asyncio.timeout(120):
        while len(found) < len(PLACES):
            families = text_string_to_metric_families(await (await client.get("/metrics")).text())
            for each in (sample for family in families for sample in family.samples if sample.name.startswith(NOW)):
                found.setdefault(each.labels["service"], {})[each.name.removeprefix(NOW)] = each.value
    return found
