"""How stable deployments were lately, from the store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from afdp_exporter.model import Deployment, Impact, Look, LookState, Outcome
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.stability import stabilities
from looking import claim_looks

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)


async def test_only_the_last_thirty_days_count_and_services_and_environments_count_apart(tmp_path: Path) -> None:
    store = await SQLiteStore.open(tmp_path / "afdp.db")
    deployments = [
        ("old", "api", "production", 40, Outcome.FAILURE),
        ("bad", "api", "production", 20, Outcome.FAILURE),
        ("good", "api", "production", 10, Outcome.SUCCESS),
        ("staged", "api", "staging", 10, Outcome.FAILURE),
        ("other", "search", "production", 5, Outcome.SUCCESS),
    ]
    for name, service, environment, days, outcome in deployments:
        at = NOW - days * DAY
        made = Deployment(id=name, service=service, environment=environment, started_at=at, received_at=at)
        look = Look(deployment_id=name, after=timedelta(hours=1), due_at=at, state=LookState.DUE)
        await store.deployments.record(made, (look,))
        (claimed,) = await claim_looks(store, NOW, limit=1, lease=DAY)
        measured = Impact(deployment_id=name, measured_at=NOW, shifts=(), outcome=outcome, outcome_reason="planted")
        await store.looks.finish(replace(claimed, state=LookState.DONE), measured)
    found = await stabilities(store, NOW)
    await store.close()
    assert {place: (each.failures, each.deployments) for place, each in found.items()} == {
        ("api", "production"): (1, 2),
        ("api", "staging"): (1, 1),
        ("search", "production"): (0, 1),
    }
