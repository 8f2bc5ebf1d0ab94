"""Where a finding stands over the checks."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.conclusion import conclude
from afdp_exporter.model import Attribution, Layer, Metric, Shift, ShiftState, Worse

MINUTE = timedelta(minutes=1)
LATENCY = Metric(name="response_time_seconds", layer=Layer.TECHNICAL, query='l{s="$service"}', worse=Worse.UP)
ERRORS = Metric(name="error_ratio", layer=Layer.TECHNICAL, query='e{s="$service"}', worse=Worse.UP)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, ShiftState.ACTIVE),
        ({"verdict": Attribution.GRADUAL}, ShiftState.ACTIVE),
        ({"verdict": Attribution.NOT_DISTINGUISHABLE}, ShiftState.SUSPECTED),
        ({"verdict": Attribution.NO_EFFECT}, None),
        ({"verdict": Attribution.INSUFFICIENT_HISTORY}, None),
    ],
)
def test_a_check_gives_each_metric_its_state_and_says_as_of_when(
    shift: Callable[..., Shift], case: Callable[..., Case], changes: dict[str, object], state: ShiftState | None
) -> None:
    looked = case()
    (found,) = conclude([shift(LATENCY, 1, 0.1, **changes)], looked).shifts
    assert (found.state, found.as_of) == (state, looked.now)


def test_harm_goes_on_as_long_as_one_metric_is_not_back(shift: Callable[..., Shift], case: Callable[..., Case]) -> None:
    looked = case()
    back = looked.deployment.started_at + 20 * MINUTE
    over = shift(LATENCY, 1, 0.1, verdict=Attribution.TRANSIENT, recovered_at=back)
    impact = conclude([over, shift(ERRORS, 2, 0.05)], looked)
    assert impact.harm is not None
    assert impact.harm.active
    assert impact.harm.metrics == ("error_ratio",)
    assert impact.harm.over_at is None
    impact = conclude([over], looked)
    assert impact.harm is not None
    assert (impact.harm.state, impact.harm.over_at) == (ShiftState.RECOVERED, back)


def test_an_improvement_and_a_metric_that_decides_nothing_are_no_harm(
    shift: Callable[..., Shift], case: Callable[..., Case]
) -> None:
    better, beside = shift(LATENCY, 1, -0.1), shift(ERRORS, 1, 0.1, primary=False)
    assert conclude([better, beside], case()).harm is None
