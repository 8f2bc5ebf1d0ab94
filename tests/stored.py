"""A store for tests, and what is put into stores."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from afdp_exporter.model import (
    Action,
    ActionState,
    Estimate,
    GateDecision,
    GateMode,
    GateVerdict,
    Phase,
    PoolingLevel,
    Prediction,
)
from afdp_exporter.store.sqlite import SQLiteStore

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    """An open, empty store in a file."""
    opened = await SQLiteStore.open(tmp_path / "afdp.db")
    yield opened
    await opened.close()


def decision(at: datetime, verdict: GateVerdict = GateVerdict.ALLOW, **about: str) -> GateDecision:
    """Of checkout in production, unless it says otherwise."""
    plain = GateDecision(
        service="checkout",
        environment="production",
        version="v2",
        phase=Phase.PLAN,
        verdict=verdict,
        enforced_verdict=verdict,
        mode=GateMode.ENFORCED,
        level=0,
        reasons=("it was asked",),
        decided_by="test",
        decided_at=at,
        valid_until=at + MINUTE,
        check_again_seconds=60.0,
    )
    return replace(plain, **about)


def action(deployment_id: str, at: datetime, state: ActionState = ActionState.PROPOSED) -> Action:
    """A rollback."""
    return Action(
        id=f"rollback-{deployment_id}",
        deployment_id=deployment_id,
        service="checkout",
        environment="production",
        kind="rollback",
        executor="cluster",
        state=state,
        level=4,
        reason="it harms",
        decided_at=at,
    )


def prediction(deployment_id: str, risk: float = 0.25) -> Prediction:
    """One that rests on nothing."""
    sure = Estimate(median=risk, low=0.0, high=1.0)
    return Prediction(deployment_id=deployment_id, basis=PoolingLevel.COLD, n=0, risk=sure, failure=sure, metrics={})
