"""The verdict from what is known: guard rails, and what keeps them back."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from afdp_exporter.config import read
from afdp_exporter.errors import ConfigError
from afdp_exporter.gate.decision import GateInput, decide
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import (
    CanaryComparison,
    CanaryVerdict,
    Estimate,
    GateVerdict,
    Outcome,
    Phase,
    PoolingLevel,
    SignalVerdict,
    Strategy,
    Switch,
    Trait,
    WarmUpSignal,
)
from gated import NOON, deployment, impact

LIMITED = GateSettings(guard_rails={"latency_seconds": 0.25}, ignore_below_per_hour=1e6)


def measured(**words: Any) -> GateInput:  # noqa: ANN401
    """A latency of .2 s that rose by 30 %, and is seen as a degradation that costs little."""
    known = GateInput(
        deployment=deployment(), phase=Phase.POST, now=NOON, outcome=Outcome.DEGRADATION,
        impact=impact(Outcome.DEGRADATION, worse=0.3, cost=1.0),
    )  # fmt: skip
    return replace(known, **words)


def canary(*, stable: float, value: float, harm: float) -> GateInput:
    one = CanaryComparison(
        metric="latency_seconds", verdict=CanaryVerdict.UNDECIDED, reason="too early", minutes=3, canary=value,
        stable=stable, harm_ratio=harm,
    )  # fmt: skip
    return GateInput(deployment=deployment(), phase=Phase.CANARY, now=NOON, comparisons=(one,))


def test_a_metric_that_crossed_its_guard_rail_is_taken_back_whatever_it_costs() -> None:
    found = decide(measured(), LIMITED)
    assert (found.verdict, found.decided_by) == (GateVerdict.ROLLBACK, "guard_rail")
    assert "guard rail" in found.reasons[0]
    assert decide(measured(), replace(LIMITED, guard_rails={"latency_seconds": 0.3})).verdict is GateVerdict.WARN


@pytest.mark.parametrize(
    ("stable", "value", "harm", "verdict"),
    [
        (0.20, 0.40, 0.97, GateVerdict.ROLLBACK),
        (0.20, 0.40, 0.80, GateVerdict.UNKNOWN),  # by chance, perhaps
        (0.30, 0.40, 0.97, GateVerdict.UNKNOWN),  # the stable version is beyond it, too
        (0.30, 0.20, 0.01, GateVerdict.UNKNOWN),  # the canary is the better one
    ],
)
def test_a_canary_crosses_a_guard_rail_that_the_stable_version_keeps(
    stable: float, value: float, harm: float, verdict: GateVerdict
) -> None:
    assert decide(canary(stable=stable, value=value, harm=harm), LIMITED).verdict is verdict


def test_lost_data_are_a_guard_rail_and_a_common_cause_or_no_way_back_hold() -> None:
    losing = deployment(traits={"data_loss": True})
    assert decide(measured(deployment=losing), GateSettings()).decided_by == "guard_rail"
    stuck = deployment(traits={"data_loss": True, "irreversible": True})
    assert decide(measured(deployment=stuck), GateSettings()).verdict is GateVerdict.HOLD
    assert decide(measured(others_moved=("search",)), LIMITED).verdict is GateVerdict.HOLD


def test_a_guard_rail_of_an_unknown_metric_stops_the_start() -> None:
    with pytest.raises(ConfigError) as raised:
        read(
            {
                "sources": [{"name": "prometheus", "kind": "prometheus", "url": "http://127.0.0.1:9090"}],
                "policy": {"gates": {"default": {"guard_rails": {"error_ratio": 0.05}}}},
            }
        )
    assert raised.value.where == "policy.gates.default.guard_rails"


def preview(confidence: float | None, *, traits: dict[str, Trait] | None = None) -> GateInput:
    signal = WarmUpSignal(
        metric="memory_bytes", verdict=SignalVerdict.UNUSUAL, n=37, age_minutes=12, value=1.2e9,
        usual=Estimate(low=8e8, median=8.5e8, high=9e8), score=4.0, evidence=2.0,
    )  # fmt: skip
    switch = Switch(
        signals=(signal,) if confidence is not None else (), log_odds=1.0, confidence_ratio=confidence, n=41,
        basis=PoolingLevel.SERVICE, brier_score=0.08,
    )  # fmt: skip
    green = deployment(strategy=Strategy.BLUE_GREEN, finished_at=None, traits=traits or {})
    return GateInput(deployment=green, phase=Phase.PREVIEW, now=NOON, switch=switch)


@pytest.mark.parametrize(
    ("confidence", "verdict"),
    [(0.4, GateVerdict.HOLD), (0.7, GateVerdict.WARN), (0.97, GateVerdict.WARN), (None, GateVerdict.UNKNOWN)],
)
def test_before_the_switch_it_goes_by_how_sure_it_is_and_shows_what_is_unusual(
    confidence: float | None, verdict: GateVerdict
) -> None:
    found = decide(preview(confidence), GateSettings())
    assert found.verdict is verdict
    assert found.confidence_ratio == confidence
    if confidence is not None:
        reasons = " ".join(rule.reason for rule in found.rules)
        assert "41 switches" in reasons
        assert "n = 37" in reasons


def test_a_blue_that_is_taken_down_too_soon_is_warned_of_before_the_switch() -> None:
    found = decide(preview(0.97, traits={"scale_down_delay_seconds": 30.0}), GateSettings())
    assert any(rule.name == "blue" and rule.status == "warn" for rule in found.rules)


@pytest.mark.parametrize(
    ("measured_after", "verdict"), [(2, GateVerdict.UNKNOWN), (15, GateVerdict.ALLOW), (None, GateVerdict.UNKNOWN)]
)
def test_blue_is_needed_until_the_check_a_quarter_of_an_hour_after_the_switch(
    measured_after: int | None, verdict: GateVerdict
) -> None:
    switched = deployment(strategy=Strategy.BLUE_GREEN)
    given = GateInput(deployment=switched, phase=Phase.PROMOTE, now=NOON)
    if measured_after is not None:
        found = replace(impact(Outcome.SUCCESS), measured_at=switched.ended_at + timedelta(minutes=measured_after))
        given = replace(given, impact=found, outcome=Outcome.SUCCESS)
    assert decide(given, GateSettings()).verdict is verdict


def priced(low: float, median: float, high: float, *, traffic_ratio: float | None = None) -> GateInput:
    """A degradation whose cost an hour is known so well."""
    known = impact(Outcome.DEGRADATION, cost=1.0)
    costs = (replace(known.costs[0], per_hour=Estimate(low=low, median=median, high=high)),)
    phase = Phase.POST if traffic_ratio is None else Phase.CANARY
    return measured(deployment=deployment(traffic_ratio=traffic_ratio), phase=phase, impact=replace(known, costs=costs))


@pytest.mark.parametrize(
    ("asked", "cheapest"),
    [
        (priced(900.0, 1000.0, 1100.0), "rollback"),  # surely more than a rollback
        (priced(1.0, 2.0, 3.0), "promote"),  # surely less
        (priced(-400.0, 100.0, 600.0), "hold"),  # the next check decides it, and until then it costs little
        (priced(-40_000.0, 10_000.0, 60_000.0), "rollback"),  # as unsure, but waiting costs more than the rollback
        (
            priced(-40_000.0, 10_000.0, 60_000.0, traffic_ratio=0.01),
            "hold",
        ),  # at a hundredth of the traffic it does not
    ],
)
def test_waiting_is_worth_what_the_next_check_will_say(asked: GateInput, cheapest: str) -> None:
    losses = decide(asked, GateSettings(rollback_cost=40.0)).expected_loss
    assert losses is not None
    ways = {name: getattr(losses, name) for name in ("promote", "hold", "rollback")}
    assert min(ways, key=lambda name: ways[name]) == cheapest, ways
