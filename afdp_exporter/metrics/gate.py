"""What the gate answered, how far automation goes, and what was done."""

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from afdp_exporter.model import Action, GateDecision

_SHOWN = 1000  # newest decisions
_VERDICT = ("deployment_id", "service", "environment", "verdict")
_LEVEL = ("service", "environment")


class Gate(Collector):
    """The newest verdict on each deployment, the automation levels, and counters of requests and actions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._verdicts: dict[tuple[str, str, str], str] = {}
        self._levels: Mapping[tuple[str, str], int] = {}
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
            "afdp_actions", "Steps of actions: how many came into a state.", ("executor", "state"), registry=registry
        )
        self._prevented = Counter(
            "afdp_prevented_cost",
            "Money that rollbacks have surely spared, at its lower point, once the metrics were back.",
            ("service", "environment", "currency"),
            registry=registry,
        )
        self._spent = Counter(
            "afdp_automation_cost",
            "Money that automation itself has cost.",
            ("service", "environment", "currency", "reason"),
            registry=registry,
        )
        registry.register(self)

    def asked(self, caller: str, decision: GateDecision) -> None:
        """Somebody was answered."""
        self._requests.labels(caller, decision.verdict, decision.mode).inc()
        if decision.deployment_id is not None:
            place = (decision.deployment_id, decision.service, decision.environment)
            self._verdicts.pop(place, None)
            self._verdicts[place] = decision.enforced_verdict
            while len(self._verdicts) > _SHOWN:
                del self._verdicts[next(iter(self._verdicts))]

    def acted(self, action: Action) -> None:
        """An action came into its state."""
        self._actions.labels(action.executor, action.state).inc()

    def booked(self, action: Action) -> None:
        """What an action was worth, or cost, is known."""
        if action.currency is None:
            return
        if action.prevented is not None:
            self._prevented.labels(action.service, action.environment, action.currency).inc(action.prevented)
        if action.spent is not None:
            self._spent.labels(action.service, action.environment, action.currency, "wrong_rollback").inc(action.spent)

    def took(self, seconds: float) -> None:
        """An answer took that long."""
        self._seconds.observe(seconds)

    def show_levels(self, levels: Mapping[tuple[str, str], int]) -> None:
        """These levels are in force."""
        self._levels = levels

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The families without samples."""
        yield GaugeMetricFamily(
            "afdp_gate_verdict",
            "1 for the newest verdict on a deployment: the one to obey.",
            labels=_VERDICT,
        )
        yield GaugeMetricFamily(
            "afdp_automation_level",
            "How far automation goes for a service: 0 observe, 1 alert, 2 shadow gate, 3 gate, 4 and 5 rollback.",
            labels=_LEVEL,
        )

    def collect(self) -> Iterator[Metric]:
        """The families that change with each decision."""
        verdict, level = self.describe()
        for place, answer in self._verdicts.items():
            verdict.add_metric((*place, answer), 1.0)
        for where, value in self._levels.items():
            level.add_metric(where, float(value))
        yield verdict
        yield level
