"""One run from a canary's series to the money that its rollback has spared, with nothing in it that is not real.

A canary in a real Prometheus, the exporter as a process, the real datadog-ci asking its gate over HTTPS, two people who
allow what the service has earned, and a real Docker Swarm that is taken back once.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trustme

from afdp_exporter.model import (
    Action,
    ActionState,
    Estimate,
    Forecast,
    GateDecision,
    GateMode,
    GateVerdict,
    Outcome,
    Phase,
    PoolingLevel,
    Prediction,
    Series,
)
from afdp_exporter.store.sqlite import SQLiteStore
from deploy.conftest import Done, run
from deploy.test_datadog import SITE, proxy
from gated import deployment, impact
from real_parts.engine import Swarm, ended
from real_parts.exporter import Exporter
from real_parts.fixtures import Start
from real_parts.servers import Prometheus
from real_parts.waiting import until
from remembering import remember

SERVICE, TARGET = "checkout", "checkout-whole-way"
SHARE, REQUESTS, INCOME = 0.25, 500.0, 40_000.0  # of the canary; a quarter of a minute, of all; dollars an hour
SCRAPE = 15  # seconds
MINUTE = timedelta(minutes=1)
PATIENCE = 1200.0
METRICS = [
    {
        "name": "error_ratio", "layer": "technical", "worse": "up",
        "query": 'sum(rate(shop_errors_total{service="$service"}[1m]))',
        "canary": 'sum(increase(shop_errors_total{service="$service", version="$version"}[1m]))',
        "stable": 'sum(increase(shop_errors_total{service="$service", version="$previous_version"}[1m]))',
        "of": {
            "query": 'sum(rate(shop_requests_total{service="$service"}[1m]))',
            "canary": 'sum(increase(shop_requests_total{service="$service", version="$version"}[1m]))',
            "stable": 'sum(increase(shop_requests_total{service="$service", version="$previous_version"}[1m]))',
        },
    },
    {
        "name": "revenue_usd_per_hour", "layer": "business", "worse": "down",
        "query": 'sum(shop_revenue_usd_per_hour{service="$service"})',
        "canary": 'sum(shop_revenue_usd_per_hour{service="$service", version="$version"}) / $traffic_ratio',
        "stable": 'sum(shop_revenue_usd_per_hour{service="$service", version="$previous_version"})'
        " / (1 - $traffic_ratio)",
        "money": {"currency": "USD", "per_unit": 1},
    },
]  # fmt: skip


@dataclass
class Shop:
    """Two versions of a service in Prometheus, up to now: the canary's errors and income as the world has it.

    Its noise has no luck in it, so that its series earn the gate's trust in every run.
    """

    prometheus: Prometheus
    written_to: int
    totals: dict[tuple[str, str], float] = field(default_factory=dict)

    def live(self, until_: float, *, share: float = 0.0, errors: float = 0.01, income: float = 1.0) -> None:
        """Write the samples up to an instant, with the canary at a share of the traffic."""
        times = np.arange(self.written_to + SCRAPE, int(until_) + 1, SCRAPE)
        if not times.size:
            return
        self.written_to, series = int(times[-1]), list[Series]()
        noise = np.sin(2.0 * np.pi * 0.618034 * (times / SCRAPE))  # as good as random, and nowhere a step
        for version, part, wrong, less in (("v1", 1.0 - share, 0.01, 1.0), ("v2", share, errors, income)):
            if part == 0.0:
                continue
            labels = {"service": SERVICE, "version": version}
            for name, mean in (
                ("shop_requests_total", REQUESTS * part),
                ("shop_errors_total", REQUESTS * part * wrong),
            ):
                counted = self.totals.get((version, name), 0.0) + (mean * (1.0 + 0.2 * noise)).cumsum()
                self.totals[version, name] = float(counted[-1])
                series.append(Series(metric=name, labels=labels, times=times.astype(float), values=np.floor(counted)))
            revenue = INCOME * part * less * (1.0 + 0.005 * noise)
            series.append(
                Series(metric="shop_revenue_usd_per_hour", labels=labels, times=times.astype(float), values=revenue)
            )
        self.prometheus.remote_write(series)


async def experienced(folder: Path, now: datetime) -> None:
    """A store in which the gate of the service was right a hundred times, and its executor was tried and rehearsed."""
    store = await SQLiteStore.open(folder / "afdp.db")
    for number in range(100):
        bad, at = number % 20 == 7, now - timedelta(days=170) + number * timedelta(days=1.5)
        outcome = Outcome.FAILURE if bad else Outcome.SUCCESS
        past = deployment(
            f"past-{number}", version=f"p{number}", started_at=at, finished_at=at + MINUTE, received_at=at
        )
        seen = impact(outcome, deployment_id=past.id, worse=0.3 if bad else 0.0001)
        await remember(store, past, replace(seen, measured_at=at + 30 * MINUTE))
        center = (seen.shifts[0].change or 0.0) + (0.05 if number % 10 == 3 else 0.0)
        reach = Forecast(low=center - 0.01, median=center, high=center + 0.01)
        risk = Estimate(low=0.02, median=0.05, high=0.1)
        await store.results.save_prediction(
            Prediction(
                deployment_id=past.id, basis=PoolingLevel.SERVICE, n=30, risk=risk, failure=risk,
                metrics={"latency_seconds": reach},
            )
        )  # fmt: skip
        verdict = GateVerdict.ROLLBACK if bad else GateVerdict.ALLOW
        await store.decisions.keep(
            GateDecision(
                service=SERVICE, environment="production", version=past.version, deployment_id=past.id,
                phase=Phase.POST, verdict=verdict, enforced_verdict=GateVerdict.ALLOW, mode=GateMode.SHADOW, level=2,
                reasons=("as planted",), decided_by="measured", decided_at=at + 30 * MINUTE,
                valid_until=at + 31 * MINUTE, check_again_seconds=60.0,
            ),
            "self",
        )  # fmt: skip
    at = now - timedelta(days=10)
    staged = deployment("staged", environment="staging", started_at=at, finished_at=at, received_at=at)
    await store.deployments.record(staged, ())
    for of, dry, state in (("past-7", True, ActionState.SKIPPED), ("staged", False, ActionState.VERIFIED)):
        about = await store.deployments.find(of)
        await store.actions.propose(
            Action(
                id=f"rehearsal-{of}", deployment_id=of, service=SERVICE, environment=about.environment,
                kind="rollback", executor="swarm", state=state, level=2, reason="rehearsal", decided_at=at, dry_run=dry,
                request={"sentence": "back to v1"},
            )
        )  # fmt: skip
    await store.close()


@pytest.fixture
async def ask(datadog_command: tuple[str, ...], tmp_path: Path) -> AsyncIterator[Callable[[Exporter], Any]]:
    """Asks an exporter, which stands behind an ingress with a certificate for `api.afdp.test`."""
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(f"api.{SITE}").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    behind = {"port": 0}

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    async def ingress(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", behind["port"])
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    terminating = await asyncio.start_server(ingress, "127.0.0.1", 0, ssl=tls)
    (port,) = (each.getsockname()[1] for each in terminating.sockets)
    relay = await asyncio.start_server(proxy(port), "127.0.0.1", 0)

    async def asking(exporter: Exporter) -> Done:
        behind["port"] = exporter.port
        environment = {
            "DD_BETA_COMMANDS_ENABLED": "1", "DD_SITE": SITE, "DD_API_KEY": "any", "DD_APP_KEY": "any",
            "NODE_EXTRA_CA_CERTS": str(tmp_path / "ca.pem"),
            "HTTPS_PROXY": f"http://127.0.0.1:{relay.sockets[0].getsockname()[1]}",
        }  # fmt: skip
        about = ("--service", SERVICE, "--env", "production", "--version", "v2")
        words = ("deployment", "gate", *about, "--timeout", "1", "--fail-on-error")
        return await run(*datadog_command, *words, env=environment, cwd=tmp_path)

    yield asking
    relay.close()
    terminating.close()


class Ingressed(Exporter):
    """One that is known by the name of its ingress, too."""

    def arguments(self) -> list[str]:
        return [*super().arguments(), f"--web.external-url=https://api.{SITE}"]


def configured(prometheus: Prometheus, swarm: Swarm) -> dict[str, Any]:
    gate = {"when_unknown": "hold", "rollback_cost": 40, "guard_rails": {"error_ratio": 0.05}}
    return {
        "sources": [{"name": "prometheus", "kind": "prometheus", "url": prometheus.url}],
        "metrics": METRICS,
        "policy": {
            "gates": {"default": gate},
            "watch": {"looks": [f"{minutes}m" for minutes in range(20, 90)]},
            "analysis": {"step": f"{2 * SCRAPE}s", "history": "1d"},
        },
        "rollback": [
            {
                "name": "swarm",
                "kind": "swarm",
                "services": [SERVICE],
                "dry_run": False,
                "url": swarm.url,
                "target": "$service-whole-way",
            }
        ],
    }


@pytest.mark.slow
async def test_a_canary_is_unknown_then_held_then_taken_back_once_and_what_that_spared_is_booked(
    start: Start, swarm: Swarm, ask: Callable[[Exporter], Any], tmp_path: Path
) -> None:
    began = int(time.time()) // 60 * 60 - 25 * 60
    prometheus = start(Prometheus(tmp_path / "prometheus"))
    shop = Shop(prometheus, began - 49 * 3600)
    shop.live(began)
    (tmp_path / "exporter/store").mkdir(parents=True)
    await experienced(tmp_path / "exporter/store", datetime.now(UTC))
    await swarm.create(TARGET, "v1")
    await swarm.update(TARGET, "v2")
    exporter = start(Ingressed(tmp_path / "exporter", configured(prometheus, swarm)))

    def gate() -> dict[str, Any]:
        return dict(exporter.get("/api/v1/gate", service=SERVICE, version="v2"))

    def actions() -> list[dict[str, Any]]:
        listed = exporter.get("/api/v1/actions", deployment_id="canary")["actions"]
        return [each for each in listed if each["kind"] == "rollback"]

    until(lambda: "afdp_false_alarm_ratio{" in exporter.page(), exporter.page, PATIENCE)
    for person in ("ada", "bob"):
        body = {"level": 4, "by": person}
        answer = exporter.http.request("PUT", f"{exporter.url}/api/v1/automation/{SERVICE}", json=body)
        (stands,) = (each for each in answer.json()["services"] if each["environment"] == "production")
        assert stands["level"] == (3 if person == "ada" else 4), stands["missing"]

    shop.live(began + 180, share=SHARE)
    canary = {
        "id": "canary", "service": SERVICE, "version": "v2", "previous_version": "v1", "strategy": "canary",
        "status": "started", "traffic_ratio": SHARE, "started_at": began,
    }  # fmt: skip
    assert exporter.curl("/api/v1/deployments", canary)[0] == 201
    assert gate()["verdict"] == "unknown"
    waits = await ask(exporter)
    assert (waits.code, "Timeout reached" in waits.out + waits.err) == (1, True), waits

    shop.live(began + 540, share=SHARE, errors=0.03)
    until(lambda: gate()["verdict"] == "hold", gate, PATIENCE)
    waits = await ask(exporter)
    assert (waits.code, "Timeout reached" in waits.out + waits.err) == (1, True), waits
    assert actions() == []

    def harmful() -> list[dict[str, Any]]:
        shop.live(time.time(), share=SHARE, errors=0.12, income=0.5)
        return [each for each in actions() if each["state"] == "accepted"]

    until(harmful, lambda: (gate(), actions()), PATIENCE)
    refused = await ask(exporter)
    assert (refused.code, "Gate evaluation failed" in refused.out) == (1, True), refused
    await swarm.until(TARGET, ended("rollback_completed"))
    assert await swarm.running(TARGET) == {"shop/checkout:v1"}
    index = (await swarm.inspect(TARGET))["Version"]["Index"]

    exporter.restart()

    def back() -> list[dict[str, Any]]:
        shop.live(time.time())
        return [each for each in actions() if each["state"] == "verified"]

    until(back, lambda: (actions(), exporter.get("/api/v1/deployments/canary")["impacts"]), PATIENCE)
    (action,) = actions()
    states = [entry["state"] for entry in action["trail"]]
    assert (states.count("started"), action["approved_by"], action["level"]) == (1, None, 4)
    assert "guard rail" in action["reason"]
    assert (await swarm.inspect(TARGET))["Version"]["Index"] == index  # nobody has asked the Swarm again
    assert await swarm.running(TARGET) == {"shop/checkout:v1"}

    assert exporter.get("/api/v1/deployments/canary")["deployment"]["status"] == "rolled_back"
    taken = exporter.get(f"/api/v1/deployments/{action['id']}")
    assert taken["deployment"]["traits"]["rollback_of"] == "canary"
    assert taken["looks"]
    assert action["prevented_cost"] > 0
    assert "not suffered" in action["arithmetic"]
    booked = f'afdp_prevented_cost_total{{currency="USD",environment="production",service="{SERVICE}"}}'
    (line,) = (each for each in exporter.page().splitlines() if each.startswith(booked))
    assert float(line.split()[-1]) == pytest.approx(action["prevented_cost"])
