"""Some days in short: counts, money with its range, the worst first."""

from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.impact.digest import digest, digest_text
from afdp_exporter.model import Cost, Deployment, Estimate, Impact, MeasuredDeployment, Outcome, ShiftState
from tests.impact.conftest import START
from tests.receivers import degradation

WEEK = timedelta(days=7)
END = START + timedelta(hours=3)


def deployed(name: str, at: datetime = START) -> Deployment:
    return Deployment(
        id=name, service="checkout", environment="production", version=name, started_at=at, received_at=at
    )


def known(
    name: str, outcome: Outcome, lost: float = 0.0, *, state: ShiftState = ShiftState.RECOVERED
) -> MeasuredDeployment:
    like = degradation(state)
    total = Estimate(low=0.5 * lost, median=lost, high=2 * lost)
    impact = Impact(
        deployment_id=name, measured_at=END, outcome=outcome, outcome_reason="as measured",
        shifts=like.shifts if outcome in {Outcome.DEGRADATION, Outcome.FAILURE} else (),
        costs=(Cost(currency="USD", per_hour=total, total=total, ended=state is ShiftState.RECOVERED),) if lost else (),
    )  # fmt: skip
    return MeasuredDeployment(deployment=deployed(name), impact=impact)


def test_it_says_how_many_did_harm_what_that_cost_and_what_goes_on() -> None:
    measured = [
        known("v1", Outcome.SUCCESS),
        known("v2", Outcome.DEGRADATION, 100),
        known("v3", Outcome.DEGRADATION, 900),
        known("v4", Outcome.FAILURE, 50, state=ShiftState.ACTIVE),
    ]
    begun = [each.deployment for each in measured] + [deployed("v5")]
    found = digest(begun, measured, start=END - WEEK, end=END)
    assert [each.deployment.id for each in found.harmful] == ["v4", "v3", "v2"]
    assert [each.deployment.id for each in found.going_on] == ["v4"]
    assert found.lost == {"USD": Estimate(low=525, median=1050, high=2100)}
    lines = digest_text(found, lambda name: f"https://afdp.example.org/deployments/{name}").splitlines()
    assert lines[:3] == [
        "Deployments from Mon 23 Feb 2026, 17:00 UTC to Mon 02 Mar 2026, 17:00 UTC",
        "5 in all: failure 1, degradation 2, no harm 1, unknown 1.",
        "Lost so far: $1,000 [$500, $2,100].",
    ]
    assert lines[3:5] == ["", "Harm that goes on"]
    assert lines[5].startswith("- checkout v4 (2026-03-02 14:00 UTC): failure")
    assert lines[6] == "  https://afdp.example.org/deployments/v4"
    assert lines[7:9] == ["", "Harm that is over"]
    assert [line for line in lines if "v4 (" in line] == [lines[5]]


def test_harm_that_began_before_and_goes_on_is_named_and_not_counted() -> None:
    old = known("v1", Outcome.FAILURE, 10, state=ShiftState.ACTIVE)
    found = digest([old.deployment], [old], start=START + timedelta(hours=1), end=END)
    assert (found.deployments, found.lost, len(found.harmful)) == (0, {}, 0)
    assert [each.deployment.id for each in found.going_on] == ["v1"]


def test_a_quiet_week_is_two_lines() -> None:
    found = digest([], [], start=END - WEEK, end=END)
    assert digest_text(found, lambda _: None).splitlines()[1:] == ["0 in all."]


@given(st.lists(st.sampled_from(Outcome), max_size=30))
def test_every_deployment_is_counted_once_and_no_more_than_ten_are_named(outcomes: list[Outcome]) -> None:
    measured = [known(f"v{place}", outcome, 1.0 + place) for place, outcome in enumerate(outcomes)]
    found = digest([each.deployment for each in measured], measured, start=END - WEEK, end=END)
    assert sum(found.outcomes.values()) == found.deployments == len(outcomes)
    assert digest_text(found, lambda _: None).count("\n- checkout") == min(len(found.harmful), 10)
