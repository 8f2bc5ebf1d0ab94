"""The names that people hang their own things on: each is documented, each can be seen, and no text names another."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from afdp_exporter.errors import SourceUnavailable
from afdp_exporter.metrics import CardinalityLimits, SelfMetrics
from afdp_exporter.model import (
    Action,
    ActionState,
    Attribution,
    BillRatio,
    Booking,
    CalendarEntry,
    CalendarEntryKind,
    CanaryComparison,
    CanaryVerdict,
    CarryOver,
    Cost,
    Deployment,
    Estimate,
    ExpectedCost,
    Extrapolation,
    Forecast,
    GateDecision,
    GateMode,
    GateVerdict,
    Impact,
    Layer,
    Outcome,
    Pattern,
    PatternKind,
    Phase,
    PoolingLevel,
    Prediction,
    Rollout,
    Score,
    Shift,
    Slot,
    Stability,
    Status,
    Window,
    Windows,
)
from shipped import ROOT
from shipped.names import existing, named

PAGE = (ROOT / "docs/metrics.md").read_text("utf-8")
PLACES = (ROOT / place for place in ("alerting", "docs", "grafana"))
KINDS = {".md", ".yml", ".yaml", ".json", ".tmpl", ".py"}
TEXTS = [ROOT / "README.md", *(path for place in PLACES for path in sorted(place.rglob("*")) if path.suffix in KINDS)]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
EACH_UNIT = ("latency_seconds", "error_ratio", "sold_usd_per_hour")
SHARE = Estimate(low=0.1, median=0.2, high=0.3)
BILLED = BillRatio(bill="aws", currency="USD", ratio=SHARE, days=28, since=NOON.date(), until=NOON.date())
LIKELY = Forecast(low=SHARE.low, median=SHARE.median, high=SHARE.high)


def test_every_metric_is_documented_in_one_place_and_nothing_else_is() -> None:
    documented = re.findall(r"^\| `(afdp_\w+)` \|", PAGE, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == existing()


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_metric_that_is_named_anywhere_exists(path: Path) -> None:
    assert named(path.read_text("utf-8")) - existing() == set()


@pytest.mark.parametrize("text", ["sum(afdp_gate_verdicts)", "`afdp_impact_changes`", "rate(afdp_feed_up_bucket[5m])"])
def test_a_name_that_nothing_exposes_is_found_out(text: str) -> None:
    assert named(text) - existing()


def test_every_name_that_exists_is_seen_once_there_is_something_to_show() -> None:
    page = SelfMetrics(CardinalityLimits(series=1000))
    _of_deployments(page)
    _of_what_is_expected(page)
    _of_itself(page)
    _of_the_gate(page)
    families = text_string_to_metric_families(page.render()[0].decode())
    seen = {sample.name for family in families for sample in family.samples}
    assert existing() - named(" ".join(seen)) == set()


def _deployment(deployment_id: str = "d1", **words: Any) -> Deployment:  # noqa: ANN401
    fields = {"service": "checkout", "environment": "production", "started_at": NOON, "received_at": NOON}
    return Deployment(id=deployment_id, **(fields | words))


def _of_deployments(page: SelfMetrics) -> None:
    shift = Shift(
        metric="latency_seconds",
        layer=Layer.TECHNICAL,
        verdict=Attribution.ATTRIBUTED,
        reason="it rose",
        onset=NOON,
        duration=HOUR,
        change=0.015,
        low=0.012,
        high=0.018,
        change_ratio=0.1,
        attribution_ratio=0.97,
        recovered_at=NOON + HOUR,
    )
    impact = Impact(
        deployment_id="d1",
        measured_at=NOON,
        shifts=tuple(replace(shift, metric=name) for name in EACH_UNIT),
        outcome=Outcome.DEGRADATION,
        outcome_reason="slower",
        costs=(Cost(currency="USD", per_hour=SHARE, total=SHARE),),
        story=("Latency rose.",),
    )
    page.show(_deployment(labels={"service_namespace": "shop"}), impact)
    page.stability.show(
        {
            ("checkout", "production"): Stability(
                deployments=8, failures=2, change_failure_ratio=SHARE, restored=1, time_to_restore=HOUR
            )
        }
    )
    page.events.show([CalendarEntry(name="sale", kind=CalendarEntryKind.SALE, start=NOON, end=NOON + HOUR)])


def _of_the_gate(page: SelfMetrics) -> None:
    page.gate.booked(
        Action(
            id="a2", deployment_id="d2", service="checkout", environment="production", kind="rollback",
            executor="cluster", state=ActionState.VERIFIED, level=5, reason="slower", decided_at=NOON,
        ),
        [Booking(amount=100.0, currency="USD", reason=None), Booking(amount=10.0, currency="USD", reason="rollback")],
    )  # fmt: skip
    page.gate.called_back("github", "approved")
    page.gate.acted(
        Action(
            id="a1", deployment_id="d1", service="checkout", environment="production", kind="rollback",
            executor="cluster", state=ActionState.PROPOSED, level=3, reason="slower", decided_at=NOON,
        )
    )  # fmt: skip
    page.gate.show_paused(True)
    page.gate.show_levels({("checkout", "production"): 2})
    undecided = CanaryComparison(
        metric="latency_seconds", verdict=CanaryVerdict.UNDECIDED, reason="too early", minutes=3, harm_ratio=0.6,
        decidable_in_seconds=420.0,
    )  # fmt: skip
    carried = CarryOver(factor=SHARE, n=3)
    page.rollouts.show(
        _deployment(),
        Rollout(
            deployment_id="d1", as_of=NOON, traffic_ratio=0.01, comparisons=(undecided,),
            full=dict.fromkeys(EACH_UNIT, SHARE),
            extrapolation=Extrapolation(traffic_ratio=0.01, cost_per_hour=SHARE, currency="USD", carry_over=carried),
        ),
    )  # fmt: skip
    page.gate.asked(
        "api",
        GateDecision(
            service="checkout", environment="production", version="v2", deployment_id="d1", phase=Phase.POST,
            verdict=GateVerdict.HOLD, enforced_verdict=GateVerdict.ALLOW, mode=GateMode.SHADOW, level=2,
            confidence_ratio=None, reasons=("slower",), decided_by="measured", decided_at=NOON,
            valid_until=NOON + HOUR, check_again_seconds=60.0,
        ),
    )  # fmt: skip


def _of_what_is_expected(page: SelfMetrics) -> None:
    planned = _deployment("d2", status=Status.PLANNED)
    page.show(planned)
    prediction = Prediction(
        deployment_id="d2",
        basis=PoolingLevel.TEAM,
        n=12,
        risk=SHARE,
        failure=SHARE,
        metrics=dict.fromkeys(EACH_UNIT, LIKELY),
        cost=ExpectedCost(currency="USD", per_hour=LIKELY),
        patterns=("On Mondays it costs twice as much",),
    )
    page.outlook.predicted(planned, prediction)
    page.bills.show({"aws": BILLED})
    now = Slot(start=NOON, end=NOON + HOUR, risk=SHARE, cost_per_hour=1.0)
    page.outlook.ranked(
        "production",
        Windows(
            service="checkout",
            made_at=NOON,
            slots=(now,),
            best=(Window(start=NOON, end=NOON + HOUR),),
            now=now,
            loss_avoided=300.0,
            currency="USD",
            basis=PoolingLevel.SERVICE,
            n=40,
            sentence="",
        ),
    )
    page.outlook.learned(
        [
            Pattern(
                kind=PatternKind.PATTERN,
                sentence="On Mondays it costs twice as much",
                conditions=(),
                target="cost_per_hour",
                effect=SHARE,
                multiplier=SHARE,
                n=20,
                q_value=0.01,
                last_seen=NOON,
                deployments=("d1",),
            )
        ]
    )
    page.outlook.scored([Score(service="checkout", n=20, brier=0.1, ranges=20, covered=0.9, skill=SHARE, width=0.3)])


def _of_itself(page: SelfMetrics) -> None:
    page.process.leads("metrics", lambda: True)
    page.queries.queried("prometheus", 0.01)
    page.queries.query_failed("prometheus", SourceUnavailable("timeout", "away"))
    page.queries.skewed("prometheus", 2.0)
    page.annotations.received("api")
    page.annotations.rejected("api", "invalid")
    page.refusals.refused("overloaded")
    page.annotations.ignored("github", 1)
    page.annotations.fed("github", well=True)
    page.looks.looked("d1", "attributed", 0.01)
    page.looks.replayed("latency_seconds", blamed=1, placebos=100)
    page.notifications.notified("grafana")
    page.notifications.notification_failed("grafana", "timeout")
    page.notifications.waiting({"grafana": 1})
