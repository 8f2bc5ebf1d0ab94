"""What follows every deployment of a service alike is usual; what goes beyond it is judged by itself.

What is usual for a service by the reports of its earlier deployments.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from rollout_traces import Row, calm, cold_caches, leak, worse_each_time

from afdp_exporter.impact import Finding, judge
from afdp_exporter.impact.assembly import assemble_impact
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.event_study import usual_by_reports
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Impact,
    Layer,
    MeasuredDeployment,
    Metric,
    Outcome,
    Shift,
    Usual,
    Worse,
)

DRAWS = 30


def judged(row: Row) -> Finding:
    return judge(row.times, row.values, row.deployments[-1], earlier_deployments=row.deployments[:-1])


def drawn(make: Callable[..., Row], seed: int, **given: float) -> list[Row]:
    return [make(np.random.default_rng((seed, draw)), **given) for draw in range(DRAWS)]


def moved(findings: list[Finding]) -> int:
    return sum(finding.verdict.moved for finding in findings)


@pytest.mark.parametrize("earlier", [4, 8, 16])
def test_the_spike_of_cold_caches_is_usual_from_the_fifth_deployment_on(earlier: int) -> None:
    findings = [judged(row) for row in drawn(cold_caches, 11, earlier=earlier)]
    assert moved(findings) <= 2
    assert sum("usual for this service" in finding.reason for finding in findings) >= DRAWS - 3
    usual = findings[0].usual
    assert usual is not None
    assert usual.count <= usual.compared == earlier
    assert usual.duration is not None
    assert 120 <= usual.duration.total_seconds() <= 600
    assert 50 <= usual.change <= 130


def test_before_the_fifth_deployment_a_spike_is_no_habit() -> None:
    assert all(judged(row).usual is None for row in drawn(cold_caches, 12, earlier=3))


def test_a_lasting_change_beneath_the_usual_spike_is_found_with_its_own_size() -> None:
    rows = [row.raised(0.3) for row in drawn(cold_caches, 13)]
    findings = [judged(row) for row in rows]
    found = [finding for finding in findings if finding.attributed]
    assert len(found) >= 0.8 * DRAWS
    held = [finding.low <= 32.0 and finding.high >= 26.0 for finding in found if finding.low and finding.high]
    assert sum(held) >= 0.8 * len(found)
    assert all("beyond what is usual" in finding.reason for finding in found)


def test_a_spike_far_above_the_usual_one_is_found() -> None:
    findings = []
    for row in drawn(cold_caches, 14, earlier=12):
        spike = row.after & (row.times < row.deployments[-1] + 300.0)
        findings.append(judged(Row(times=row.times, values=row.values + 300.0 * spike, deployments=row.deployments)))
    assert moved(findings) >= 0.8 * DRAWS


def test_what_each_deployment_resets_is_usual_and_a_higher_level_after_it_is_found() -> None:
    findings = [judged(row) for row in drawn(leak, 15)]
    assert sum(finding.attributed for finding in findings) <= 1
    assert all(finding.usual is not None and finding.usual.duration is None for finding in findings)
    raised = [judged(row.raised(0.3)) for row in drawn(leak, 16)]
    assert sum(finding.attributed and (finding.change or 0.0) > 0.0 for finding in raised) >= 0.5 * DRAWS


def test_harm_that_each_deployment_adds_is_never_usual() -> None:
    findings = [judged(row) for row in drawn(worse_each_time, 17)]
    assert all(finding.usual is None for finding in findings)
    assert sum(finding.attributed for finding in findings) >= 0.8 * DRAWS


def test_deployments_that_do_nothing_have_no_habit() -> None:
    findings = [judged(row) for row in drawn(calm, 18, hours=72.0, earlier=12)]
    assert sum(finding.usual is not None for finding in findings) <= 1
    assert sum(finding.verdict is Attribution.ATTRIBUTED for finding in findings) <= 1


MINUTE = timedelta(minutes=1)
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query="l", worse=Worse.UP)
SIZES = (0.18, 0.22, 0.2, 0.25, 0.16)


@pytest.fixture
def spike(shift: Callable[..., Shift]) -> Callable[..., Shift]:
    """A spike of so much that came and went in three minutes."""

    def make(size: float, **changes: object) -> Shift:
        known: dict[str, object] = {
            "verdict": Attribution.TRANSIENT, "before": 0.1, "after": 0.1 + size, "duration": 3 * MINUTE,
        }  # fmt: skip
        return shift(LATENCY, 0, size, **(known | changes))

    return make


@pytest.fixture
def after(case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]) -> Callable[..., AnalysisContext]:
    """The case after earlier deployments, a week apart, whose reports have these shifts."""

    def make(*shifts: Shift, service: str = "checkout") -> AnalysisContext:
        past = tuple(
            MeasuredDeployment(
                deployment=deploy(after=timedelta(weeks=number - len(shifts)), id=f"p{number}", service=service),
                impact=Impact(
                    deployment_id=f"p{number}",
                    measured_at=deploy().started_at,
                    shifts=(one,),
                    outcome=Outcome.DEGRADATION,
                    outcome_reason="",
                ),
            )
            for number, one in enumerate(shifts)
        )
        return case(metrics=(LATENCY,), past=past)

    return make


def test_the_fifth_spike_alike_is_usual_and_the_deployment_a_success(
    spike: Callable[..., Shift], after: Callable[..., AnalysisContext]
) -> None:
    scene = after(*(spike(size) for size in SIZES[:4]))
    (found,) = usual_by_reports([spike(0.21)], scene)
    assert found.verdict is Attribution.NO_EFFECT
    assert found.usual == Usual(count=4, compared=4, change=pytest.approx(0.21), duration=3 * MINUTE)
    assert found.change == pytest.approx(0.0)
    assert assemble_impact([spike(0.21)], scene).outcome is Outcome.SUCCESS


def test_what_was_usual_then_counts_as_much_as_what_was_harm_then(
    spike: Callable[..., Shift], after: Callable[..., AnalysisContext]
) -> None:
    quiet = [
        spike(0.01, verdict=Attribution.NO_EFFECT, usual=Usual(count=4, compared=4, change=0.2, duration=3 * MINUTE))
        for _ in range(3)
    ]
    (found,) = usual_by_reports([spike(0.21)], after(*quiet, spike(0.2)))
    assert found.verdict is Attribution.NO_EFFECT


def test_fewer_or_other_ones_are_no_habit(spike: Callable[..., Shift], after: Callable[..., AnalysisContext]) -> None:
    now = spike(0.2)
    none = spike(0.001, verdict=Attribution.NO_EFFECT)
    four = [spike(size) for size in SIZES[:4]]
    for scene in (
        after(*four[:3]),
        after(*four, none, none),
        after(*(spike(-size) for size in SIZES)),
        after(*(spike(size, duration=60 * MINUTE) for size in SIZES[:2]), *four[:2]),
        after(*four, service="search"),
    ):
        assert usual_by_reports([now], scene) == (now,)


def test_one_that_goes_far_beyond_the_usual_is_reported_with_what_goes_beyond(
    spike: Callable[..., Shift], after: Callable[..., AnalysisContext]
) -> None:
    (found,) = usual_by_reports([spike(1.0)], after(*(spike(size) for size in SIZES)))
    assert found.verdict is Attribution.TRANSIENT
    assert found.change == pytest.approx(0.8)
    assert "further than usual" in found.reason


def test_a_level_that_each_brings_back_is_usual_where_it_does_no_harm_only(
    shift: Callable[..., Shift], after: Callable[..., AnalysisContext]
) -> None:
    drops = [shift(LATENCY, 0, -change, before=0.1 + change, after=0.1) for change in (0.3, 0.4, 0.5, 0.35)]
    now = shift(LATENCY, 0, -0.45, before=0.55, after=0.1)
    (found,) = usual_by_reports([now], after(*drops))
    assert found.verdict is Attribution.NO_EFFECT
    rises = [replace(drop, change=-drop.change, before=0.1, after=0.5) for drop in drops if drop.change]
    harm = shift(LATENCY, 0, 0.4, before=0.1, after=0.5)
    assert usual_by_reports([harm], after(*rises)) == (harm,)
    improving = [shift(LATENCY, 0, -0.1, before=0.9 - 0.1 * k, after=0.8 - 0.1 * k) for k in range(5)]
    better = shift(LATENCY, 0, -0.1, before=0.4, after=0.3)
    assert usual_by_reports([better], after(*improving)) == (better,)
