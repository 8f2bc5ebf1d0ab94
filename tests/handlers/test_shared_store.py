"""Several exporters on one store: each shows what any of them has found."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from aiohttp import ClientSession

from afdp_exporter.model import Deployment, Rollout, Status
from afdp_exporter.store import Store
from stored import prediction

FOUND = 'afdp_predicted_risk_ratio{deployment_id="planned"', 'afdp_rollout_traffic_ratio{deployment_id="canary"'


async def test_what_one_has_predicted_and_compared_all_show_until_it_is_over(
    start: Callable[..., Any], store: Store, clock: Callable[[], datetime]
) -> None:
    plain = Deployment(
        id="planned", service="api", environment="production", started_at=clock() + timedelta(hours=1),
        status=Status.PLANNED, received_at=clock(),
    )  # fmt: skip
    canary = replace(plain, id="canary", started_at=clock(), status=Status.STARTED, traffic_ratio=0.1)
    before: ClientSession = await start()
    for each in (plain, canary):
        await store.deployments.record(each, ())
    await store.results.save_prediction(prediction("planned"))
    await store.rollouts.keep("api", Rollout(deployment_id="canary", as_of=clock(), comparisons=(), traffic_ratio=0.1))
    after: ClientSession = await start()  # when all that was kept already

    async def page(client: ClientSession, change: dict[str, str], deployment_id: str) -> str:
        answer = await client.patch(f"/api/v1/deployments/{deployment_id}", json=change)
        assert answer.status == 200  # once this one has taken all into account that came before
        return await (await client.get("/metrics")).text()

    for client in (before, after):
        shown = await page(client, {"note": "seen"}, "planned")
        assert [each for each in FOUND if each not in shown] == []
    for deployment_id, status in (("planned", "cancelled"), ("canary", "succeeded")):
        await page(before, {"status": status}, deployment_id)
    for client in (before, after):
        shown = await page(client, {"note": "over"}, "planned")
        assert [each for each in FOUND if each in shown] == []
