"""The page of trust holds what was predicted against what happened."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from afdp_exporter.model import (
    Deployment,
    Estimate,
    Impact,
    Look,
    LookState,
    Outcome,
    PoolingLevel,
    Prediction,
)
from afdp_exporter.store.sqlite import SQLiteStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


async def predicted(store: SQLiteStore, name: str, risk: float, outcome: Outcome) -> None:
    """A deployment that was given a risk, and what then became of it."""
    at = NOON - timedelta(hours=5)
    deployment = Deployment(
        id=name, service="checkout", environment="production", started_at=at, finished_at=at, received_at=at
    )
    look = Look(deployment_id=name, after=timedelta(hours=1), due_at=at + timedelta(hours=1))
    await store.deployments.record(deployment, (look,))
    range_ = Estimate(low=risk / 2, median=risk, high=min(1.0, 1.5 * risk))
    await store.results.save_prediction(
        Prediction(deployment_id=name, basis=PoolingLevel.SERVICE, n=20, risk=range_, failure=range_, metrics={})
    )
    impact = Impact(deployment_id=name, measured_at=look.due_at, shifts=(), outcome=outcome, outcome_reason="planted")
    await store.looks.finish(replace(look, state=LookState.DONE, done_at=look.due_at, outcome=outcome), impact)


async def test_risks_stand_beside_how_often_it_happened(store: SQLiteStore, start: Callable[..., Any]) -> None:
    for number in range(4):
        await predicted(store, f"low-{number}", 0.15, Outcome.DEGRADATION if number == 0 else Outcome.SUCCESS)
    await predicted(store, "high", 0.7, Outcome.FAILURE)
    client, page = await start(), ""
    async with asyncio.timeout(60):
        while "Risk between" not in page:
            page = await (await client.get("/trust", headers={"Accept": "text/html"})).text()
    rows = re.findall(
        r'<td class="right">([\d ]+%) and ([\d ]+%)</td><td class="right">([^<]+)</td>'
        r'<td class="right">([^<]+)</td><td class="right">(\d+)</td>',
        page.replace("\N{NO-BREAK SPACE}", " "),
    )
    assert rows == [("10 %", "20 %", "15 %", "25 %", "4"), ("60 %", "80 %", "70 %", "100 %", "1")]
