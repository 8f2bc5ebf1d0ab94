"""The list and the report say whether harm goes on, since when nothing newer is known, and what it cost in all."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession

from afdp_exporter.model import Cost, Deployment, Estimate, Impact, Look, LookState, Outcome, Shift, ShiftState, Status
from afdp_exporter.store.sqlite import SQLiteStore
from handlers.pages.conftest import History, judged

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
RATE, TOTAL = Estimate(low=900, median=1200, high=1500), Estimate(low=800, median=1010, high=1220)


@pytest.fixture
def keep(history: History, store: SQLiteStore) -> Callable[..., Any]:
    """Keeps a deployment whose metrics were worse, in this state."""

    async def kept(state: ShiftState, outcome: Outcome = Outcome.DEGRADATION, **words: Any) -> Deployment:  # noqa: ANN401
        deployment = await history.recorded(**words)
        (look,) = await store.looks.of_deployment(deployment.id)
        shifts, courses = judged(deployment, 20.0)
        over = deployment.started_at + 10 * MINUTE if state is ShiftState.RECOVERED else None
        stands = tuple(_stands(shift, state, over, look) for shift in shifts)
        cost = Cost(
            currency="USD", per_hour=RATE, total=TOTAL, duration=52 * MINUTE, ended=over is not None, as_of=look.due_at
        )
        found = Impact(
            deployment_id=deployment.id,
            measured_at=look.due_at,
            shifts=stands,
            outcome=outcome,
            outcome_reason="worse",
            costs=(cost,),
        )
        await store.looks.finish(replace(look, state=LookState.DONE, done_at=look.due_at), found, courses)
        return deployment

    return kept


def _stands(shift: Shift, state: ShiftState, over: datetime | None, look: Look) -> Shift:
    onset = None if over is None else over - 10 * MINUTE
    return replace(shift, state=state, recovered_at=over, onset=onset or shift.onset, as_of=look.due_at)


async def test_what_goes_on_stands_above_the_list_the_worst_first(
    client: ClientSession, keep: Callable[..., Any], read: Callable[..., Any], history: History
) -> None:
    await keep(ShiftState.ACTIVE, id="slower", started_at=NOON - timedelta(hours=3))
    await keep(ShiftState.ACTIVE, Outcome.FAILURE, id="broken", service="search", started_at=NOON - timedelta(hours=5))
    await keep(ShiftState.RECOVERED, id="blip", service="api", started_at=NOON - timedelta(hours=2))
    await history.recorded(id="next", started_at=NOON + timedelta(hours=1), status=Status.PLANNED)
    page = await read("/")
    (above,) = re.findall(r'<section class="active".*?</section>', page, re.DOTALL)
    assert re.findall(r"/deployments/([\w-]+)", above) == ["broken", "slower"]
    assert "Going on, as of 10:00 UTC" in above
    assert "Loss, as of 10:00 UTC: $1,200 an hour [$900, $1,500]" in above
    assert "Loss up to then, in 52 minutes: $1,010 [$800, $1,220]" in above
    rows = {
        str(re.search(r"/deployments/([\w-]+)", row)[1]): row  # type: ignore[index]
        for row in re.findall(r"<tr>.*?</tr>", page, re.DOTALL)[1:]
    }
    assert "Over after 10 minutes, $1,010 [$800, $1,220] in all" in rows["blip"]
    assert "an hour" not in rows["blip"]
    assert "Going on, as of 10:00 UTC" in rows["slower"]
    assert "Going on" not in rows["next"]
    only = await read("/?service=api")
    assert 'section class="active"' not in only
    assert (await client.patch("/api/v1/deployments/broken", json={"outcome": "success"})).status == 200
    assert (
        "/deployments/broken" not in re.findall(r'<section class="active".*?</section>', await read("/"), re.DOTALL)[0]
    )


@pytest.mark.parametrize(
    ("state", "status", "figure"),
    [
        (ShiftState.ACTIVE, "Going on, as of 10:00 UTC", "Loss, as of 10:00 UTC"),
        (ShiftState.RECOVERED, "Over after 10 minutes, $1,010 [$800, $1,220] in all", "Loss in all, in 52 minutes"),
        (ShiftState.REPLACED, "Not seen to recover before the next deployment", "Loss, as of 10:00 UTC"),
    ],
)
async def test_the_report_begins_with_whether_it_goes_on_and_what_to_go_back_to(
    keep: Callable[..., Any],
    read: Callable[..., Any],
    state: ShiftState,
    status: str,
    figure: str,
) -> None:
    words = {"previous_version": "v2.0.9", "actor": "ada", "commit": "731f1b2c731f1b2c", "url": "https://git.example/c"}
    await keep(state, id="d1", started_at=NOON - timedelta(hours=3), **words)
    page = await read("/deployments/d1")
    header = page.partition('<div class="pair">')[0]
    lines = dict(re.findall(r"<dt>(.*?)</dt><dd[^>]*>(?:<a [^>]*>)?(.*?)(?:</a>)?</dd>", header))
    assert lines["Now"] == ("Going on, as of Mon 02 Mar 2026, 10:00 UTC" if state is ShiftState.ACTIVE else status)
    assert lines["Since"].startswith("Mon 02 Mar 2026, ")
    assert (lines["Deployed by"], lines["Previous version"], lines["Commit"]) == ("ada", "v2.0.9", "731f1b2c731f")
    assert lines["Way back"] == "deploy checkout v2.0.9 again"
    assert "https://git.example/c" in header
    assert "this verdict is wrong" in header.lower()
    assert f"<dt>{figure}</dt>" in header


async def test_the_way_back_and_grafana_are_named_where_they_are_configured(
    history: History, start: Callable[..., Any], keep: Callable[..., Any]
) -> None:
    await keep(ShiftState.ACTIVE, id="d1", started_at=NOON - timedelta(hours=3), previous_version="v2.0.9")
    rollback = [{"kind": "command", "name": "pipeline", "services": ["checkout"], "run": ["true"]}]
    client = await start(rollback=rollback, policy={"alerts": {"grafana_url": "https://grafana.corp.test"}})
    page = await (await client.get("/deployments/d1")).text()
    assert '<a href="/gate">pipeline can roll it back, in dry run</a>' in page
    links = re.findall(r'href="(https://grafana\.corp\.test/d/afdp-cause-and-effect\?[^"]+)"', page)
    assert len(links) == 3  # the deployment's, and those of its two metrics
    assert all("var-deployment_id=d1" in link for link in links)
    assert {metric for link in links for metric in re.findall(r"var-metric=(\w+)", link)} == {
        "latency_seconds",
        "revenue_usd_per_hour",
    }
