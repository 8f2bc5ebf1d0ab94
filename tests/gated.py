"""A deployment as the gate meets it, and what was measured after it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from afdp_exporter.automation.levels import Levels
from afdp_exporter.compute.opening import open_compute
from afdp_exporter.model import (
    Attribution,
    Cost,
    Deployment,
    Estimate,
    Impact,
    Layer,
    Outcome,
    Shift,
    ShiftState,
    Worse,
)
from afdp_exporter.store import Store
from afdp_exporter.store.reading import StoreReader

L = TypeVar("L", bound=Levels)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ENFORCED = {"policy": {"gates": {"default": {"mode": "enforced"}}}}


def deployment(deployment_id: str = "d1", **words: Any) -> Deployment:  # noqa: ANN401
    plain = Deployment(
        id=deployment_id, service="checkout", environment="production", version="v2", started_at=NOON - 20 * MINUTE,
        finished_at=NOON - 18 * MINUTE, received_at=NOON,
    )  # fmt: skip
    return replace(plain, **words)


def impact(outcome: Outcome, *, deployment_id: str = "d1", worse: float = 0.3, cost: float | None = None) -> Impact:
    found = outcome in {Outcome.DEGRADATION, Outcome.FAILURE}
    shift = Shift(
        metric="latency_seconds", layer=Layer.TECHNICAL, worse=Worse.UP, reason="its level moved", before=0.2,
        verdict=Attribution.ATTRIBUTED if found else Attribution.NO_EFFECT, change=0.2 * worse, low=0.01, high=0.1,
        change_ratio=worse if found else 0.0, attribution_ratio=0.96 if found else 0.02, onset=NOON - 19 * MINUTE,
        state=ShiftState.ACTIVE if found else None,
    )  # fmt: skip
    costs = (
        () if cost is None else (Cost(currency="USD", per_hour=Estimate(low=0.8 * cost, median=cost, high=1.2 * cost)),)
    )
    return Impact(
        deployment_id=deployment_id, measured_at=NOON - 3 * MINUTE, shifts=(shift,), outcome=outcome,
        outcome_reason="as planted", costs=costs,
    )  # fmt: skip


def reader_of(store: Store) -> StoreReader:
    """Has a worker of its own."""
    return StoreReader(store, open_compute(workers=1), lambda: MINUTE)


def levels_of(store: Store, kind: type[L] = Levels, **words: Any) -> L:  # noqa: ANN401
    return kind(reader=reader_of(store), **words)
