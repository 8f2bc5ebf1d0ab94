"""Training data over HTTP: the same rows as an export, in two formats."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession

from afdp_exporter.model import Deployment, Impact, Outcome
from afdp_exporter.store.sqlite import SQLiteStore
from remembering import remember

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
async def client_of_three(store: SQLiteStore, start: Callable[..., Any]) -> ClientSession:
    for number in range(3):
        at = NOON - timedelta(days=9 - 3 * number)
        deployment = Deployment(
            id=f"d{number}", service="api", environment="production", started_at=at, actor="anna", received_at=at
        )
        impact = Impact(
            deployment_id=deployment.id,
            measured_at=at + timedelta(hours=1),
            shifts=(),
            outcome=Outcome.SUCCESS,
            outcome_reason="planted",
        )
        await remember(store, deployment, impact)
    client = await start()
    assert isinstance(client, ClientSession)
    return client


async def test_both_formats_hold_the_same_rows_and_nobody_s_name(
    client_of_three: ClientSession, tmp_path: Path
) -> None:
    lines = await client_of_three.get("/api/v1/dataset")
    table = await client_of_three.get("/api/v1/dataset", params={"format": "csv"})
    assert (lines.content_type, table.content_type) == ("application/jsonl", "text/csv")
    rows = [orjson.loads(line) for line in (await lines.text()).splitlines()]
    assert [row["id_deployment"] for row in rows] == ["d0", "d1", "d2"]
    assert rows[0]["label"] == "success"
    read = list(csv.DictReader((await table.text()).splitlines()))
    assert [row["id_actor"] for row in read] == [row["id_actor"] for row in rows]
    assert "anna" not in await lines.text() + await table.text()
    assert (tmp_path / "salt").stat().st_mode & 0o777 == 0o600


async def test_only_the_newest_are_reported_where_a_limit_asks_for_it(client_of_three: ClientSession) -> None:
    text = await (await client_of_three.get("/api/v1/dataset", params={"limit": 1})).text()
    assert [orjson.loads(line)["id_deployment"] for line in text.splitlines()] == ["d2"]


@pytest.mark.parametrize("query", ["format=parquet", "limit=0", "free_text=perhaps", "salt=mine"])
async def test_what_cannot_be_given_is_refused_by_name(client: ClientSession, query: str) -> None:
    answer = await client.get(f"/api/v1/dataset?{query}")
    assert answer.status == 422
    assert (await answer.json())["errors"][0]["field"] == query.split("=", maxsplit=1)[0]
