"""What automation was worth and what it cost, as it is counted."""

from dataclasses import replace

from prometheus_client import CollectorRegistry

from afdp_exporter.automation.ledger import Ledger
from afdp_exporter.metrics.gate import Gate
from afdp_exporter.model import Action, ActionState
from gated import NOON

PLACE = {"service": "checkout", "environment": "production", "currency": "USD"}


def rolled_back(number: int, state: ActionState, *, prevented: float | None = None) -> Action:
    return Action(
        id=f"a{number}", deployment_id=f"d{number}", service="checkout", environment="production", kind="rollback",
        executor="cluster", state=state, level=5, reason="slower", decided_at=NOON, prevented=prevented, spent=10.0,
        currency="USD",
    )  # fmt: skip


def test_each_rollback_is_booked_once_with_whether_it_helped() -> None:
    registry = CollectorRegistry()
    gate, ledger = Gate(registry, registry), Ledger()
    for each in (
        rolled_back(1, ActionState.VERIFIED, prevented=100.0),
        rolled_back(2, ActionState.VERIFIED, prevented=0.0),
        rolled_back(3, ActionState.NOT_EFFECTIVE),
    ):
        gate.booked(each, ledger.book(each))
        gate.booked(each, ledger.book(each))  # after a start all are reported again
    assert registry.get_sample_value("afdp_prevented_cost_total", PLACE) == 100.0
    for reason, cost in (("rollback", 20.0), ("wrong_rollback", 10.0)):
        assert registry.get_sample_value("afdp_automation_cost_total", PLACE | {"reason": reason}) == cost


def test_a_hold_costs_its_wait_and_what_a_person_calls_wrong_is_added_to_the_cost() -> None:
    registry = CollectorRegistry()
    gate, ledger = Gate(registry, registry), Ledger()
    right = replace(rolled_back(1, ActionState.VERIFIED, prevented=100.0), kind="hold", executor="gate")
    wrong = replace(right, id="a2", state=ActionState.NOT_EFFECTIVE, prevented=None)
    back = rolled_back(3, ActionState.VERIFIED, prevented=40.0)
    for each in (right, wrong, back, replace(right, corrected=100.0), replace(back, corrected=40.0)):
        gate.booked(each, ledger.book(each))
    assert registry.get_sample_value("afdp_prevented_cost_total", PLACE) == 140.0
    for reason, cost in (("delay", 10.0), ("wrong_hold", 110.0), ("rollback", 10.0), ("wrong_rollback", 40.0)):
        assert registry.get_sample_value("afdp_automation_cost_total", PLACE | {"reason": reason}) == cost
    (worth,) = ledger.worth.values()
    assert (worth.prevented, worth.spent, worth.net) == (140.0, 170.0, -30.0)


def test_a_hold_is_no_step_of_an_executor() -> None:
    registry = CollectorRegistry()
    gate, ledger = Gate(registry, registry), Ledger()
    hold = replace(rolled_back(1, ActionState.NOT_EFFECTIVE), kind="hold", executor="gate")
    gate.booked(hold, ledger.book(hold))
    assert not [sample for family in gate.collect() for sample in family.samples if "action_timestamp" in sample.name]
