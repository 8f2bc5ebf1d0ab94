"""In what order the shifts came, and how late a layer may respond."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from afdp_exporter.impact.causal_chain import CausalPaths, causal_links, onset_order, respond_within, stages, supported
from afdp_exporter.impact.context import AnalysisContext, ImpactSettings, Lags
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Impact,
    Layer,
    Link,
    MeasuredDeployment,
    Metric,
    Outcome,
    Service,
    Shift,
)

MINUTE = timedelta(minutes=1)


def metric(name: str, layer: Layer, **changes: object) -> Metric:
    return Metric(name=name, layer=layer, query="q", **changes)


LATENCY = metric("latency", Layer.TECHNICAL)
ERRORS = metric("errors", Layer.TECHNICAL)
JOBS = metric("jobs", Layer.SYSTEM)
SESSIONS = metric("sessions", Layer.USER)
REVENUE = metric("revenue", Layer.BUSINESS)
MOOD = metric("mood", Layer.CUSTOM)
ALL = (LATENCY, ERRORS, JOBS, SESSIONS, REVENUE, MOOD)
PATHS = CausalPaths(ALL, {})


def steps(found: Iterable[Link]) -> list[tuple[str, str, float, bool]]:
    return [(link.cause, link.effect, link.lag / MINUTE, link.together) for link in found]


@pytest.mark.parametrize(
    ("cause", "effect", "allowed"),
    [
        (LATENCY, SESSIONS, True),
        (LATENCY, REVENUE, True),
        (SESSIONS, REVENUE, True),
        (LATENCY, JOBS, True),
        (JOBS, LATENCY, True),
        (MOOD, LATENCY, True),
        (REVENUE, MOOD, True),
        (LATENCY, ERRORS, False),
        (REVENUE, SESSIONS, False),
        (SESSIONS, LATENCY, False),
        (LATENCY, LATENCY, False),
    ],
)
def test_layers_allow_a_step_only_downstream(cause: Metric, effect: Metric, allowed: bool) -> None:
    assert CausalPaths(ALL, {}).allowed(cause.name, effect.name) is allowed


def test_leads_to_allows_what_layers_do_not_and_forbids_the_way_back() -> None:
    errors = replace(ERRORS, leads_to=("latency",))
    revenue = replace(REVENUE, leads_to=("sessions",))
    paths = CausalPaths((LATENCY, errors, SESSIONS, revenue), {})
    assert paths.allowed("errors", "latency")
    assert paths.allowed("revenue", "sessions")
    assert not paths.allowed("sessions", "revenue")


def test_a_metric_that_declares_what_it_leads_to_leads_on_over_these_and_to_nothing_else() -> None:
    tickets = metric("tickets", Layer.USER)
    paths = CausalPaths((replace(LATENCY, leads_to=("sessions",)), SESSIONS, tickets, REVENUE), {})
    assert paths.allowed("latency", "sessions")
    assert paths.allowed("latency", "revenue")
    assert not paths.allowed("latency", "tickets")


def test_a_caller_may_follow_what_it_calls_and_never_the_other_way() -> None:
    services = {
        "shop": Service(name="shop", metrics=("latency",), depends_on=("payment",)),
        "payment": Service(name="payment", metrics=("errors",), depends_on=("database",)),
    }
    paths = CausalPaths((LATENCY, ERRORS), services)
    assert paths.allowed("errors", "latency")
    assert not paths.allowed("latency", "errors")


def test_every_metric_is_judged_after_all_that_it_may_follow() -> None:
    errors = replace(ERRORS, leads_to=("latency",))
    order = [[entry.name for entry in stage] for stage in stages((REVENUE, SESSIONS, MOOD, JOBS, LATENCY, errors))]
    assert order == [["errors"], ["latency"], ["jobs"], ["sessions"], ["revenue"], ["mood"]]


def test_metrics_that_lead_to_each_other_still_have_an_order() -> None:
    one, other = replace(LATENCY, leads_to=("errors",)), replace(ERRORS, leads_to=("latency",))
    assert sorted(entry.name for stage in stages((one, other)) for entry in stage) == ["errors", "latency"]


def test_the_window_of_a_layer_opens_at_its_attributed_upstream_shift(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    scene = case(metrics=ALL)
    assert respond_within(REVENUE, [], scene, PATHS) is None
    within = respond_within(REVENUE, [shift(LATENCY, 1)], scene, PATHS)
    assert within == pytest.approx((1.5 + 60) * 60)
    later = respond_within(REVENUE, [shift(LATENCY, 1), shift(SESSIONS, 20)], scene, PATHS)
    assert later == pytest.approx((20.5 + 60) * 60)


@pytest.mark.parametrize("verdict", [Attribution.TRANSIENT, Attribution.GRADUAL, Attribution.NOT_DISTINGUISHABLE])
def test_what_is_not_blamed_for_good_opens_no_window(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], verdict: Attribution
) -> None:
    upstream = shift(LATENCY, 1, verdict=verdict)
    assert respond_within(REVENUE, [upstream], case(metrics=ALL), PATHS) is None
    assert not supported((upstream, shift(REVENUE, 40)), case(metrics=ALL))["revenue"]


def test_what_was_not_attributed_opens_no_window(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    quiet = shift(LATENCY, 1, verdict=Attribution.NO_EFFECT)
    assert respond_within(REVENUE, [quiet], case(metrics=ALL), PATHS) is None
    assert respond_within(SESSIONS, [shift(REVENUE, 1)], case(metrics=ALL), PATHS) is None


def test_lags_are_configurable_by_layer(shift: Callable[..., Shift], case: Callable[..., AnalysisContext]) -> None:
    settings = ImpactSettings(lags=Lags(business=timedelta(minutes=120)))
    within = respond_within(REVENUE, [shift(LATENCY, 1)], case(metrics=ALL, settings=settings), PATHS)
    assert within == pytest.approx((1.5 + 120) * 60)


def test_a_late_shift_stands_only_behind_an_upstream_shift(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    scene = case(metrics=ALL)
    late = shift(REVENUE, 40)
    assert supported((late,), scene) == {"revenue": False}
    assert supported((shift(LATENCY, 1), late), scene) == {"latency": True, "revenue": True}
    assert supported((shift(LATENCY, 1), shift(REVENUE, 90)), scene)["revenue"] is False
    spike = replace(late, verdict=Attribution.TRANSIENT)
    assert supported((shift(LATENCY, 1), spike), scene)["revenue"] is False


def test_support_is_handed_down_the_chain_and_not_by_what_is_too_late_itself(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    chain = (shift(LATENCY, 1), shift(SESSIONS, 30), shift(REVENUE, 85))
    assert all(supported(chain, case(metrics=ALL)).values())
    broken = (shift(SESSIONS, 30), shift(REVENUE, 85))
    assert supported(broken, case(metrics=ALL)) == {"sessions": False, "revenue": False}


def test_a_chain_is_reported_step_by_step(shift: Callable[..., Shift], case: Callable[..., AnalysisContext]) -> None:
    found = causal_links([shift(REVENUE, 11), shift(LATENCY, 1), shift(SESSIONS, 5)], case(metrics=ALL))
    assert steps(found) == [("latency", "sessions", 4, False), ("sessions", "revenue", 6, False)]


@pytest.mark.parametrize("lag", [0, 1, 1.9])
def test_less_than_two_samples_apart_is_at_the_same_time(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], lag: float
) -> None:
    found = causal_links([shift(LATENCY, 1), shift(SESSIONS, 1 + lag)], case(metrics=ALL))
    assert steps(found) == [("latency", "sessions", 0, True)]


def test_onset_ranges_that_touch_are_at_the_same_time(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    vague = shift(SESSIONS, 6)
    vague = replace(vague, onset_low=vague.onset - 5 * MINUTE)
    assert steps(causal_links([shift(LATENCY, 1), vague], case(metrics=ALL))) == [("latency", "sessions", 0, True)]


def test_no_step_goes_against_the_layers_or_between_metrics_without_a_path(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    assert causal_links([shift(REVENUE, 1), shift(LATENCY, 6)], case(metrics=ALL)) == ()
    assert causal_links([shift(LATENCY, 1), shift(ERRORS, 6)], case(metrics=ALL)) == ()


def test_of_causes_that_moved_together_none_is_stated_unless_something_tells_them_apart(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    now = [shift(LATENCY, 1), shift(ERRORS, 1.5), shift(SESSIONS, 7)]
    assert causal_links(now, case(metrics=ALL)) == ()
    declared = (replace(LATENCY, leads_to=("sessions",)), *ALL[1:])
    assert steps(causal_links(now, case(metrics=declared))) == [("latency", "sessions", 6, False)]
    back = timedelta(days=-2)
    earlier = deploy(after=back, id="d0")
    impact = Impact(
        deployment_id="d0",
        measured_at=earlier.started_at,
        shifts=(shift(LATENCY, 1), shift(SESSIONS, 6), shift(ERRORS, 6)),
        outcome=Outcome.DEGRADATION,
        outcome_reason="worse",
    )
    other = replace(earlier, id="x", service="search")
    measured = [MeasuredDeployment(deployment=each, impact=impact) for each in (earlier, other)]
    past = (*measured, MeasuredDeployment(deployment=earlier))
    found = causal_links(now, case(metrics=ALL, past=past))
    assert [(link.cause, link.seen_before) for link in found] == [("latency", 1)]


def test_a_cause_whose_order_is_unknown_leaves_the_one_before_it_unstated(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    vague = shift(LATENCY, 3)
    vague = replace(vague, onset_high=vague.onset + 6 * MINUTE)
    found = causal_links([shift(ERRORS, 1), vague, shift(SESSIONS, 7)], case(metrics=ALL))
    assert steps(found) == [("latency", "sessions", 0, True)]


def test_an_order_that_one_deployment_leaves_open_is_found_by_several(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    def vague(metric: Metric, minute: float) -> Shift:
        moved = shift(metric, minute)
        return replace(moved, onset_low=moved.onset - 3 * MINUTE, onset_high=moved.onset + 3 * MINUTE)

    now = (vague(LATENCY, 1), vague(SESSIONS, 5))
    past = []
    for day in (1, 2, 3):
        earlier = deploy(after=timedelta(days=-day), id=f"d{day}")
        impact = Impact(
            deployment_id=earlier.id,
            measured_at=earlier.started_at,
            shifts=now,
            outcome=Outcome.DEGRADATION,
            outcome_reason="worse",
        )
        past.append(MeasuredDeployment(deployment=earlier, impact=impact))
    assert steps(causal_links(now, case(metrics=ALL))) == [("latency", "sessions", 0, True)]
    (link,) = causal_links(now, case(metrics=ALL, past=tuple(past)))
    assert (link.together, link.lag, link.seen_before) == (False, 4 * MINUTE, 3)
    at_once = (vague(LATENCY, 1), vague(SESSIONS, 2))
    (still,) = causal_links(at_once, case(metrics=ALL, past=tuple(past)))
    assert still.together


def test_causes_that_are_all_declared_are_all_reported(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    mood = replace(MOOD, leads_to=("revenue",))
    metrics = (LATENCY, replace(SESSIONS, leads_to=("revenue",)), REVENUE, mood)
    found = causal_links([shift(SESSIONS, 5), shift(MOOD, 5), shift(REVENUE, 11)], case(metrics=metrics))
    assert ("sessions", "revenue", 6, False) in steps(found)
    assert ("mood", "revenue", 6, False) in steps(found)


def test_a_transient_takes_part_and_what_has_no_onset_does_not(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    spike = shift(LATENCY, 1, verdict=Attribution.TRANSIENT)
    creeping = shift(REVENUE, None, verdict=Attribution.GRADUAL)
    assert steps(causal_links([spike, shift(JOBS, 4), creeping], case(metrics=ALL))) == [("latency", "jobs", 3, False)]


def test_order_is_antisymmetric(shift: Callable[..., Shift]) -> None:
    first, second = shift(LATENCY, 1), shift(SESSIONS, 9)
    assert onset_order(first, second, MINUTE) == 1
    assert onset_order(second, first, MINUTE) == -1
    assert onset_order(first, replace(second, onset=None), MINUTE) == 0
