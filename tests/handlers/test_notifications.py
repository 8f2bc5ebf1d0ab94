"""The way from a deployment that is reported to the annotation that a Grafana keeps."""

import asyncio
from collections.abc import Callable
from typing import Any

from annotating_grafana import AnnotatingGrafana, answers
from loopback import Serve


async def test_a_deployment_that_is_reported_is_an_annotation_a_moment_later(
    start: Callable[..., Any], serve: Serve
) -> None:
    grafana = AnnotatingGrafana(faults=[answers(400)])
    client = await start(notify=[{"name": "ours", "kind": "grafana", "url": await serve(grafana.answer)}])
    async with asyncio.timeout(60):
        await client.post("/api/v1/deployments", json={"service": "refused", "id": "d0"})
        await grafana.changed.wait()
        await client.post("/api/v1/deployments", json={"service": "checkout", "id": "d1", "status": "started"})
        while not grafana.annotations:
            grafana.changed.clear()
            await grafana.changed.wait()
        await client.patch("/api/v1/deployments/d1", json={"status": "succeeded"})
        while "status:succeeded" not in next(iter(grafana.annotations.values()))["tags"]:
            grafana.changed.clear()
            await grafana.changed.wait()
    assert len(grafana.annotations) == 1
    page = await (await client.get("/metrics")).text()
    assert 'afdp_notification_failures_total{reason="http_400",receiver="ours"} 1.0' in page
