"""History walked again: every line is made from its past alone, and the walk says how good it was."""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from click.testing import CliRunner, Result

from afdp_exporter import cli
from afdp_exporter.compute import ComputePool
from afdp_exporter.fields import read_time
from afdp_exporter.model import (
    CalendarEntry,
    ChangeType,
    Deployment,
    Floats,
    Layer,
    Metric,
    Money,
    Series,
    Status,
    Worse,
)
from afdp_exporter.planning.backtest import BacktestData, walk
from afdp_exporter.planning.plans import Plans
from afdp_exporter.sources.recording import InMemorySource
from afdp_exporter.watching.evidence import AnalysisSettings, MonitoringConfig

STEP = timedelta(minutes=5)
START = datetime(2026, 3, 2, tzinfo=UTC)
END = START + timedelta(days=12)
TIMES = np.arange(START.timestamp(), END.timestamp() + 1, STEP.total_seconds())
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='latency{service="$service"}', worse=Worse.UP)
REVENUE = Metric(
    name="revenue_usd_per_hour",
    layer=Layer.BUSINESS,
    query="revenue",
    worse=Worse.DOWN,
    money=Money(currency="USD", per_unit=1),
)


def deployment(number: int) -> Deployment:
    """Two a day, in turn of the API and the web; every third one is a migration, which costs $1,000 for two hours."""
    start = START + timedelta(days=1, hours=12 * number + 1)
    migration = number % 3 == 0
    return Deployment(
        id=f"d{number}",
        service=("api", "web")[number % 2],
        environment="production",
        started_at=start,
        finished_at=start + timedelta(minutes=4),
        change_types=(ChangeType.DATABASE,) if migration else (ChangeType.CODE,),
        received_at=start,
    )


DEPLOYMENTS = tuple(deployment(number) for number in range(16))


def series(deployments: Sequence[Deployment]) -> list[Series]:
    chance = np.random.default_rng(5)
    revenue = 20_000 + chance.normal(0, 150, TIMES.size)
    latency = {service: 100 + chance.normal(0, 2, TIMES.size) for service in ("api", "web")}
    for each in deployments:
        if ChangeType.DATABASE in each.change_types:
            struck = (each.ended_at.timestamp() <= TIMES) & ((each.ended_at + timedelta(hours=2)).timestamp() > TIMES)
            revenue = revenue - 1000 * struck
            latency[each.service] = latency[each.service] + 30 * struck
    found = [("revenue", {}, revenue)]
    found += [("latency", {"service": service}, values) for service, values in latency.items()]
    return [Series(metric=name, labels=labels, times=TIMES, values=values) for name, labels, values in found]


async def walked(
    compute: ComputePool,
    deployments: tuple[Deployment, ...] = DEPLOYMENTS,
    tape: Sequence[Series] | None = None,
    calendar: tuple[CalendarEntry, ...] = (),
) -> list[bytes]:
    watched = MonitoringConfig(
        sources={"tape": InMemorySource(series(DEPLOYMENTS) if tape is None else tape)},
        metrics=(LATENCY, REVENUE),
        calendar=calendar,
        settings=AnalysisSettings(history=timedelta(days=1), step=STEP),
    )
    lines: list[bytes] = []
    history = BacktestData(deployments=deployments, end=END, watched=watched, plans=Plans())
    await walk(history, compute=compute, report=lambda line: lines.append(orjson.dumps(line)))
    return lines


def known_by(line: bytes, instant: datetime) -> bool:
    """Whether everything in a line had been measured by then."""
    looks = orjson.loads(line)["report"]["looks"]
    return all(read_time(look["due_at"]) < instant for look in looks)


def altered_values(since: datetime) -> list[Series]:
    def alter(values: Floats) -> Floats:
        return np.where(since.timestamp() <= TIMES, 3 * values[::-1], values)

    return [replace(each, values=alter(each.values)) for each in series(DEPLOYMENTS)]


@pytest.fixture(scope="module")
def lines(compute: ComputePool) -> list[bytes]:
    return asyncio.run(walked(compute))


async def test_another_future_changes_no_earlier_line_by_a_single_byte(
    compute: ComputePool, lines: list[bytes]
) -> None:
    cut = 9
    since = DEPLOYMENTS[cut].started_at
    later = (
        replace(each, service="api", status=Status.ROLLED_BACK, traits={"size": 9.0}, finished_at=None)
        for each in DEPLOYMENTS[cut + 1 :: 2]
    )
    other = await walked(compute, (*DEPLOYMENTS[: cut + 1], *later), altered_values(since))
    past = [place for place, line in enumerate(lines[:-1]) if known_by(line, since)]
    assert len(past) >= cut - 3
    assert [other[place] for place in past] == [lines[place] for place in past]
    assert other[cut + 2 : -1] != lines[cut + 2 : -1]
    foretold = [[orjson.loads(line)["prediction"] for line in walk[: cut + 1]] for walk in (lines, other)]
    assert foretold[0] == foretold[1]


async def test_how_a_rollout_under_way_will_end_is_in_no_earlier_line(compute: ComputePool) -> None:
    since = DEPLOYMENTS[6].started_at
    one = replace(DEPLOYMENTS[5], id="long", status=Status.FAILED, finished_at=since + timedelta(hours=5))
    other = replace(one, status=Status.SUCCEEDED, finished_at=since + timedelta(hours=9))
    first, second = [await walked(compute, (*DEPLOYMENTS[:5], each)) for each in (one, other)]
    assert known_by(first[3], since)
    assert first[:4] == second[:4]
    assert first[5] != second[5]


def test_the_first_deployment_is_foretold_cold_and_the_later_ones_from_their_own_service(lines: list[bytes]) -> None:
    parsed = [orjson.loads(line) for line in lines[:-1]]
    assert [line["deployment"]["id"] for line in parsed] == [each.id for each in DEPLOYMENTS]
    predictions = [line["prediction"] for line in parsed]
    assert (predictions[0]["basis"], predictions[0]["n"]) == ("cold", 0)
    assert predictions[-1]["basis"] == "service"
    assert predictions[0]["deployment"]["status"] == "planned"
    reports = [line["report"] for line in parsed]
    migrations = [report for report in reports if "database" in report["deployment"]["change_types"]]
    found = [report for report in migrations if report["outcome"] != "success"]
    assert len(found) >= len(migrations) - 1
    assert [(look["after_seconds"], look["state"]) for look in reports[0]["looks"]] == [
        (3600.0, "done"),
        (86400.0, "done"),
    ]


def test_the_last_line_shows_how_good_the_predictions_were(lines: list[bytes]) -> None:
    last = orjson.loads(lines[-1])
    board = last["scoreboard"]
    assert board["deployments"] == board["risk"]["n"] == len(DEPLOYMENTS)
    assert 0 <= board["risk"]["brier_score"] <= 1
    assert board["coverage"]["metrics"]["latency_seconds"]["n"] > 10
    alarms = board["false_alarms"]
    assert alarms["n"] > 0
    assert alarms["ratio"] == alarms["count"] / alarms["n"]
    assert set(last["windows"]) == {"api", "web"}
    assert len(last["windows"]["api"]["hours"]) == 168
    assert all(pattern["sentence"] for pattern in last["patterns"])


async def test_a_deployment_at_the_end_of_the_recording_is_reported_with_the_looks_that_it_awaits(
    compute: ComputePool,
) -> None:
    newest = replace(DEPLOYMENTS[1], id="newest", started_at=END - timedelta(minutes=7), finished_at=None)
    beyond = replace(newest, id="beyond", started_at=END)
    reports = [
        orjson.loads(line)["report"] for line in (await walked(compute, (*DEPLOYMENTS[:2], newest, beyond)))[2:4]
    ]
    assert [(look["after_seconds"], look["state"]) for look in reports[0]["looks"]] == [
        (300, "done"), (3600, "done"), (14_400, "due"), (86_400, "due"),
    ]  # fmt: skip
    assert reports[1]["outcome"] == "unknown"
    assert reports[1]["story"][0].startswith("Nothing is known of web yet")


async def walked_until(compute: ComputePool, minutes: float, by: float) -> dict[str, Any]:
    """The report of a deployment on a latency of 200 ms that rises by so much, on a recording that ends after it."""
    at = START + timedelta(days=6, hours=14)
    times = np.arange(START.timestamp(), at.timestamp() + 60.0 * minutes + 1.0, 60.0)
    values = 0.2 + np.random.default_rng(3).normal(0.0, 0.004, times.size) + by * (times > at.timestamp())
    rolled_out = replace(DEPLOYMENTS[0], started_at=at, finished_at=at + timedelta(minutes=1))
    watched = MonitoringConfig(
        sources={
            "tape": InMemorySource([Series(metric="latency", labels={"service": "api"}, times=times, values=values)])
        },
        metrics=(LATENCY,),
        settings=AnalysisSettings(step=timedelta(minutes=1)),
    )
    end = datetime.fromtimestamp(times[-1], UTC)
    lines: list[Any] = []
    history = BacktestData(deployments=(rolled_out,), end=end, watched=watched, plans=Plans())
    await walk(history, compute=compute, report=lines.append)
    return lines[0]["report"]


@pytest.mark.parametrize("minutes", [2, 5, 7, 12, 20, 29])
async def test_series_that_end_soon_after_the_rollout_are_missing_data_and_no_success(
    compute: ComputePool, minutes: float
) -> None:
    report = await walked_until(compute, minutes, 0.0)
    assert report["outcome"] == "unknown"
    assert "its data ends at" in report["impacts"][0]["reason"] or "points after" in report["impacts"][0]["reason"]


async def test_harm_that_was_seen_before_the_series_end_stays_found(compute: ComputePool) -> None:
    report = await walked_until(compute, 20, 0.1)
    assert report["outcome"] in {"degradation", "failure"}
    assert report["harm"]["state"] == "active"


async def test_what_happened_to_another_service_explains_nothing(compute: ComputePool) -> None:
    one = (DEPLOYMENTS[0],)
    incident = CalendarEntry(name="outage", start=one[0].started_at, end=one[0].started_at + timedelta(hours=1))
    elsewhere, here = [
        await walked(compute, one, calendar=(replace(incident, services=(service,)),)) for service in ("web", "api")
    ]
    alone = await walked(compute, one)
    assert elsewhere[0] == alone[0]
    assert here[0] != alone[0]


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., Result]:
    """Runs the command on a recording of one day in a folder."""
    (tmp_path / "recording").mkdir()
    rows = ["timestamp,metric,service,value"]
    for each in series(()):
        service = each.labels.get("service", "")
        rows += [f"{t:.0f},{each.metric},{service},{v}" for t, v in zip(TIMES[:600], each.values[:600], strict=True)]
    (tmp_path / "recording/all.csv").write_text("\n".join(rows))
    config = {
        "sources": [{"name": "production", "kind": "prometheus", "url": "http://127.0.0.1:1"}],
        "metrics": [{"name": "latency_seconds", "layer": "technical", "query": 'latency{service="$service"}'}],
        "policy": {"analysis": {"history": "1d", "step": "5m"}},
    }
    (tmp_path / "afdp.yml").write_text(json.dumps(config))

    def run(deployments: str) -> Result:
        file = tmp_path / "deployments.jsonl"
        file.write_text(deployments)
        options = [f"--config.file={tmp_path / 'afdp.yml'}", f"--recording={tmp_path / 'recording'}"]
        options += [f"--deployments={file}", f"--output={tmp_path / 'out.jsonl'}"]
        return CliRunner().invoke(cli._afdp, ["backtest", *options])

    return run


def test_the_command_asks_the_recording_and_stays_quiet_in_a_pipe(
    recorded: Callable[..., Result], tmp_path: Path
) -> None:
    ran = recorded('{"service": "api", "started_at": "2026-03-03T06:00:00Z"}\n')
    assert (ran.exit_code, ran.output) == (0, "")
    line, last = [json.loads(text) for text in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert line["report"]["impacts"][0]["verdict"] == "no_effect"
    assert set(last) == {"scoreboard", "patterns", "windows"}
    assert not (tmp_path / "out.jsonl.part").exists()


@pytest.mark.parametrize("deployments", ["", '{"service": "api"}\n', "{"])
def test_the_command_refuses_what_is_no_history_and_writes_nothing(
    recorded: Callable[..., Result], tmp_path: Path, deployments: str
) -> None:
    assert recorded(deployments).exit_code != 0
    assert not (tmp_path / "out.jsonl").exists()
