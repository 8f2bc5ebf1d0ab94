"""Shifts and cases as the tests of sequence, cost, outcome and words need them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import Attribution, Deployment, Layer, Metric, Money, Shift, Worse

START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)

LATENCY = Metric(name="response_time_seconds", layer=Layer.TECHNICAL, query='l{s="$service"}', worse=Worse.UP)
QUEUE = Metric(name="queued_jobs", layer=Layer.SYSTEM, query="q", worse=Worse.UP)
SESSIONS = Metric(name="mobile_sessions", layer=Layer.USER, query="m", worse=Worse.DOWN)
REVENUE = Metric(
    name="revenue_usd_per_hour",
    layer=Layer.BUSINESS,
    query="r",
    worse=Worse.DOWN,
    money=Money(currency="USD", per_unit=1.0),
)
METRICS = (LATENCY, QUEUE, SESSIONS, REVENUE)


@pytest.fixture
def deploy() -> Callable[..., Deployment]:
    """A deployment of checkout v2.1.0 at 14:00, with what the test changes."""

    def make(after: timedelta = timedelta(0), **changes: object) -> Deployment:
        start = START + after
        values: dict[str, object] = {
            "id": "d1",
            "service": "checkout",
            "environment": "production",
            "version": "v2.1.0",
            "previous_version": "v2.0.9",
            "started_at": start,
            "received_at": start,
        }
        return Deployment(**(values | changes))

    return make


@pytest.fixture
def shift() -> Callable[..., Shift]:
    """A shift of a metric, `minute` after 14:00, its onset known to half a minute, its size to a fifth."""

    def make(metric: Metric, minute: float | None = 1.0, change: float | None = 1.0, **changes: object) -> Shift:
        onset = None if minute is None else START + minute * MINUTE
        values: dict[str, object] = {
            "metric": metric.name,
            "layer": metric.layer,
            "worse": metric.worse,
            "primary": metric.primary,
            "verdict": Attribution.ATTRIBUTED,
            "reason": "the shift is larger than its own past explains",
            "onset": onset,
            "onset_low": onset and onset - MINUTE / 2,
            "onset_high": onset and onset + MINUTE / 2,
            "change": change,
            "low": None if change is None else change - abs(change) / 5,
            "high": None if change is None else change + abs(change) / 5,
            "p_value": 0.001,
            "attribution_ratio": 0.9,
        }
        return Shift(**(values | changes))

    return make


@pytest.fixture
def case(deploy: Callable[..., Deployment]) -> Callable[..., AnalysisContext]:
    """The case of that deployment, looked at two hours later at one sample a minute."""

    def make(**changes: object) -> AnalysisContext:
        values: dict[str, Any] = {
            "deployment": deploy(),
            "metrics": METRICS,
            "step": MINUTE,
            "now": START + timedelta(hours=2),
        }
        values |= changes
        values.setdefault("per_service", frozenset(each.name for each in values["metrics"] if "$service" in each.query))
        return AnalysisContext(**values)

    return make
