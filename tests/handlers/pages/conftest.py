"""An exporter with a small history: one deployment that hurt, one that did not, one planned, one that is awaited."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession

from afdp_exporter.impact import judge
from afdp_exporter.impact.counterfactual import counterfactual
from afdp_exporter.impact.verdict import shift_of
from afdp_exporter.model import (
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    Link,
    Look,
    LookState,
    Metric,
    Outcome,
    SeenBefore,
    Shift,
    Status,
    Trajectory,
    Worse,
)
from afdp_exporter.store.sqlite import SQLiteStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='latency{service="$service"}', worse=Worse.UP)
REVENUE = Metric(name="revenue_usd_per_hour", layer=Layer.BUSINESS, query="revenue", worse=Worse.DOWN)


@dataclass(frozen=True)
class History:
    """Keeps deployments and what they did, as the exporter would have."""

    store: SQLiteStore

    async def recorded(self, **words: Any) -> Deployment:  # noqa: ANN401 - whatever a test says of it
        plain = Deployment(
            id="d1", service="checkout", environment="production", version="v2.1.0",
            started_at=NOON - timedelta(hours=3), received_at=NOON - timedelta(hours=3),
        )  # fmt: skip
        deployment = replace(plain, **words)
        due = Look(
            deployment_id=deployment.id, after=timedelta(hours=1), due_at=deployment.ended_at + timedelta(hours=1)
        )
        await self.store.deployments.record(deployment, () if deployment.planned else (due,))
        return deployment

    async def measured(self, shift: float = 20.0, **words: Any) -> Deployment:  # noqa: ANN401
        deployment = await self.recorded(**words)
        await self.answer(deployment, *judged(deployment, shift))
        return deployment

    async def answer(self, deployment: Deployment, shifts: tuple[Shift, ...], courses: tuple[Trajectory, ...]) -> None:
        (look,) = await self.store.looks.of_deployment(deployment.id)
        account = {
            "metrics": {each.metric: {"points": 1440, "problem": None, "judged": {"p_value": 0.01}} for each in shifts}
        }
        done = replace(look, state=LookState.DONE, done_at=look.due_at, outcome=Outcome.DEGRADATION, account=account)
        moved = [each for each in shifts if each.moved]
        impact = Impact(
            deployment_id=deployment.id,
            measured_at=look.due_at,
            shifts=shifts,
            outcome=Outcome.DEGRADATION if moved else Outcome.SUCCESS,
            outcome_reason=f"worse: {moved[0].metric}, {moved[1].metric}" if len(moved) > 1 else "nothing moved",
            links=(
                Link(
                    cause=moved[0].metric, effect=moved[1].metric, lag=timedelta(minutes=4), together=False,
                    seen_before=1, sentence="Latency rose, followed 4 minutes later by: revenue fell.",
                ),
            )
            if len(moved) > 1
            else (),
            costs=(Cost(currency="USD", per_hour=Estimate(low=900, median=1200, high=1500)),) if moved else (),
            seen_before=SeenBefore(count=1, deployment_ids=("before",)),
            story=("Deployment checkout v2.1.0 raised latency.",) if moved else ("It did nothing.",),
        )  # fmt: skip
        await self.store.looks.finish(done, impact, courses)


def judged(deployment: Deployment, shift: float) -> tuple[tuple[Shift, ...], tuple[Trajectory, ...]]:
    """Both metrics as an analysis an hour later judges them."""
    at = deployment.started_at.timestamp()
    times = at + 60.0 * np.arange(-1440, 60)
    shifts, courses = [], []
    for number, (metric, size, late) in enumerate(((LATENCY, shift / 1000, 0), (REVENUE, -10 * shift, 4))):
        noise = np.random.default_rng(number).normal(0, abs(size) / 8 or 1.0, times.size)
        values = (0.2 if number == 0 else 9000) + noise + np.where(times >= at + 60 * late, size, 0.0)
        finding = judge(times, values, at, step=60.0)
        drawn = counterfactual(finding, metric.name, times, values, at, step=60.0)
        assert drawn is not None
        shifts.append(shift_of(finding, metric))
        courses.append(drawn)
    return tuple(shifts), tuple(courses)


@pytest.fixture
def history(store: SQLiteStore) -> History:
    """Writes into the store."""
    return History(store)


@pytest.fixture
async def small(history: History, client: ClientSession) -> ClientSession:
    """A client of the exporter, with its history."""
    await history.measured(0.0, id="before", started_at=NOON - timedelta(days=2), version="v2.0.9")
    await history.measured(id="d1", team="storefront", traits={"table_rows": 2e6, "hotfix": False})
    await history.recorded(id="awaited", started_at=NOON - timedelta(minutes=1), service="search")
    await history.recorded(
        id="planned",
        started_at=NOON + timedelta(days=1),
        status=Status.PLANNED,
        environment="staging",
        traits={"rows": 5.0},
    )
    return client


@pytest.fixture
def read(client: ClientSession) -> Callable[..., Any]:
    """Reads a page that must be there, as text."""

    async def text(path: str, status: int = 200, **headers: str) -> str:
        answer = await client.get(path, headers={"Accept": "text/html"} | headers)
        assert answer.status == status
        assert answer.content_type == "text/html"
        return await answer.text()

    return text
