"""What became of a deployment, and DORA's measures of stability."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from scipy.stats import binomtest

from afdp_exporter.impact.context import AnalysisContext, ImpactSettings
from afdp_exporter.impact.outcome import decide, remedy, stability, wilson
from afdp_exporter.model import (
    Attribution,
    CalendarEntry,
    CalendarEntryKind,
    Deployment,
    Impact,
    Layer,
    MeasuredDeployment,
    Metric,
    Outcome,
    Shift,
    ShiftState,
    Status,
    Worse,
)

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query="l", worse=Worse.UP)
ERRORS = Metric(name="error_ratio", layer=Layer.TECHNICAL, query="e", worse=Worse.UP)
SESSIONS = Metric(name="sessions", layer=Layer.USER, query="s", worse=Worse.DOWN)
COSTS = Metric(name="infra_cost_usd_per_hour", layer=Layer.BUSINESS, query="c", worse=Worse.UP)
CPU = Metric(name="cpu_ratio", layer=Layer.SYSTEM, query="u", worse=Worse.UP)
REPLICAS = Metric(name="replicas", layer=Layer.SYSTEM, query="r")


@pytest.fixture
def measure(shift: Callable[..., Shift]) -> Callable[..., MeasuredDeployment]:
    """A deployment that was measured: an outcome, and when its one worse metric was back."""

    def make(deployment: Deployment, outcome: Outcome, recovered: timedelta | None = None) -> MeasuredDeployment:
        back = None if recovered is None else deployment.started_at + recovered
        impact = Impact(
            deployment_id=deployment.id,
            measured_at=deployment.started_at + DAY,
            shifts=(shift(LATENCY, 1, 0.1, recovered_at=back),) if outcome is Outcome.FAILURE else (),
            outcome=outcome,
            outcome_reason="as measured",
        )
        return MeasuredDeployment(deployment=deployment, impact=impact)

    return make


def test_nothing_worse_is_a_success_that_names_what_is_better(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    quiet = shift(SESSIONS, None, verdict=Attribution.NO_EFFECT)
    better = shift(LATENCY, 1, -0.1)
    decision = decide([quiet, better], case())
    assert decision.outcome is Outcome.SUCCESS
    assert decision.reason == "none of 2 primary metrics is worse, better: latency_seconds"


INCIDENT = CalendarEntryKind.INCIDENT
OWN = ("checkout",)


@pytest.mark.parametrize(
    ("minutes", "words", "outcome"),
    [
        (4, {"kind": INCIDENT, "services": OWN}, Outcome.DEGRADATION),
        (4, {"kind": INCIDENT}, Outcome.SUCCESS),  # of nobody in particular
        (4, {"kind": INCIDENT, "services": ("search",)}, Outcome.SUCCESS),
        (4, {"kind": CalendarEntryKind.SALE, "services": OWN}, Outcome.SUCCESS),
        (-4, {"kind": INCIDENT, "services": OWN}, Outcome.SUCCESS),  # it was there before
        (400, {"kind": INCIDENT, "services": OWN}, Outcome.SUCCESS),
    ],
)
def test_an_incident_of_the_service_that_begins_soon_after_is_evidence(
    shift: Callable[..., Shift],
    case: Callable[..., AnalysisContext],
    minutes: int,
    words: dict[str, Any],
    outcome: Outcome,
) -> None:
    began = case().deployment.started_at + timedelta(minutes=minutes)
    alert = CalendarEntry(name="HighErrors", start=began, end=began + HOUR, **words)
    decision = decide([shift(SESSIONS, None, verdict=Attribution.NO_EFFECT)], case(calendar=(alert,)))
    assert decision.outcome is outcome
    assert ("HighErrors" in decision.reason) is (outcome is Outcome.DEGRADATION)


@pytest.mark.parametrize(
    ("moved", "outcome"),
    [
        ((LATENCY, 0.1, {"change_ratio": 0.3}), Outcome.DEGRADATION),
        ((LATENCY, 0.1, {"change_ratio": 0.5}), Outcome.FAILURE),
        ((SESSIONS, -9.0, {"change_ratio": -0.1}), Outcome.DEGRADATION),
        ((SESSIONS, -9.0, {"change_ratio": -0.2}), Outcome.FAILURE),
        ((COSTS, 9.0, {"change_ratio": 0.9}), Outcome.DEGRADATION),
        ((CPU, 0.3, {"change_ratio": 2.0}), Outcome.DEGRADATION),
        ((ERRORS, 0.03, {"change_ratio": 4.0}), Outcome.DEGRADATION),
        ((ERRORS, 0.12, {"change_ratio": 0.2}), Outcome.FAILURE),
        ((LATENCY, 0.4, {"change_ratio": 2.0, "verdict": Attribution.TRANSIENT}), Outcome.DEGRADATION),
        ((LATENCY, 0.1, {"verdict": Attribution.GRADUAL}), Outcome.DEGRADATION),
        ((REPLICAS, 3.0, {"change_ratio": 0.7}), Outcome.SUCCESS),
        ((LATENCY, 0.1, {"verdict": Attribution.NOT_DISTINGUISHABLE}), Outcome.UNKNOWN),
        ((LATENCY, 0.1, {"verdict": Attribution.INSUFFICIENT_HISTORY}), Outcome.UNKNOWN),
        ((LATENCY, 0.1, {"verdict": Attribution.INCONCLUSIVE, "ruled_out": False}), Outcome.UNKNOWN),
        ((LATENCY, -0.1, {"verdict": Attribution.INCONCLUSIVE}), Outcome.SUCCESS),
        ((LATENCY, 0.1, {"verdict": Attribution.NO_EFFECT, "ruled_out": False}), Outcome.UNKNOWN),
        ((LATENCY, 0.1, {"verdict": Attribution.NO_EFFECT, "ruled_out": True}), Outcome.SUCCESS),
        ((replace(LATENCY, primary=False), 0.1, {"change_ratio": 0.9}), Outcome.UNKNOWN),
    ],
)
def test_the_rule_goes_by_direction_severity_and_what_lasts(
    shift: Callable[..., Shift],
    case: Callable[..., AnalysisContext],
    moved: tuple[Metric, float, dict[str, object]],
    outcome: Outcome,
) -> None:
    metric, change, changes = moved
    assert decide([shift(metric, 1, change, **changes)], case()).outcome is outcome


def test_the_rules_limits_are_settings(shift: Callable[..., Shift], case: Callable[..., AnalysisContext]) -> None:
    worse = shift(LATENCY, 1, 0.1, change_ratio=0.3)
    strict = case(settings=ImpactSettings(severe_ratio=0.2))
    assert decide([worse], strict).outcome is Outcome.FAILURE


@pytest.mark.parametrize(
    ("change", "size", "outcome"),
    [(0.4, 1.0, Outcome.DEGRADATION), (5.0, 1.0, Outcome.FAILURE), (0.4, 0.2, Outcome.FAILURE)],
)
def test_from_a_level_of_zero_a_rise_is_severe_by_its_size(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], change: float, size: float, outcome: Outcome
) -> None:
    errors = replace(LATENCY, name="errors_per_second")
    worse = shift(errors, 1, change, before=0.0, after=change, change_ratio=None)
    assert decide([worse], case(settings=ImpactSettings(severe_from_zero=size))).outcome is outcome


def test_what_was_not_measured_is_unknown_and_what_is_doubtful_is_named(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    doubtful = shift(LATENCY, None, -1.0, verdict=Attribution.INCONCLUSIVE)
    assert decide([doubtful], case()).reason.endswith("doubtful: latency_seconds")
    assert decide([replace(doubtful, change=None)], case()).outcome is Outcome.UNKNOWN


def test_what_is_doubtful_in_the_harmful_direction_is_unknown_and_says_what_cannot_be_ruled_out(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    doubtful = shift(LATENCY, None, 0.018, low=0.013, high=0.023, verdict=Attribution.INCONCLUSIVE, ruled_out=False)
    decision = decide([doubtful], case())
    assert decision.outcome is Outcome.UNKNOWN
    assert decision.reason == "cannot be ruled out: latency may have risen by 13 to 23 ms"
    assert decide([replace(doubtful, ruled_out=True)], case()).outcome is Outcome.SUCCESS


def test_harm_is_reported_even_where_other_metrics_could_not_be_judged(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    missing = shift(SESSIONS, None, verdict=Attribution.INSUFFICIENT_HISTORY)
    assert decide([missing, shift(LATENCY, 1, 0.1)], case()).outcome is Outcome.DEGRADATION
    assert decide([], case()).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("status", [Status.FAILED, Status.ROLLED_BACK])
def test_what_its_sender_calls_failed_is_a_failure(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment], status: Status
) -> None:
    quiet = shift(LATENCY, None, verdict=Attribution.NO_EFFECT)
    decision = decide([quiet], case(deployment=deploy(status=status)))
    assert (decision.outcome, decision.label_source) == (Outcome.FAILURE, "rollback")


@pytest.mark.parametrize(
    ("changes", "is_remedy"),
    [
        ({"version": "v2.0.9"}, True),
        ({"version": "v2.1.1", "description": "Hotfix: wrong currency"}, True),
        ({"version": "v2.1.1", "description": 'Revert "Faster cart"'}, True),
        ({"version": "v2.1.1", "traits": {"hotfix": True}}, True),
        ({"version": "v2.1.1-hotfix.1"}, True),
        ({"version": "v2.2.0", "description": "new cart"}, False),
        ({"version": "v2.1.1", "traits": {"hotfix": False}}, False),
        ({"version": "v2.0.9", "service": "search"}, False),
        ({"version": "v2.0.9", "environment": "staging"}, False),
        ({"version": "v2.0.9", "status": Status.PLANNED}, False),
        ({"version": "v2.0.9", "after": timedelta(hours=25)}, False),
        ({"version": "v2.0.9", "after": -HOUR}, False),
        ({"version": None}, False),
    ],
)
def test_a_rollback_or_hotfix_within_a_day_is_a_sign_of_failure(
    deploy: Callable[..., Deployment],
    shift: Callable[..., Shift],
    case: Callable[..., AnalysisContext],
    changes: dict[str, object],
    is_remedy: bool,
) -> None:
    later = deploy(**({"id": "d2", "after": 3 * HOUR} | changes))
    assert (remedy(deploy(), [later], DAY) is later) is is_remedy
    quiet = shift(LATENCY, None, verdict=Attribution.NO_EFFECT)
    expected = Outcome.FAILURE if is_remedy else Outcome.SUCCESS
    assert decide([quiet], case(others=(later,))).outcome is expected


def test_a_humans_label_is_what_people_see_and_says_that_it_is_one(
    deploy: Callable[..., Deployment], measure: Callable[..., MeasuredDeployment]
) -> None:
    measured = measure(deploy(), Outcome.DEGRADATION)
    assert measured.decision.label_source == "rule"
    labelled = replace(measured.deployment, labelled_outcome=Outcome.SUCCESS, note="expected, a migration")
    decision = replace(measured, deployment=labelled).decision
    assert (decision.outcome, decision.label_source) == (Outcome.SUCCESS, "human")
    assert decision.reason == "expected, a migration"
    assert MeasuredDeployment(deployment=deploy()).decision.outcome is Outcome.UNKNOWN


def test_what_its_sender_says_later_is_shown_at_once(
    deploy: Callable[..., Deployment], measure: Callable[..., MeasuredDeployment]
) -> None:
    measured = measure(deploy(), Outcome.DEGRADATION)
    reverted_by = replace(measured, deployment=replace(measured.deployment, status=Status.ROLLED_BACK))
    decision = reverted_by.decision
    assert (decision.outcome, decision.label_source) == (Outcome.FAILURE, "rollback")
    assert decision.reason == "it was rolled back"


def test_dora_counts_failures_and_remedied_degradations_and_leaves_the_unknown_out(
    deploy: Callable[..., Deployment], measure: Callable[..., MeasuredDeployment]
) -> None:
    week = timedelta(days=7)
    fix = {"version": "v2.0.9", "finished_at": deploy(after=week + 3 * HOUR).started_at}
    records = [
        measure(deploy(id="good"), Outcome.SUCCESS),
        measure(deploy(id="bad", after=week), Outcome.DEGRADATION),
        measure(deploy(id="fix", after=week + 2 * HOUR, **fix), Outcome.SUCCESS),
        measure(deploy(id="worse", after=2 * week), Outcome.FAILURE, recovered=HOUR),
        measure(deploy(id="lasting", after=3 * week), Outcome.FAILURE),
        measure(deploy(id="slow", after=4 * week), Outcome.DEGRADATION),
        measure(deploy(id="new", after=5 * week), Outcome.UNKNOWN),
    ]
    figures = stability(records)
    assert (figures.deployments, figures.failures) == (6, 3)
    assert figures.change_failure_ratio is not None
    assert figures.change_failure_ratio.median == 0.5
    assert figures.time_to_restore == 3 * HOUR


def test_without_known_outcomes_dora_says_nothing() -> None:
    figures = stability([])
    assert (figures.deployments, figures.change_failure_ratio, figures.time_to_restore) == (0, None, None)


@pytest.mark.parametrize(("count", "total"), [(0, 7), (3, 40), (20, 40), (9, 9)])
def test_wilsons_interval_is_that_of_scipy(count: int, total: int) -> None:
    expected = binomtest(count, total).proportion_ci(confidence_level=0.9, method="wilson")
    found = wilson(count, total)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-4)


@pytest.mark.parametrize(("count", "total"), [(0, 3), (3, 3), (2, 10), (50, 100)])
def test_wilsons_interval_holds_the_share_and_stays_between_nought_and_one(count: int, total: int) -> None:
    share = wilson(count, total)
    assert 0.0 <= share.low <= share.median <= share.high <= 1.0
    assert share.low < share.high


def _at(deploy: Callable[..., Deployment], hours: float, version: str, previous: str, **changes: object) -> Deployment:
    return deploy(id=version, after=hours * HOUR, version=version, previous_version=previous, **changes)


def test_a_rollback_marks_the_version_that_it_leaves_and_not_its_neighbours(deploy: Callable[..., Deployment]) -> None:
    first, second = _at(deploy, 0, "v1", "v0"), _at(deploy, 2, "v2", "v1")
    third = _at(deploy, 4, "v3", "v2")
    back = deploy(id="back", after=5 * HOUR, version="v2", previous_version="v3")
    named = deploy(id="named", after=5 * HOUR, version=None, previous_version="v3", traits={"rollback": True})
    for rollback in (back, named):
        every = (first, second, third, rollback)
        assert [remedy(each, every, DAY) for each in every] == [None, None, rollback, None]


def test_a_rollback_over_two_versions_takes_both_back(deploy: Callable[..., Deployment]) -> None:
    first, second = _at(deploy, 0, "v1", "v0"), _at(deploy, 2, "v2", "v1")
    back = deploy(id="back", after=3 * HOUR, version="v0", previous_version="v2")
    assert [remedy(each, (first, second, back), DAY) for each in (first, second)] == [back, back]


def test_what_goes_forward_again_after_a_rollback_does_not_take_the_rollback_back(
    deploy: Callable[..., Deployment],
) -> None:
    bad, back = _at(deploy, 0, "v2", "v1"), deploy(id="back", after=HOUR, version="v1", previous_version="v2")
    again = deploy(id="again", after=2 * HOUR, version="v2", previous_version="v1")
    hotfix = _at(deploy, 3, "v3", "v2", traits={"hotfix": True})
    every = (bad, back, again, hotfix)
    assert remedy(bad, every, DAY) is back
    assert remedy(back, every, DAY) is None


def test_a_rollback_that_its_sender_calls_rolled_back_is_no_failure(
    deploy: Callable[..., Deployment], shift: Callable[..., Shift], case: Callable[..., AnalysisContext]
) -> None:
    rollback = deploy(status=Status.ROLLED_BACK, traits={"rollback": True})
    quiet = shift(LATENCY, None, verdict=Attribution.NO_EFFECT)
    assert decide([quiet], case(deployment=rollback)).outcome is Outcome.SUCCESS


def test_a_hotfix_marks_the_deployment_whose_harm_it_came_for(
    deploy: Callable[..., Deployment],
    shift: Callable[..., Shift],
    case: Callable[..., AnalysisContext],
    measure: Callable[..., MeasuredDeployment],
) -> None:
    earlier = _at(deploy, -3, "v2.0.9", "v2.0.8")
    hotfix = _at(deploy, 1, "v2.1.1", "v2.1.0", traits={"hotfix": True})
    quiet, slow = shift(LATENCY, None, verdict=Attribution.NO_EFFECT), shift(LATENCY, 1, 0.1)
    around = {"others": (earlier, hotfix)}
    harmed = measure(earlier, Outcome.FAILURE)
    assert decide([quiet], case(**around)).outcome is Outcome.FAILURE
    assert decide([quiet], case(**around, past=(harmed,))).outcome is Outcome.SUCCESS
    assert decide([slow], case(**around, past=(harmed,))).outcome is Outcome.FAILURE
    ended = replace(slow, state=ShiftState.RECOVERED, ended_by=hotfix.id)
    late = replace(case(**around, deployment=earlier), others=(deploy(), hotfix))
    assert decide([slow], late).outcome is Outcome.DEGRADATION
    assert decide([ended], late).outcome is Outcome.FAILURE
