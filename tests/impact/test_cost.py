"""What the shifts cost, and how far the figure can be trusted."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.cost import combined, costs, scaled
from afdp_exporter.model import Attribution, Deployment, Estimate, Layer, Metric, Money, Shift, Worse

HOUR = timedelta(hours=1)
USD = Money(currency="USD", per_unit=1.0)


def metric(name: str, money: Money | None = USD, worse: Worse = Worse.DOWN, **changes: object) -> Metric:
    return Metric(name=name, layer=Layer.BUSINESS, query="q", worse=worse, money=money, **changes)


REVENUE = metric("revenue_usd_per_hour")
PODS = metric("infrastructure_usd_per_hour", worse=Worse.UP)
SESSIONS = metric("sessions", money=Money(currency="USD", per_unit=0.5))


def test_a_loss_is_positive_and_its_range_is_carried_through(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    (cost,) = costs([shift(REVENUE, 0, -1200.0, low=-1460.0, high=-950.0)], case(metrics=(REVENUE,)))
    assert cost.per_hour == Estimate(low=950.0, median=1200.0, high=1460.0)
    assert cost.total == Estimate(low=1900.0, median=2400.0, high=2920.0)
    assert (cost.duration, cost.ended, cost.metrics) == (2 * HOUR, False, ("revenue_usd_per_hour",))


def test_more_of_what_hurts_upwards_costs_and_a_gain_is_negative(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    (dearer,) = costs([shift(PODS, 0, 2.1)], case(metrics=(PODS,)))
    assert dearer.per_hour.median == pytest.approx(2.1)
    (gain,) = costs([shift(REVENUE, 0, 300.0)], case(metrics=(REVENUE,)))
    assert gain.per_hour.median == pytest.approx(-300.0)
    assert gain.per_hour.low < gain.per_hour.median < gain.per_hour.high


def test_a_unit_that_is_no_money_is_priced(shift: Callable[..., Shift], case: Callable[..., AnalysisContext]) -> None:
    (cost,) = costs([shift(SESSIONS, 0, -40.0)], case(metrics=(SESSIONS,)))
    assert cost.per_hour.median == pytest.approx(20.0)


def test_currencies_are_never_added(shift: Callable[..., Shift], case: Callable[..., AnalysisContext]) -> None:
    francs = metric("revenue_chf_per_hour", Money(currency="CHF", per_unit=1.0))
    found = costs([shift(REVENUE, 0, -100.0), shift(francs, 0, -80.0)], case(metrics=(REVENUE, francs)))
    assert [(cost.currency, cost.per_hour.median) for cost in found] == [("USD", 100.0), ("CHF", 80.0)]


def test_money_on_its_way_to_other_money_is_counted_once(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    sessions = replace(SESSIONS, leads_to=("orders",))
    orders = metric("orders", money=None, leads_to=("revenue_usd_per_hour",))
    scene = case(metrics=(sessions, orders, REVENUE))
    shifts = [shift(sessions, 0, -40.0), shift(REVENUE, 0, -100.0)]
    (cost,) = costs(shifts, scene)
    assert (cost.per_hour.median, cost.metrics) == (100.0, ("revenue_usd_per_hour",))
    (alone,) = costs(shifts[:1], scene)
    assert alone.per_hour.median == 20.0


def test_of_money_metrics_that_lead_to_each_other_one_is_counted(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    one, other = metric("a", leads_to=("b",)), metric("b", leads_to=("a",))
    (cost,) = costs([shift(one, 0, -10.0), shift(other, 0, -10.0)], case(metrics=(one, other)))
    assert cost.per_hour.median == 10.0


def test_what_is_over_costs_what_it_cost(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    start = deploy().started_at
    spike = shift(REVENUE, 0, -1200.0, verdict=Attribution.TRANSIENT, duration=HOUR / 4, recovered_at=start + HOUR / 4)
    (cost,) = costs([spike], case(metrics=(REVENUE,)))
    assert cost.ended
    assert cost.total is not None
    assert cost.total.median == pytest.approx(300.0)
    (both,) = costs([spike, shift(PODS, 0, 4.0)], case(metrics=(REVENUE, PODS)))
    assert not both.ended
    assert both.per_hour.median == pytest.approx(4.0)
    assert both.total is not None
    assert both.total.median == pytest.approx(308.0)


@pytest.mark.parametrize("verdict", sorted(set(Attribution) - {"attributed", "transient", "gradual"}))
def test_what_is_not_this_deployments_doing_costs_nothing(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], verdict: Attribution
) -> None:
    assert costs([shift(REVENUE, 0, -1200.0, verdict=verdict)], case(metrics=(REVENUE,))) == ()


def test_without_a_range_or_a_price_nothing_is_said(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    free = metric("sessions", money=None)
    assert costs([shift(free, 0, -5.0)], case(metrics=(free,))) == ()
    assert costs([shift(REVENUE, 0, -5.0, low=None)], case(metrics=(REVENUE,))) == ()


def test_a_sum_of_independent_errors_covers_as_often_as_its_parts() -> None:
    rng = np.random.default_rng(5)
    truth = np.array([100.0, 40.0, -20.0])
    sds = np.array([10.0, 8.0, 3.0])
    hits = 0
    for _ in range(2000):
        parts = truth + rng.normal(size=3) * sds
        total = combined(
            Estimate(low=part - 1.645 * sd, median=part, high=part + 1.645 * sd)
            for part, sd in zip(parts, sds, strict=True)
        )
        hits += total.low <= truth.sum() <= total.high
    assert 0.87 <= hits / 2000 <= 0.93


finite = st.floats(-1e6, 1e6)


@given(finite, finite, finite, finite)
def test_ranges_stay_in_order_whatever_the_price(one: float, two: float, three: float, factor: float) -> None:
    low, middle, high = sorted((one, two, three))
    estimate = scaled(Estimate(low=low, median=middle, high=high), factor)
    assert estimate.low <= estimate.median <= estimate.high
