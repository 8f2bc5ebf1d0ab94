"""What the gate answered, how far automation goes, and what was done."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from afdp_exporter.metrics.exemplars import of_deployment
from afdp_exporter.model import ROLLBACK, Action, Booking, GateDecision

_SHOWN = 1000  # newest decisions
_VERDICT = ("deployment_id", "service", "environment", "verdict")
_ACTIONS = 200  # newest ones
_ACTION = ("deployment_id", "service", "environment", "executor", "state", "breaker")
_LEVEL = ("service", "environment")


class Gate(Collector):
    """The newest verdict on each deployment, the automation levels, and counters of requests and actions.

    What this process did is counted in `registry`, what the store knows of all of them in `ledger`; the collector
    itself is up to the caller.
    """

    def __init__(self, registry: CollectorRegistry, ledger: CollectorRegistry) -> None:
        self._verdicts: dict[tuple[str, str, str], str] = {}
        self._levels: Mapping[tuple[str, str], int] = {}
        self._newest: dict[str, Action] = {}
        self._paused = False
        self._requests = Counter(
            "afdp_gate_requests", "Questions that the gate answered.", ("caller", "verdict", "mode"), registry=registry
        )
        self._seconds = Histogram(
            "afdp_gate_decision_seconds",
            "How long the gate took to answer, without the time that a caller asked it to wait.",
            registry=registry,
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0),
        )
        self._actions = Counter(
            "afdp_actions",
            "How many actions, such as rollbacks, came into a state.",
            ("executor", "state"),
            registry=registry,
        )
        self._callbacks = Counter(
            "afdp_gate_callbacks",
            "Callbacks to callers that wait for a verdict: approved, rejected, waiting (and was answered so), failed.",
            ("caller", "result"),
            registry=registry,
        )
        self._prevented = Counter(
            "afdp_prevented_cost",
            "Money that rollbacks and holds have surely spared, at its lower point, once that was confirmed.",
            ("service", "environment", "currency"),
            registry=ledger,
        )
        self._spent = Counter(
            "afdp_automation_cost",
            "Money that automation itself has cost: rollbacks, waiting, and what was wrong.",
            ("service", "environment", "currency", "reason"),
            registry=ledger,
        )

    def asked(self, caller: str, decision: GateDecision) -> None:
        """Somebody was answered."""
        exemplar = of_deployment(decision.deployment_id)
        self._requests.labels(caller, decision.verdict, decision.mode).inc(exemplar=exemplar)
        if decision.deployment_id is not None:
            place = (decision.deployment_id, decision.service, decision.environment)
            self._verdicts.pop(place, None)
            self._verdicts[place] = decision.enforced_verdict
            while len(self._verdicts) > _SHOWN:
                del self._verdicts[next(iter(self._verdicts))]

    def acted(self, action: Action) -> None:
        """An action came into its state."""
        self._actions.labels(action.executor, action.state).inc(exemplar=of_deployment(action.deployment_id))
        self._show(action)

    def called_back(self, caller: str, result: str) -> None:
        """A caller that waits was called back, or could not be."""
        self._callbacks.labels(caller, result).inc()

    def booked(self, action: Action, bookings: Iterable[Booking]) -> None:
        """An action stands where it stands by now, and these figures of it are new."""
        if action.kind == ROLLBACK:
            self._show(action)
        for each in bookings:
            place = (action.service, action.environment, each.currency)
            if each.reason is None:
                self._prevented.labels(*place).inc(each.amount)
            else:
                self._spent.labels(*place, each.reason).inc(each.amount)

    def took(self, seconds: float) -> None:
        """An answer took that long."""
        self._seconds.observe(seconds)

    def _show(self, action: Action) -> None:
        self._newest[action.id] = action
        if len(self._newest) > _ACTIONS:
            del self._newest[min(self._newest, key=lambda each: _moved_at(self._newest[each]))]

    def show_paused(self, paused: bool) -> None:
        """Whether somebody has stopped all executors."""
        self._paused = paused

    def show_levels(self, levels: Mapping[tuple[str, str], int]) -> None:
        """These levels are in force."""
        self._levels = levels

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without samples."""
        yield GaugeMetricFamily(
            "afdp_action_timestamp_seconds",
            "When each of the newest actions came into its state; `breaker` is what kept it from being begun.",
            labels=_ACTION,
        )
        yield GaugeMetricFamily("afdp_automation_paused", "1 as long as somebody has stopped all executors.")
        yield GaugeMetricFamily(
            "afdp_gate_verdict",
            "1 for the gate's newest verdict on a deployment: the one to obey.",
            labels=_VERDICT,
        )
        yield GaugeMetricFamily(
            "afdp_automation_level",
            "How far automation goes for a service: 0 observe, 1 alert, 2 shadow gate, 3 gate, 4 and 5 rollback.",
            labels=_LEVEL,
        )

    def collect(self) -> Iterator[Metric]:
        """The families that change with each decision."""
        action, paused, verdict, level = self.describe()
        for each in tuple(self._newest.values()):
            whose = (each.deployment_id, each.service, each.environment, each.executor)
            action.add_metric((*whose, each.state, each.breaker or ""), _moved_at(each))
        paused.add_metric((), float(self._paused))
        yield action
        yield paused
        for place, answer in self._verdicts.items():
            verdict.add_metric((*place, answer), 1.0)
        for where, value in self._levels.items():
            level.add_metric(where, float(value))
        yield verdict
        yield level


def _moved_at(action: Action) -> float:
    return (action.trail[-1].at if action.trail else action.decided_at).timestamp()
