"""What follows every deployment of a service alike is usual; what goes beyond it is judged by itself."""

from collections.abc import Callable

import numpy as np
import pytest
from rollout_traces import Row, calm, cold_caches, leak, worse_each_time

from afdp_exporter.impact import Finding, judge
from afdp_exporter.model import Attribution

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
