"""What to put into a store."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from afdp_exporter.model import Attribution, Deployment, Impact, Layer, Look, Outcome, Shift

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def noon() -> datetime:
    """When everything happens."""
    return NOON


@pytest.fixture
def deployment() -> Callable[..., Deployment]:
    """Makes a deployment at noon."""
    plain = Deployment(id="d1", service="checkout", environment="production", started_at=NOON, received_at=NOON)
    return lambda deployment_id="d1", **words: replace(plain, id=deployment_id, **words)


@pytest.fixture
def look() -> Callable[..., Look]:
    """Makes a look some minutes after noon."""

    def make(deployment_id: str = "d1", *, minutes: float = 2, **words: object) -> Look:
        after = timedelta(minutes=minutes)
        return replace(Look(deployment_id=deployment_id, after=after, due_at=NOON + after), **words)

    return make


@pytest.fixture
def impact() -> Callable[..., Impact]:
    """Makes an impact on one metric, measured at two minutes past noon."""
    plain = Impact(
        deployment_id="d1",
        measured_at=NOON + timedelta(minutes=2),
        shifts=(Shift(metric="latency_seconds", layer=Layer.USER, verdict=Attribution.ATTRIBUTED, reason="it rose"),),
        outcome=Outcome.DEGRADATION,
        outcome_reason="latency rose",
    )
    return lambda deployment_id="d1", **words: replace(plain, deployment_id=deployment_id, **words)
