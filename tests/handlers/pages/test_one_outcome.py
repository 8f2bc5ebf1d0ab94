"""What became of a deployment has one answer: label, rollback and plain measurement alike."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from prometheus_client.parser import text_string_to_metric_families

from afdp_exporter.model import Outcome
from afdp_exporter.planning.forecast import training_examples
from afdp_exporter.planning.plans import Calendar
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.wording.outcomes import outcome_word
from annotating_grafana import AnnotatingGrafana
from handlers.pages.conftest import History
from loopback import Serve

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SENT = {
    "labelled": {"outcome": "success", "note": "a planned load test"},
    "rolled": {"status": "rolled_back"},
    "plain": {"description": "as it was"},
}
EXPECTED = {"labelled": Outcome.SUCCESS, "rolled": Outcome.FAILURE, "plain": Outcome.DEGRADATION}
SOURCES = {"labelled": "human", "rolled": "rollback", "plain": "rule"}


@pytest.fixture
async def exporter(history: History, start: Callable[..., Any], serve: Serve) -> tuple[ClientSession, dict[str, str]]:
    """An exporter with three deployments that were changed after their measurement, and what its Grafana then heard."""
    grafana = AnnotatingGrafana()
    for number, (name, shift) in enumerate((("labelled", 20.0), ("rolled", 0.0), ("plain", 20.0))):
        at = NOON - timedelta(days=3 * (3 - number))
        await history.measured(shift, id=name, started_at=at, received_at=at)
    client = await start(notify=[{"name": "grafana", "kind": "grafana", "url": await serve(grafana.answer)}])
    for name in EXPECTED:
        answer = await client.patch(f"/api/v1/deployments/{name}", json=SENT[name])
        assert answer.status == 200
    recorded: dict[str, str] = {}
    async with asyncio.timeout(60):
        while recorded != {name: outcome.value for name, outcome in EXPECTED.items()}:
            await grafana.changed.wait()
            grafana.changed.clear()
            tags = [set(each["tags"]) for each in grafana.annotations.values()]
            recorded = {
                name: outcome.value
                for name in EXPECTED
                for outcome in Outcome
                if any({f"deployment:{name}", f"outcome:{outcome.value}"} <= each for each in tags)
            }
    return client, recorded


async def test_page_list_api_metric_notice_learner_and_export_say_alike_what_became_of_it(
    exporter: tuple[ClientSession, dict[str, str]], store: SQLiteStore
) -> None:
    client, noticed = exporter
    families = text_string_to_metric_families(await (await client.get("/metrics")).text())
    metric = {
        sample.labels["deployment_id"]: sample.labels["outcome"]
        for family in families
        for sample in family.samples
        if sample.name == "afdp_deployment_outcome"
    }
    export = {
        row["id_deployment"]: (row["label"], row["label_source"])
        for row in map(orjson.loads, (await (await client.get("/api/v1/dataset")).text()).splitlines())
    }
    table = {row["deployment_id"]: row for row in (await (await client.get("/api/v1/tables/stories")).json())["rows"]}
    learned = {
        case.deployment.id: case.decision.outcome
        for case in training_examples(await store.history.measured(before=NOON), Calendar())
    }
    outlines = {each.deployment.id: each.outcome for each in await store.history.index(before=NOON, limit=9)}
    digest = await (await client.get("/api/v1/digest?days=30")).json()
    assert {word: n for word, n in digest["outcomes"].items() if n} == Counter(each.value for each in EXPECTED.values())
    assert all(f"{outcome_word(outcome).lower()} " in digest["text"] for outcome in EXPECTED.values())
    for name, outcome in EXPECTED.items():
        report = await (await client.get(f"/api/v1/deployments/{name}")).json()
        assert (report["outcome"], report["outcome_source"]) == (outcome.value, SOURCES[name])
        assert (metric[name], noticed[name], learned[name], outlines[name]) == (outcome.value,) * 2 + (outcome,) * 2
        assert export[name] == (outcome.value, SOURCES[name])
        assert table[name]["outcome"] == outcome.value
        assert f": {outcome.value}" in table[name]["headline"]
        page = await _text(client, f"/deployments/{name}")
        assert badges(page)[0] == outcome.value
        assert outcome_word(outcome) in page
        listed = await _text(client, f"/?outcome={outcome.value}")
        assert badges(listed) == [outcome.value]
        assert f'href="/deployments/{name}"' in listed


async def _text(client: ClientSession, path: str) -> str:
    answer = await client.get(path, headers={"Accept": "text/html"})
    assert answer.status == 200
    return await answer.text()


def badges(page: str) -> list[str]:
    """The outcomes that the badges of a page show, in order."""
    return re.findall(r'class="badge (\w+)"', page)
