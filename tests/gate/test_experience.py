"""What a service's earlier harm teaches the decision, held to histories whose answer is known."""

from dataclasses import replace
from datetime import timedelta

import pytest

from afdp_exporter.gate.decision import GateInput, decide
from afdp_exporter.gate.experience import Experience, learned
from afdp_exporter.gate.settings import GateSettings
from afdp_exporter.model import Cost, Deployment, Estimate, MeasuredDeployment, Outcome, Phase, ShiftState
from gated import MINUTE, NOON, deployment, impact

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def harmful(number: int, lasted: timedelta, *, over: bool = True) -> MeasuredDeployment:
    found = impact(Outcome.FAILURE, deployment_id=f"d{number}")
    since = NOON + number * DAY
    state, back = (ShiftState.RECOVERED, since + lasted) if over else (ShiftState.ACTIVE, None)
    shift = replace(found.shifts[0], onset=since, state=state, recovered_at=back, as_of=since + lasted)
    return MeasuredDeployment(deployment=at(number), impact=replace(found, shifts=(shift,)))


def rollback(number: int, total: float | None) -> MeasuredDeployment:
    money = Estimate(low=0.0, median=total or 0.0, high=2 * abs(total or 0.0))
    costs = () if total is None else (Cost(currency="USD", per_hour=money, total=money),)
    found = replace(impact(Outcome.SUCCESS, deployment_id=f"d{number}"), costs=costs)
    return MeasuredDeployment(deployment=at(number, traits={"rollback": True}), impact=found)


def at(number: int, **words: object) -> Deployment:
    when = NOON + number * DAY
    return deployment(f"d{number}", started_at=when, finished_at=when, version=f"v{number}", **words)


def test_harm_lasts_as_long_as_in_the_median_of_what_no_automation_took_back() -> None:
    past = [harmful(n, n * HOUR) for n in (1, 2, 3)] + [harmful(9, MINUTE)]
    found = learned(past, {"d9"})
    assert (found.repair_time, found.repairs) == (2 * HOUR, 3)
    assert learned(past[:2], set()).repair_time is None  # too few


def test_what_goes_on_counts_as_long_as_it_has_lasted_so_far() -> None:
    past = [harmful(1, HOUR), harmful(2, 24 * HOUR, over=False), harmful(3, 2 * HOUR)]
    assert learned(past, set()).repair_time == 2 * HOUR


def test_a_rollback_costs_what_earlier_ones_did_and_is_redone_as_late() -> None:
    past = [rollback(1, 90.0), harmful(2, HOUR), rollback(3, None), harmful(6, HOUR), rollback(7, -50.0), at_rest(9)]
    found = learned(past, set())
    assert (found.rollback_cost("USD"), found.rollback_cost("EUR"), found.rollbacks) == (0.0, 0.0, 3)
    assert found.redo_time == 2 * DAY
    dear = learned([rollback(n, 40.0 * n) for n in (1, 2, 3)], set())
    assert dear.rollback_cost("USD") == 80.0
    assert learned(past[:3], set()).rollback_cost("USD") is None


def at_rest(number: int) -> MeasuredDeployment:
    return MeasuredDeployment(deployment=at(number), impact=impact(Outcome.SUCCESS, deployment_id=f"d{number}"))


@pytest.mark.parametrize(
    ("settings", "experience", "figures", "back", "said"),
    [
        (GateSettings(rollback_cost=30.0), Experience(), (100.0, 30.0), True, "1 hour (assumed)"),
        (
            GateSettings(rollback_cost=30.0), Experience(repair_time=6 * MINUTE, repairs=7), (10.0, 30.0), False,
            "6 minutes (median, n = 7)",
        ),
        (
            GateSettings(), Experience(rollback_costs={"USD": 300.0}, rollbacks=4), (100.0, 300.0), False,
            "a rollback costs $300 (median, n = 4)",
        ),
        (
            GateSettings(rollback_cost=30.0), Experience(rollback_costs={"USD": 300.0}, rollbacks=4), (100.0, 30.0),
            True,
            "$30 (as configured)",
        ),
    ],
)  # fmt: skip
def test_the_three_figures_rest_on_what_was_learned_and_the_reason_says_of_how_many(
    settings: GateSettings, experience: Experience, figures: tuple[float, float], back: bool, said: str
) -> None:
    harm = replace(impact(Outcome.DEGRADATION, cost=100.0), shifts=())
    asked = GateInput(
        deployment=deployment(), phase=Phase.POST, now=NOON, outcome=Outcome.DEGRADATION, impact=harm,
        experience=experience,
    )  # fmt: skip
    found = decide(asked, settings)
    assert found.expected_loss is not None
    assert (found.expected_loss.promote, found.expected_loss.rollback) == pytest.approx(figures, rel=0.01)
    (rule,) = [each for each in found.rules if each.name == "expected_loss"]
    assert said in rule.reason
    assert (rule.status == "fail") is back


def test_a_delay_costs_as_long_as_it_takes_to_deploy_again() -> None:
    settings = GateSettings(delay_cost_per_hour=10.0)
    asked = GateInput(
        deployment=deployment(), phase=Phase.POST, now=NOON, outcome=Outcome.DEGRADATION,
        impact=impact(Outcome.DEGRADATION, cost=100.0), experience=Experience(redo_time=5 * HOUR),
    )  # fmt: skip
    losses = decide(asked, settings).expected_loss
    assert losses is not None
    assert losses.rollback == pytest.approx(50.0)
