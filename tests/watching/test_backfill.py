"""The past is measured once, oldest first, whatever interrupts it."""

import asyncio
import json
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pytest
from aiohttp import web

from afdp_exporter.errors import AnalysisError, SourceUnavailable
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import Deployment, Impact, Look, LookState, Outcome
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.watching.analysis import AnalysisResult, MetricVerdict, PendingAnalysis
from afdp_exporter.watching.backfill import Backfill
from afdp_exporter.watching.watch import Schedule, schedule_looks
from loopback import Serve, matrix

NOW = datetime(2026, 3, 10, tzinfo=UTC)
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
SCHEDULE = Schedule(looks=(timedelta(hours=1),))


class Analyst:
    """Measures the first of any pair later than the second, and fails as it is asked to."""

    def __init__(self, failures: Mapping[str, list[Exception]] | None = None) -> None:
        self.failures = failures or {}
        self.measured: list[str] = []
        self.concluded: list[str] = []

    async def measure(self, look: Look, now: datetime) -> PendingAnalysis:
        name = look.deployment_id
        for _ in range(3 if int(name[1:]) % 2 == 0 else 1):
            await asyncio.sleep(0)
        self.measured.append(name)
        if self.failures.get(name):
            raise self.failures[name].pop(0)
        case = AnalysisContext(
            deployment=numbered(int(name[1:])), metrics=(), step=timedelta(minutes=1), now=look.due_at
        )
        return PendingAnalysis(case=case, judged=MetricVerdict(shifts=(), elsewhere={}, answers={}), account={})

    async def conclude(self, pending: PendingAnalysis) -> AnalysisResult:
        name = pending.case.deployment.id
        self.concluded.append(name)
        found = Impact(deployment_id=name, measured_at=NOW, shifts=(), outcome=Outcome.SUCCESS, outcome_reason="calm")
        return AnalysisResult(impact=found, courses=(), account={})


def numbered(number: int) -> Deployment:
    at = FIRST + timedelta(hours=number)
    return Deployment(id=f"d{number}", service="api", environment="production", started_at=at, received_at=NOW)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteStore]:
    opened = await SQLiteStore.open(tmp_path / "afdp.db")
    for number in reversed(range(6)):
        await opened.deployments.record(numbered(number), schedule_looks(numbered(number), SCHEDULE, NOW))
    yield opened
    await opened.close()


def backfill(store: SQLiteStore, analyst: Analyst) -> Backfill:
    return Backfill(
        store=store,
        analyst=analyst,  # type: ignore[arg-type]
        schedule=SCHEDULE,
        clock=lambda: NOW,
        until=NOW,
        at_once=3,
    )


async def test_several_are_weighed_at_once_and_concluded_oldest_first(store: SQLiteStore) -> None:
    analyst, found = Analyst(), list[Outcome | None]()
    await backfill(store, analyst).run(found.append)
    assert analyst.concluded == [f"d{number}" for number in range(6)]
    assert analyst.measured != analyst.concluded
    assert len(found) == 6
    assert (await store.looks.backlog(NOW)).count == 0


async def test_who_is_measured_last_keeps_no_other_from_being_measured(store: SQLiteStore) -> None:
    others = asyncio.Event()

    class Slow(Analyst):
        async def measure(self, look: Look, now: datetime) -> PendingAnalysis:
            if look.deployment_id == "d0":
                await others.wait()
            found = await super().measure(look, now)
            if len(self.measured) == 5:
                others.set()
            return found

    analyst, found = Slow(), list[Outcome | None]()
    await backfill(store, analyst).run(found.append)
    assert analyst.measured[-1] == "d0"
    assert analyst.concluded == [f"d{number}" for number in range(6)]


async def test_a_failing_look_is_tried_again_and_stops_no_other(store: SQLiteStore) -> None:
    analyst, found = Analyst({"d1": [AnalysisError("late")], "d2": [ValueError("odd")] * 9}), list[Outcome | None]()
    await backfill(store, analyst).run(found.append)
    assert Counter(analyst.measured) == {"d0": 1, "d1": 2, "d2": 3, "d3": 1, "d4": 1, "d5": 1}
    assert found.count(None) == 1
    (look,) = await store.looks.of_deployment("d2")
    assert (look.state, look.reason) == (LookState.FAILED, "internal error: ValueError")


async def test_a_source_that_is_away_leaves_the_rest_due(store: SQLiteStore) -> None:
    found = list[Outcome | None]()
    with pytest.raises(SourceUnavailable, match="away"):
        await backfill(store, Analyst({"d2": [SourceUnavailable("connection", "away")]})).run(found.append)
    await store.deployments.record(numbered(6), ())  # one writer: what was under way is written, or never will be
    done = {
        f"d{number}"
        for number in range(6)
        if (await store.looks.of_deployment(f"d{number}"))[0].state is LookState.DONE
    }
    assert done <= {"d0", "d1"}
    assert len(found) - found.count(None) <= len(done)
    assert (await store.looks.backlog(NOW)).count == 6 - len(done)


DEPLOYMENTS, KILLS = 60, 3


class Prometheus:
    """Answers range queries, and remembers who was asked about: each deployment has a query of its own."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self.awaited = 0
        self.reached = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        form = {name: values[0] for name, values in parse_qs((await request.read()).decode()).items()}
        version = re.findall(r'version="(\w+)"', form["query"])[0]
        self.asked[version, form["start"]] += 1
        if self.asked.total() >= self.awaited:
            self.reached.set()
        times = np.arange(float(form["start"]), float(form["end"]) + 1, float(form["step"]))
        at = FIRST + timedelta(hours=int(version[1:]))
        level = 3 + 2 * (int(version[1:]) % 3 == 0) * (times >= at.timestamp())
        values = level + np.random.default_rng((times // 1).astype(np.int64)).normal(0, 0.1, times.size)
        pairs = [[time, str(value)] for time, value in zip(times.tolist(), values.tolist(), strict=True)]
        return web.json_response(matrix({"metric": {"__name__": "latency"}, "values": pairs}))


def prepare(folder: Path, url: str) -> list[str]:
    """A folder with what is imported; the command that imports it."""
    folder.mkdir()
    config = {
        "sources": [{"kind": "prometheus", "url": url}],
        "metrics": [{"name": "latency_seconds", "layer": "technical", "query": 'latency{version="$version"}'}],
        "policy": {
            "analysis": {"history": "12h", "step": "5m"},
            "backfill": {"queries_per_second": 1000},
            "watch": {"looks": ["1h"]},
        },
    }
    (folder / "afdp.yml").write_text(json.dumps(config))
    bodies = [
        {
            "id": f"d{number}",
            "service": "api",
            "version": f"v{number}",
            "started_at": numbered(number).started_at.isoformat(),
        }
        for number in range(DEPLOYMENTS)
    ]
    (folder / "past.jsonl").write_text("\n".join(map(json.dumps, bodies)))
    options = [f"--config.file={folder / 'afdp.yml'}", f"--storage.path={folder / 'data'}"]
    return [sys.executable, "-m", "afdp_exporter", "import", str(folder / "past.jsonl"), *options]


async def documents(folder: Path) -> list[tuple[Deployment, Impact | None, tuple[Look, ...]]]:
    opened = await SQLiteStore.open(folder / "data/afdp.db")
    try:
        found = await opened.history.measured(before=NOW)
        return [(each.deployment, each.impact, await opened.looks.of_deployment(each.deployment.id)) for each in found]
    finally:
        await opened.close()


@pytest.mark.slow
async def test_an_import_that_is_killed_goes_on_where_it_was_and_finds_the_same(serve: Serve, tmp_path: Path) -> None:
    calm, server = Prometheus(), Prometheus()
    whole = await asyncio.create_subprocess_exec(*prepare(tmp_path / "whole", await serve(calm.answer)))
    assert await whole.wait() == 0
    command = prepare(tmp_path / "killed", await serve(server.answer))
    for _ in range(KILLS):
        server.awaited = server.asked.total() + calm.asked.total() // (KILLS + 1)
        server.reached.clear()
        process = await asyncio.create_subprocess_exec(*command)
        await server.reached.wait()
        process.send_signal(signal.SIGKILL)
        await process.wait()
    last = await asyncio.create_subprocess_exec(*command)
    assert await last.wait() == 0
    again = {version for (version, _), times in server.asked.items() if times > 1}
    assert set(server.asked) == set(calm.asked)
    assert max(server.asked.values()) <= 1 + KILLS
    assert len(again) <= KILLS * 4, "more was done twice than was under way"  # two for each of two workers
    found, expected = await documents(tmp_path / "killed"), await documents(tmp_path / "whole")
    assert len(found) == DEPLOYMENTS
    assert [impact for _, impact, _ in found] == [impact for _, impact, _ in expected]
    assert all(look.state is LookState.DONE and look.attempts == 0 for _, _, looks in found for look in looks)
