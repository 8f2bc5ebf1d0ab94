"""What a rollout leaves in the data without an effect: the dip of rate(), counters that start from zero.

Data that stop after the rollout are missing data, in whatever way they stop.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollout_traces import uptime

from afdp_exporter.impact import Finding, judge
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.data_quality import bridge_rate_dip, counter_increments, missing_after
from afdp_exporter.model import Attribution, Floats, Impact, Layer, Metric, Outcome, Series, Worse
from afdp_exporter.watching.analysis import AnalysisInput, assess
from afdp_exporter.watching.evidence import MetricData

STEP = 60.0
BEFORE, AFTER = 600, 40
WINDOW = 120.0


def requests(seed: int, dip_steps: int, *, depth: float = 0.7, lasting: float = 0.0, begin: int = 0) -> Finding:
    """Requests a second that dip after the rollout, and may stay lower."""
    rng = np.random.default_rng(seed)
    times = STEP * np.arange(BEFORE + AFTER)
    values = 50.0 + np.convolve(rng.normal(0.0, 0.8, times.size), 0.6 ** np.arange(6), "full")[: times.size]
    values[BEFORE:] *= 1.0 - lasting
    values[BEFORE + begin : BEFORE + begin + dip_steps] *= 1.0 - depth
    return judge(times, values, times[BEFORE], worse="down", rate_window=WINDOW)


@pytest.mark.parametrize("depth", [0.2, 0.5, 1.0])
def test_a_dip_no_longer_than_the_window_of_the_query_is_no_loss(depth: float) -> None:
    findings = [requests(seed, 2, depth=depth) for seed in range(20)]
    assert sum(finding.verdict.moved for finding in findings) <= 1
    assert sum("no loss" in finding.reason for finding in findings) >= 18


def test_a_longer_one_is_a_loss() -> None:
    assert sum(requests(seed, 6, depth=0.9).verdict is Attribution.TRANSIENT for seed in range(20)) >= 16


def test_the_same_dip_some_minutes_after_the_rollout_is_not_explained_by_it() -> None:
    assert not any("no loss" in requests(seed, 2, depth=0.9, begin=5).reason for seed in range(10))


def test_a_loss_that_stays_is_found_beneath_the_dip() -> None:
    findings = [requests(seed, 2, lasting=0.3) for seed in range(20)]
    assert sum(finding.attributed for finding in findings) >= 18
    assert all(finding.change is not None and -20.0 < finding.change < -10.0 for finding in findings)


def test_where_the_data_end_within_the_dip_nothing_is_concluded_from_it() -> None:
    times = STEP * np.arange(BEFORE + 2)
    values = np.where(times >= times[BEFORE], 10.0, 50.0 + np.random.default_rng(3).normal(size=times.size))
    bridged, dip = bridge_rate_dip(times, values, times[BEFORE], None, WINDOW)
    assert dip is not None
    assert np.isnan(bridged[BEFORE:]).all()


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    length=st.integers(1, 12),
    depth=st.floats(0.3, 1.0),
    window=st.sampled_from([60.0, 120.0, 300.0]),
)
def test_a_dip_is_bridged_exactly_where_it_is_no_longer_than_the_window(
    seed: int, length: int, depth: float, window: float
) -> None:
    times = STEP * np.arange(120)
    level = 50.0 + np.random.default_rng(seed).normal(0.0, 0.5, times.size)
    values = level.copy()
    values[80 : 80 + length] *= 1.0 - depth
    bridged, dip = bridge_rate_dip(times, values, times[80], None, window)
    assert (dip is not None) is ((length - 1) * STEP <= window)
    assert np.allclose(bridged, level if dip else values, atol=5.0)


@pytest.mark.parametrize("earlier", [0, 1, 6])
def test_a_counter_that_starts_again_has_not_moved(earlier: int) -> None:
    for draw in range(10):
        row = uptime(np.random.default_rng((21, draw)), earlier=earlier)
        finding = judge(row.times, row.values, row.deployments[-1], earlier_deployments=row.deployments[:-1])
        assert finding.verdict is Attribution.NO_EFFECT
        assert "starts again from zero" in finding.reason


def test_a_counter_that_grows_faster_after_its_restart_has_moved() -> None:
    rng = np.random.default_rng(22)
    times = STEP * np.arange(BEFORE + AFTER)
    grown = rng.poisson(200.0, times.size).astype(float)
    grown[BEFORE:] = rng.poisson(260.0, AFTER)
    values = np.cumsum(grown)
    values[BEFORE:] -= values[BEFORE] - 30.0
    finding = judge(times, values, times[BEFORE])
    assert finding.attributed
    assert finding.change is not None
    assert finding.low is not None
    assert finding.high is not None
    assert finding.low > 0.0
    assert finding.change_ratio == pytest.approx(0.3, abs=0.1)


@given(st.lists(st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0]), min_size=60, max_size=200))
def test_a_gauge_that_is_often_zero_is_no_counter(values: list[float]) -> None:
    times = STEP * np.arange(len(values))
    assert counter_increments(times, np.array(values), times[-10], times[-1]) is None


MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query="l", worse=Worse.UP)
ERRORS = Metric(name="error_ratio", layer=Layer.TECHNICAL, query="e", worse=Worse.UP)

Hole = Callable[[Floats], Floats]
"""Minutes since the deployment -> whether the sample is missing."""


def ends(minutes: float) -> Hole:
    return lambda since: since > minutes


def hole(begin: float, end: float) -> Hole:
    return lambda since: (since > begin) & (since <= end)


@pytest.fixture
def checked(case: Callable[..., AnalysisContext]) -> Callable[..., Impact]:
    """A check an hour after an innocent deployment, of two metrics of which one or both have holes."""

    def at(missing: Hole, *, both: bool = True, absent: bool = True, effect: float = 0.0, seed: int = 0) -> Impact:
        rng = np.random.default_rng(seed)
        since = np.arange(-3 * 1440, 61, dtype=np.float64)
        found = []
        for metric, level in ((LATENCY, 0.2), (ERRORS, 0.004)):
            values = level * (1 + 0.05 * rng.standard_normal(len(since)) + effect * (since >= 0))
            gone = missing(since) & (both or metric is LATENCY)
            times, values = START.timestamp() + 60 * since, np.where(gone, np.nan, values)
            kept = ~gone if absent else np.ones_like(gone)
            series = Series(metric=metric.name, labels={}, times=times[kept], values=values[kept])
            found.append(MetricData(metric=metric, series=series))
        asked = case(metrics=(LATENCY, ERRORS), now=START + 60 * MINUTE)
        return assess(AnalysisInput(case=asked, evidence=tuple(found)))

    return at


@pytest.mark.parametrize("minutes", [1, 2, 4, 6, 10, 30, 50])
@pytest.mark.parametrize(("both", "absent"), [(True, True), (True, False), (False, True), (False, False)])
def test_series_that_end_after_the_rollout_leave_the_outcome_unknown_and_say_when(
    checked: Callable[..., Impact], minutes: int, both: bool, absent: bool
) -> None:
    impact = checked(ends(minutes), both=both, absent=absent)
    assert impact.outcome is Outcome.UNKNOWN
    assert "latency_seconds" in impact.outcome_reason
    reason = impact.shifts[0].reason
    assert f"ends at 2026-03-02 14:{minutes:02d} UTC" in reason or "after the deployment" in reason


@pytest.mark.parametrize("missing", [hole(5, 40), hole(10, 30), hole(-1, 20), hole(40, 55)])
def test_a_hole_in_the_middle_is_missing_data_too(checked: Callable[..., Impact], missing: Hole) -> None:
    assert checked(missing).outcome is Outcome.UNKNOWN
    assert checked(missing, absent=False, both=False).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("missing", [ends(99), ends(57), hole(20, 25), lambda since: (since % 11) == 0])
def test_a_few_samples_that_are_missing_hide_nothing(checked: Callable[..., Impact], missing: Hole) -> None:
    assert checked(missing).outcome is Outcome.SUCCESS


def test_what_was_measured_before_the_data_ended_can_show_harm(checked: Callable[..., Impact]) -> None:
    impact = checked(ends(30), effect=0.4)
    assert impact.outcome in {Outcome.DEGRADATION, Outcome.FAILURE}
    assert impact.harm is not None
    assert impact.harm.as_of is not None
    assert impact.harm.as_of <= START + 31 * MINUTE


def test_gaps_that_the_history_has_as_well_are_the_metrics_own() -> None:
    rng = np.random.default_rng(3)
    times = START.timestamp() + 60.0 * np.arange(-1440, 61)
    values = np.where(rng.random(len(times)) < 0.4, np.nan, 1.0)
    assert missing_after(times, values, START, START + 60 * MINUTE, MINUTE) is None
    dense = np.where(times < START.timestamp(), 1.0, values)
    assert "of its data after the deployment is missing" in (
        missing_after(times, dense, START, START + 60 * MINUTE, MINUTE) or ""
    )
    nothing = np.where(times < START.timestamp(), 1.0, np.nan)
    assert missing_after(times, nothing, START, START + 60 * MINUTE, MINUTE) == (
        "it was not measured after the deployment"
    )
