"""A rollout is one rollout: what senders send over days makes the deployments that `rollouts.yml` names.

Each entry is delivered in its order, each delivery twice, with the store closed and opened in between; and, where the
bodies have times of their own, in other orders.
"""

import json
import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from afdp_exporter.fields import read_time
from afdp_exporter.model import Announcement, Deployment
from afdp_exporter.settings import build
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.tracking.ingestion import ingest
from afdp_exporter.watching.watch import Schedule
from afdp_exporter.webhooks import Webhook

LATER = datetime(2026, 11, 1, tzinfo=UTC)
ORDERS = 6


@dataclass(frozen=True)
class Case:
    """Deliveries, each with when it came where its body does not say, and the deployments that they make."""

    name: str
    webhook: Webhook
    headers: dict[str, str]
    deliveries: tuple[tuple[datetime | None, bytes], ...]
    deployments: list[dict[str, Any]]

    def __str__(self) -> str:
        return self.name


def cases() -> list[Case]:
    found = []
    for entry in yaml.safe_load((Path(__file__).parent / "rollouts.yml").read_text()):
        deliveries = []
        for each in entry["deliveries"]:
            timed = isinstance(each, dict) and set(each) == {"came", "body"}
            body = json.dumps(each["body"] if timed else each).encode()
            deliveries.append((read_time(each["came"]) if timed else None, body))
        headers = {name.lower(): text for name, text in entry.get("headers", {}).items()}
        webhook: Webhook = build("webhooks", entry["kind"], entry.get("settings", {}), "")
        name = f"{entry['kind']}: {entry['name']}"
        found.append(Case(name, webhook, headers, tuple(deliveries), entry["deployments"]))
    return found


CASES = cases()


async def deliver(store: SQLiteStore, case: Case, came: datetime | None, body: bytes) -> list[bool]:
    """Whether each part of a delivery was news."""
    found = []
    for announcement in case.webhook.parse(case.headers, body):
        if isinstance(announcement, Announcement):
            taken = await ingest(announcement, rules=(), schedule=Schedule(), store=store, now=came or LATER)
            found.append(bool(getattr(taken, "changed", False)))
    return found


async def recorded(store: SQLiteStore) -> list[Deployment]:
    page = await store.deployments.page(limit=100)
    return sorted(page.deployments, key=lambda each: (each.started_at, each.id))


def named(deployment: Deployment, expected: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(deployment, name) for name in expected}


def as_expected(found: list[Deployment], case: Case) -> None:
    wanted = [
        {name: read_time(value) if name.endswith("_at") and value else value for name, value in each.items()}
        for each in case.deployments
    ]
    assert len(found) == len(wanted), found
    assert [named(each, expected) for each, expected in zip(found, wanted, strict=True)] == wanted


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_deliveries_make_one_deployment_for_each_rollout(case: Case, tmp_path: Path) -> None:
    for came, body in case.deliveries:
        store = await SQLiteStore.open(tmp_path / "store.db")
        await deliver(store, case, came, body)
        assert not any(await deliver(store, case, came and came + timedelta(seconds=1), body))
        await store.close()
    store = await SQLiteStore.open(tmp_path / "store.db")
    as_expected(await recorded(store), case)
    await store.close()


@pytest.mark.parametrize("case", [case for case in CASES if all(came is None for came, _ in case.deliveries)], ids=str)
async def test_the_order_of_deliveries_does_not_matter(case: Case, tmp_path: Path) -> None:
    drawn = random.Random(case.name)
    for number in range(ORDERS):
        store = await SQLiteStore.open(tmp_path / f"{number}.db")
        order = list(case.deliveries)
        drawn.shuffle(order)
        for came, body in order:
            await deliver(store, case, came, body)
        found = await recorded(store)
        as_expected([replace(each, received_at=LATER) for each in found], case)
        await store.close()
