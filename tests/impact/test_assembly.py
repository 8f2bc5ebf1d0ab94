"""From single shifts to one impact."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afdp_exporter.impact.assembly import assemble_impact
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import Attribution, Deployment, Layer, Metric, Money, Outcome, Shift, Worse

MINUTE = timedelta(minutes=1)
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='l{service="$service"}', worse=Worse.UP)
SESSIONS = Metric(name="sessions", layer=Layer.USER, query="s", worse=Worse.DOWN, leads_to=("revenue_usd_per_hour",))
REVENUE = Metric(
    name="revenue_usd_per_hour",
    layer=Layer.BUSINESS,
    query="r",
    worse=Worse.DOWN,
    money=Money(currency="USD", per_unit=1.0),
)
MOOD = Metric(name="mood", layer=Layer.CUSTOM, query="m", primary=False)
ALL = (LATENCY, SESSIONS, REVENUE, MOOD)


def test_a_late_shift_falls_with_the_upstream_shift_that_let_it_in(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    late = shift(REVENUE, 40, -1200.0)
    stands = assemble_impact([shift(LATENCY, 1), late], case(metrics=ALL))
    assert stands.shifts[1].verdict is Attribution.ATTRIBUTED
    assert stands.costs[0].per_hour.median == 1200.0
    weak = assemble_impact([shift(LATENCY, 1, p_value=0.4), late], case(metrics=ALL))
    assert weak.shifts[1].verdict is Attribution.NO_EFFECT
    assert "nothing that it could have followed on" in weak.shifts[1].reason
    assert weak.costs == ()


def test_what_a_rival_did_is_not_in_the_costs_the_chain_or_the_outcome(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    rival = deploy(after=5 * MINUTE, id="d2", service="search")
    quiet = shift(LATENCY, None, 0.001, verdict=Attribution.NO_EFFECT, before=0.2)
    shifts = [quiet, shift(SESSIONS, 6, -20.0), shift(REVENUE, 12, -1200.0)]
    impact = assemble_impact(shifts, case(metrics=ALL, others=(rival,)))
    assert impact.outcome is Outcome.SUCCESS
    assert (impact.costs, impact.links) == ((), ())
    assert impact.rivals[0].deployment_id == "d2"


@st.composite
def drawn(draw: st.DrawFn) -> list[dict[str, object]]:
    """For each metric: a verdict, an onset or none, a change or none, and whether it is over."""
    return [
        {
            "metric": metric,
            "minute": draw(st.none() | st.floats(-5, 110)),
            "change": draw(st.none() | st.floats(-1e6, 1e6)),
            "verdict": draw(st.sampled_from(Attribution)),
            "p_value": draw(st.none() | st.floats(0, 1)),
            "before": draw(st.none() | st.floats(-1e6, 1e6)),
            "change_ratio": draw(st.none() | st.floats(-10, 10)),
            "back": draw(st.none() | st.floats(0, 60)),
        }
        for metric in draw(st.permutations(ALL))
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn(), st.integers(0, 3), st.randoms(use_true_random=False))
def test_whatever_was_found_has_a_conclusion_and_its_order_of_metrics_does_not_matter(
    world: tuple[Callable[..., Shift], AnalysisContext], found: list[dict[str, object]], rivals: int, chance: Random
) -> None:
    make, scene = world
    shifts = []
    for entry in found:
        values = dict(entry)
        back = values.pop("back")
        start = scene.deployment.started_at
        recovered = start + back * MINUTE if isinstance(back, float) else None
        shifts.append(
            make(values.pop("metric"), values.pop("minute"), values.pop("change"), **values, recovered_at=recovered)
        )
    others = tuple(
        replace(
            scene.deployment, id=f"r{index}", service="search", started_at=scene.deployment.started_at + index * MINUTE
        )
        for index in range(rivals)
    )
    impact = assemble_impact(shifts, replace(scene, others=others))
    assert impact.story
    assert all(sentence.endswith(".") for sentence in impact.story)
    chance.shuffle(shifts)
    again = assemble_impact(shifts, replace(scene, others=others))
    assert {shift.metric: shift for shift in again.shifts} == {shift.metric: shift for shift in impact.shifts}
    assert again.outcome is impact.outcome


@pytest.fixture
def world(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> tuple[Callable[..., Shift], AnalysisContext]:
    """The maker of shifts, and the case that they belong to."""
    return shift, case(metrics=ALL)
