"""What automation was worth so far: what the metrics count, and what the page of the gate shows."""

from dataclasses import dataclass, field, replace

from afdp_exporter.model import HOLD, ROLLBACK, Action, ActionState, Booking, Worth

_REASONS = {ROLLBACK: ("wrong_rollback", "rollback"), HOLD: ("wrong_hold", "delay")}  # of a cost: wrong, or not


@dataclass(slots=True)
class Ledger:
    """Each figure of each action, once; `worth` is their sum by service, environment and currency."""

    worth: dict[tuple[str, str, str], Worth] = field(default_factory=dict)
    _booked: set[tuple[str, str]] = field(default_factory=set)

    def book(self, action: Action) -> list[Booking]:
        """What of the action was not booked before."""
        if action.currency is None:
            return []
        place = (action.service, action.environment, action.currency)
        wrong, ordinary = _REASONS.get(action.kind, _REASONS[ROLLBACK])
        ineffective = action.state is ActionState.NOT_EFFECTIVE
        found = list[Booking]()
        for what, amount, reason in (
            ("prevented", action.prevented, None),
            ("spent", action.spent, wrong if ineffective else ordinary),
            ("corrected", action.corrected, wrong),
        ):
            if amount is None or (action.id, what) in self._booked:
                continue
            self._booked.add((action.id, what))
            found.append(Booking(amount=amount, currency=action.currency, reason=reason))
            worth = self.worth.get(place, Worth())
            if reason is None:
                self.worth[place] = replace(worth, prevented=worth.prevented + amount)
            else:
                self.worth[place] = replace(worth, spent=worth.spent + amount)
        return found
