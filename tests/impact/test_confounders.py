"""Who else may have done it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from afdp_exporter.impact.confounders import attribute_between, joint_candidates
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import Attribution, Deployment, Impact, Layer, Metric, Outcome, Service, Shift, Status

MINUTE = timedelta(minutes=1)
START = datetime(2026, 3, 2, 14, 0, tzinfo=UTC)
OWN = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query='l{service="$service"}')
SHARED = Metric(name="errors", layer=Layer.TECHNICAL, query="errors")
REVENUE = Metric(name="revenue_usd_per_hour", layer=Layer.BUSINESS, query="r")


def rival(deploy: Callable[..., Deployment], minutes: float, **changes: object) -> Deployment:
    values = {"id": "d2", "service": "search", "version": "v7"} | changes
    return deploy(after=minutes * MINUTE, **values)


def report(name: str, *shifts: Shift) -> Impact:
    return Impact(deployment_id=name, measured_at=START, shifts=shifts, outcome=Outcome.SUCCESS, outcome_reason="")


def test_alone_it_keeps_the_blame(shift: Callable[..., Shift], case: Callable[..., AnalysisContext]) -> None:
    moved = shift(OWN, 1)
    blame = attribute_between([moved], case(metrics=(OWN,)))
    assert blame.shifts == (moved,)
    assert blame.rivals == ()


def test_one_that_came_after_the_onset_has_no_share(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    blame = attribute_between([shift(SHARED, 1)], case(metrics=(SHARED,), others=(rival(deploy, 3),)))
    assert blame.shifts[0].verdict is Attribution.ATTRIBUTED
    assert blame.rivals == ()


def test_a_rival_right_before_the_onset_is_named_and_this_one_is_not_blamed(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    blame = attribute_between([shift(SHARED, 8)], case(metrics=(SHARED,), others=(rival(deploy, 7),)))
    assert blame.shifts[0].verdict is Attribution.NO_EFFECT
    assert blame.shifts[0].reason.startswith("search v7 at 2026-03-02 14:07 UTC explains it better")
    assert blame.rivals[0].deployment_id == "d2"
    assert blame.rivals[0].share_ratio > 0.7


def test_at_the_same_minute_a_shared_metric_tells_nobody_apart_and_names_who_it_is(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    blame = attribute_between([shift(SHARED, 1)], case(metrics=(SHARED,), others=(rival(deploy, 0),)))
    assert blame.shifts[0].verdict is Attribution.NOT_DISTINGUISHABLE
    assert "not told apart from search v7 at 2026-03-02 14:00 UTC" in blame.shifts[0].reason
    assert blame.rivals[0].share_ratio == pytest.approx(0.5)
    assert blame.shifts[0].attribution_ratio == pytest.approx(0.45)


def test_what_has_no_onset_tells_nobody_apart(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    creeping = shift(SHARED, None, verdict=Attribution.GRADUAL)
    blame = attribute_between([creeping], case(metrics=(SHARED,), others=(rival(deploy, -3),)))
    assert blame.shifts[0].verdict is Attribution.NOT_DISTINGUISHABLE
    assert blame.rivals[0].share_ratio == pytest.approx(0.5)


def test_a_metric_of_its_own_service_speaks_against_it_and_a_called_service_shares_more_than_a_stranger(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    services = {"checkout": Service(name="checkout", depends_on=("payment",)), "payment": Service(name="payment")}
    shares = {}
    for service in ("search", "payment", "checkout"):
        others = (rival(deploy, 0, service=service),)
        blame = attribute_between([shift(OWN, 1)], case(metrics=(OWN,), others=others, services=services))
        shares[service] = blame.rivals[0].share_ratio
    assert shares["search"] < shares["payment"] < shares["checkout"]
    assert shares["checkout"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    "changes", [{"environment": "staging"}, {"status": Status.PLANNED}, {"status": Status.CANCELLED}, {"id": "d1"}]
)
def test_what_did_not_go_out_here_is_no_rival(
    shift: Callable[..., Shift],
    case: Callable[..., AnalysisContext],
    deploy: Callable[..., Deployment],
    changes: dict[str, object],
) -> None:
    others = (rival(deploy, 0, **changes),)
    assert attribute_between([shift(SHARED, 1)], case(metrics=(SHARED,), others=others)).rivals == ()


def test_what_followed_shares_the_blame_of_its_cause(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    scene = case(metrics=(OWN, REVENUE), others=(rival(deploy, 10),))
    blame = attribute_between([shift(OWN, 1), shift(REVENUE, 12)], scene)
    assert [entry.verdict for entry in blame.shifts] == [Attribution.ATTRIBUTED] * 2


def test_money_that_moved_while_the_service_itself_did_not_speaks_for_the_rival(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    quiet = shift(OWN, None, verdict=Attribution.NO_EFFECT)
    shares = []
    for theirs in (shift(OWN, -3), quiet, None):
        reports = {} if theirs is None else {"d2": report("d2", theirs)}
        scene = case(metrics=(OWN, REVENUE), others=(rival(deploy, -4),), known_impacts=reports)
        shares.append(attribute_between([quiet, shift(REVENUE, 6)], scene).rivals[0].share_ratio)
    moved, neither, unknown = shares
    assert neither == pytest.approx(unknown)
    assert neither < 0.5 < moved


def test_a_return_after_the_rollback_raises_the_certainty_and_settles_who_it_was(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    rollback = deploy(after=40 * MINUTE, id="d3", version="v2.0.9")
    back = shift(SHARED, 1, recovered_at=rollback.started_at + MINUTE)
    alone = attribute_between([back], case(metrics=(SHARED,), others=(rollback,))).shifts[0]
    assert alone.attribution_ratio == pytest.approx(0.95)
    assert alone.reason.endswith("it returned after the rollback")
    others = (rival(deploy, 0), rollback)
    contested = attribute_between([back], case(metrics=(SHARED,), others=others)).shifts[0]
    assert contested.verdict is Attribution.ATTRIBUTED
    before = replace(back, recovered_at=rollback.started_at - 10 * MINUTE)
    unsettled = attribute_between([before], case(metrics=(SHARED,), others=others)).shifts[0]
    assert unsettled.verdict is Attribution.NOT_DISTINGUISHABLE


@pytest.mark.parametrize(
    ("minute", "verdict"),
    [(4, Attribution.TRANSIENT), (15, Attribution.ATTRIBUTED)],
    ids=["a blip of its own that passed", "a shift of its own that came after"],
)
def test_what_does_not_explain_a_lasting_loss_does_not_put_it_down_to_this_deployment(
    shift: Callable[..., Shift],
    case: Callable[..., AnalysisContext],
    deploy: Callable[..., Deployment],
    minute: float,
    verdict: Attribution,
) -> None:
    others, reports = (rival(deploy, 3),), {"d2": report("d2", shift(OWN, 4))}
    loss = shift(REVENUE, 6)
    scene = case(metrics=(OWN, REVENUE), others=others, known_impacts=reports)
    blame = attribute_between([shift(OWN, minute, verdict=verdict), loss], scene)
    assert blame.shifts[1].verdict is Attribution.NO_EFFECT
    explained = attribute_between([shift(OWN, 3), loss], case(metrics=(OWN, REVENUE), others=others))
    assert explained.shifts[1].verdict is Attribution.ATTRIBUTED


def test_a_long_tail_of_an_onset_on_one_side_takes_nothing_from_the_other(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    onset = shift(SHARED, 0)
    assert onset.onset
    tailed = replace(onset, onset_low=onset.onset - MINUTE, onset_high=onset.onset + 6 * MINUTE)
    blame = attribute_between([tailed], case(metrics=(SHARED,), others=(rival(deploy, 3),)))
    assert blame.shifts[0].verdict is Attribution.ATTRIBUTED


def test_a_row_is_the_same_seen_from_each_of_its_deployments(
    case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    members = [rival(deploy, minutes, id=f"d{minutes}") for minutes in (0, 12, 25)]
    far = rival(deploy, 90, id="far")
    rows = []
    for number, one in enumerate(members):
        others = (*members[:number], *members[number + 1 :], far)
        rows.append(joint_candidates(case(deployment=one, metrics=(SHARED,), others=others), SHARED.name))
    assert rows[0] == rows[1] == rows[2] == tuple(members)


def test_a_metric_of_one_service_has_no_row_with_strangers(
    case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    scene = case(metrics=(OWN,), others=(rival(deploy, 3),), per_service=frozenset({OWN.name}))
    assert joint_candidates(scene, OWN.name) == (scene.deployment,)


def test_too_many_at_once_are_each_judged_by_itself(
    case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    others = tuple(rival(deploy, minutes, id=f"d{minutes}") for minutes in range(3, 10))
    scene = case(metrics=(SHARED,), others=others)
    assert joint_candidates(scene, SHARED.name) == (scene.deployment,)


def test_a_rate_shows_a_step_late_and_puts_it_down_to_nobody_sooner(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    scene = case(metrics=(SHARED,), others=(rival(deploy, 4),))
    plain = attribute_between([shift(SHARED, 5)], scene).shifts[0]
    assert "search v7 at 2026-03-02 14:04 UTC explains it better" in plain.reason
    smoothed = replace(scene, rate_windows={SHARED.name: 5 * MINUTE})
    assert attribute_between([shift(SHARED, 5)], smoothed).shifts[0].verdict is Attribution.NOT_DISTINGUISHABLE
    assert attribute_between([shift(SHARED, 2)], smoothed).shifts[0].verdict is Attribution.ATTRIBUTED


def test_what_nothing_of_its_own_explains_is_put_down_to_it_only_once_the_rivals_report_is_known(
    shift: Callable[..., Shift], case: Callable[..., AnalysisContext], deploy: Callable[..., Deployment]
) -> None:
    scene = case(metrics=(OWN, REVENUE), others=(rival(deploy, -9),))
    quiet, loss = shift(OWN, None, verdict=Attribution.NO_EFFECT), shift(REVENUE, 2)
    unknown = attribute_between([quiet, loss], scene)
    assert unknown.shifts[1].verdict is Attribution.NOT_DISTINGUISHABLE
    known = replace(scene, known_impacts={"d2": report("d2", quiet)})
    shared = attribute_between([quiet, loss], known)
    assert shared.rivals[0].share_ratio == pytest.approx(unknown.rivals[0].share_ratio)
    settled = replace(scene, known_impacts={"d2": report("d2", shift(OWN, -8))})
    assert attribute_between([quiet, loss], settled).shifts[1].verdict is not Attribution.ATTRIBUTED
