"""The hour of somebody who has just installed it: no history but twenty minutes, and `afdp init` untouched.

Prometheus, Alertmanager, the shipped rules and the whole exporter are real, and the services are scraped every 15
seconds. Only their time passes faster: it lies in the hour before the test, the samples are written as they would have
been scraped, and the clock of the exporter goes with them.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession, web

from afdp_exporter import settings
from afdp_exporter.config import read
from afdp_exporter.handlers.connections import listening
from afdp_exporter.handlers.context import STATE
from afdp_exporter.proposals import select_metrics
from afdp_exporter.proposals.discovery import Discovery
from afdp_exporter.proposals.writing import configuration
from afdp_exporter.server import make_app
from afdp_exporter.store.sqlite import SQLiteStore
from real_parts.fixtures import Start
from real_parts.receiver import Receiver
from real_parts.servers import Alertmanager, Prometheus
from real_parts.waiting import until
from real_parts.webshop import SCRAPE, Scraper, Service
from shipped import ROOT
from shipped.alertmanager import rewired

MINUTE = timedelta(minutes=1)
PATIENCE = 60.0  # seconds
CHECKS = (2, 5, 10, 15)  # minutes
SLOWER = timedelta(milliseconds=15)
RATE_WINDOW = 4 * SCRAPE
COST_PER_HOUR = 15 * 3600 * 0.3 * 2.0 * 0.4  # USD: who waits buys less


class Hour:
    """The services, their Prometheus, and the exporter, at one time that is moved on by hand."""

    def __init__(self, prometheus: Prometheus) -> None:
        self.prometheus = prometheus
        self.checkout, self.search = Service("checkout", 1, sells=True), Service("search", 2, sells=False)
        now = datetime.now(UTC).replace(second=0, microsecond=0)
        self.began = self.now = now - 110 * MINUTE  # far enough from the server's own clock to be another time
        self.scraper = Scraper(self.began, self.checkout, self.search)
        self.app: web.Application
        self.client: ClientSession

    async def proposed(self) -> str:
        """What `afdp init` would write at this time."""
        block = {"url": self.prometheus.url}
        discovery = Discovery(source=settings.build("sources", "prometheus", block, "url"), now=self.now)
        found = await discovery.survey()
        return configuration(
            f"- {{name: prometheus, kind: prometheus, url: {block['url']}}}", select_metrics(found.proposals)
        )

    async def pass_until(self, moment: datetime) -> None:
        """Let time pass, with everything that is scraped meanwhile."""
        await asyncio.to_thread(self.prometheus.remote_write, self.scraper.until(moment))
        self.now = max(self.now, moment)

    async def deploy(self, deployment_id: str, service: str, version: str) -> datetime:
        """Report a deployment that takes place now; when that was."""
        at = self.now
        times = {"started_at": at.isoformat(), "finished_at": (at + timedelta(seconds=20)).isoformat()}
        body = {"id": deployment_id, "service": service, "version": version, "status": "succeeded", **times}
        answer = await self.client.post("/api/v1/deployments", json=body)
        assert (answer.status, (await answer.json())["warnings"]) == (201, [])
        return at

    async def check(self, deployment_id: str, after: int) -> dict[str, Any]:
        """The report of a deployment at a check, once the check is due and done."""
        report = await self.report(deployment_id)
        (look,) = [each for each in report["looks"] if each["after_seconds"] == 60 * after]
        due = datetime.fromisoformat(look["due_at"])
        await self.pass_until(due + 2 * SCRAPE)
        self.app[STATE].runner.wake()
        self.app[STATE].own_runner.wake()
        async with asyncio.timeout(PATIENCE):
            while True:
                report = await self.report(deployment_id)
                (look,) = [each for each in report["looks"] if each["due_at"] == due.isoformat().replace("+00:00", "Z")]
                if look["state"] in {"done", "failed"}:
                    break
                await asyncio.sleep(0.05)
        assert look["state"] == "done", look
        return report

    async def report(self, deployment_id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/deployments/{deployment_id}")
        assert answer.status == 200, await answer.text()
        return dict(await answer.json())

    def one(self, query: str) -> float:
        """The value of the only sample of a query, as soon as there is one."""
        until(lambda: self.prometheus.query(query), lambda: query, PATIENCE)
        (sample,) = self.prometheus.query(query)
        return float(sample["value"][1])


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def install(start: Start, receiver: Receiver, tmp_path: Path) -> AsyncIterator[Callable[[timedelta], Any]]:
    """Installs the exporter so long after everything began, as `afdp init` proposes it and no otherwise."""
    async with AsyncExitStack() as running:

        async def installed(after: timedelta) -> Hour:
            alertmanager = start(Alertmanager(tmp_path / "alertmanager", rewired(receiver.url)))
            prometheus = start(Prometheus(tmp_path / "prometheus"))
            hour = Hour(prometheus)
            await hour.pass_until(hour.began + after)
            config = read(yaml.safe_load(await hour.proposed()))
            store = await SQLiteStore.open(tmp_path / "afdp.db")
            running.push_async_callback(store.close)
            hour.app = make_app(config, store=store, clock=lambda: hour.now)
            served = listening(hour.app, [("127.0.0.1", 0)], tls=None, patience=10, most=1000)
            (url,) = await running.enter_async_context(served)
            hour.client = await running.enter_async_context(ClientSession(url))
            prometheus.config = alerting(url.removeprefix("http://"), alertmanager)
            await asyncio.to_thread(prometheus.restart)
            return hour

        yield installed


def alerting(exporter: str, alertmanager: Alertmanager) -> dict[str, Any]:
    """The shipped scrape job and the shipped rules, with the addresses of this run."""
    (job,) = yaml.safe_load((ROOT / "alerting/prometheus.yml").read_text("utf-8"))["scrape_configs"]
    at = {"static_configs": [{"targets": [f"127.0.0.1:{alertmanager.port}"]}]}
    return {
        "scrape_configs": [job | {"static_configs": [{"targets": [exporter]}]}],
        "rule_files": [str(ROOT / "alerting/rules/*.yml")],
        "alerting": {"alertmanagers": [at]},
    }


def is_harmful(report: dict[str, Any]) -> bool:
    return report["outcome"] in {"degradation", "failure"}


def posts(receiver: Receiver, deployment_id: str, status: str = "firing") -> list[Any]:
    """The alerts about a deployment that were delivered with a status."""
    every = [alert for _, body in receiver.posts for alert in body.get("alerts", ())]
    return [alert for alert in every if alert["status"] == status and alert["labels"]["deployment_id"] == deployment_id]


async def test_an_innocent_deployment_is_silent_and_a_slow_one_is_harmful_until_its_fix(
    install: Callable[[timedelta], Any], receiver: Receiver
) -> None:
    hour = await install(20 * MINUTE)
    await hour.deploy("innocent", "checkout", "v1.0.1")
    hour.checkout.release()
    for after in CHECKS:
        assert not is_harmful(await hour.check("innocent", after))

    await hour.deploy("slow", "checkout", "v1.1.0")
    await hour.deploy("beside", "search", "v7")
    hour.checkout.release(slower=SLOWER)
    hour.search.release()
    for after in CHECKS:
        report = await hour.check("slow", after)
        assert is_harmful(report), report["outcome_reason"]
        assert report["harm"]["state"] == "active"
        assert "request_latency_p95_seconds" in report["harm"]["metrics"]
        (latency,) = [each for each in report["impacts"] if each["metric"] == "request_latency_p95_seconds"]
        assert latency["change"] == pytest.approx(SLOWER.total_seconds(), rel=0.2)
        assert not is_harmful(await hour.check("beside", after))
    await asyncio.to_thread(receiver.wait_for, lambda _, body: "'slow'" in str(body) and "firing" in str(body))
    lasting = await asyncio.to_thread(hour.one, 'afdp_cost_per_hour{deployment_id="slow"}')
    assert lasting == pytest.approx(COST_PER_HOUR, rel=0.5)

    fixed = await hour.deploy("fix", "checkout", "v1.1.1")
    hour.checkout.release()
    for after in CHECKS[1:]:
        assert not is_harmful(await hour.check("fix", after))
    report = await hour.check("slow", 30)
    assert is_harmful(report)
    assert (report["harm"]["state"], report["harm"]["ended_by"]) == ("recovered", "fix")
    over = datetime.fromisoformat(report["harm"]["over_at"])
    assert timedelta(0) <= over - fixed <= RATE_WINDOW + 2 * SCRAPE
    (cost,) = report["costs"]
    assert cost["ended"]
    hours = cost["duration_seconds"] / 3600
    assert cost["total"]["median"] == pytest.approx(COST_PER_HOUR * hours, rel=0.5)

    recovered = 'afdp_impact_recovered_timestamp_seconds{deployment_id="slow", metric="request_latency_p95_seconds"}'
    assert await asyncio.to_thread(hour.one, recovered) == pytest.approx(over.timestamp(), abs=1)
    assert await asyncio.to_thread(hour.one, 'max(afdp_impact_active{deployment_id="slow"}) == 0') == 0
    assert await asyncio.to_thread(hour.one, 'afdp_cost_total{deployment_id="slow"}') > 0
    assert hour.prometheus.query('afdp_cost_per_hour{deployment_id="slow"}') == []
    await asyncio.to_thread(receiver.wait_for, lambda _, body: "'slow'" in str(body) and "resolved" in str(body))
    for silent in ("innocent", "beside", "fix"):
        assert posts(receiver, silent) == []
        assert hour.prometheus.query(f'ALERTS{{deployment_id="{silent}"}}') == []


async def test_the_first_verdict_comes_within_a_quarter_of_an_hour_of_the_first_sample(
    install: Callable[[timedelta], Any],
) -> None:
    hour = await install(9 * MINUTE)
    await hour.deploy("slow", "checkout", "v1.1.0")
    hour.checkout.release(slower=SLOWER)
    report = await hour.check("slow", 2)
    assert hour.now - hour.began <= 15 * MINUTE
    assert is_harmful(report), report["story"]


async def test_before_it_can_be_judged_a_deployment_says_what_is_missing_and_when_it_will_be_there(
    install: Callable[[timedelta], Any],
) -> None:
    hour = await install(4 * MINUTE)
    await hour.deploy("early", "checkout", "v1.1.0")
    hour.checkout.release(slower=SLOWER)
    report = await hour.check("early", 2)
    assert report["outcome"] == "unknown"
    missing = r"[23] of 6 minutes of history; deployments from [-\d]+ \d\d:\d\d UTC on can be judged"
    assert all(re.fullmatch(missing, impact["reason"]) for impact in report["impacts"])
    assert re.search(missing, report["story"][0])
    page = await (await hour.client.get("/deployments/early")).text()
    assert re.search(missing, page)
