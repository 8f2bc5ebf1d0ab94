"""Data that stop after the rollout are missing data, in whatever way they stop."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.gaps import missing_after
from afdp_exporter.model import Floats, Impact, Layer, Metric, Outcome, Series, Worse
from afdp_exporter.watching.analysis import Question, assess
from afdp_exporter.watching.evidence import Evidence

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
def checked(case: Callable[..., Case]) -> Callable[..., Impact]:
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
            found.append(Evidence(metric=metric, series=series))
        asked = case(metrics=(LATENCY, ERRORS), now=START + 60 * MINUTE)
        return assess(Question(case=asked, evidence=tuple(found)))

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
    assert f"ends at 14:{minutes:02d}" in reason or "after the deployment" in reason


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
