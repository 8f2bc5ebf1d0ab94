"""What is expected, as metric families: predictions, risk of deploying now, best windows, patterns."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from threading import Lock

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from afdp_exporter.metrics.units import absolute_change
from afdp_exporter.model import Deployment, Estimate, Pattern, Prediction, Score, Windows

_DEPLOYMENT = ("deployment_id", "service", "environment")
_PLACE = ("service", "environment")
_MOST_PATTERNS = 50  # shown, the surest first
_OF_DEPLOYMENTS = 100  # of so many series of the cap, one deployment may be expected something of
_OF_PLACES = 50  # of so many, one service may have its hours ranked, and one its predictions scored
_FAMILIES = {
    "afdp_predicted_change": (
        "By how much a planned or running deployment is expected to change the metric, in the metric's own unit.",
        (*_DEPLOYMENT, "metric"),
    ),
    "afdp_predicted_absolute_change_seconds": (
        "By how many seconds a planned or running deployment is expected to change a metric in seconds.",
        (*_DEPLOYMENT, "metric"),
    ),
    "afdp_predicted_absolute_change_ratio": (
        "By how much a planned or running deployment is expected to change a ratio, 0.01 is one percentage point.",
        (*_DEPLOYMENT, "metric"),
    ),
    "afdp_predicted_absolute_change_per_hour": (
        "By how much money per hour a planned or running deployment is expected to change a metric of money.",
        (*_DEPLOYMENT, "metric", "currency"),
    ),
    "afdp_predicted_cost_per_hour": (
        "Expected cost per hour of a planned or running deployment.",
        (*_DEPLOYMENT, "currency"),
    ),
    "afdp_predicted_cost_chance_ratio": (
        "Chance that a planned or running deployment costs anything.",
        (*_DEPLOYMENT, "currency"),
    ),
    "afdp_predicted_failure_ratio": ("Risk that a planned or running deployment fails.", _DEPLOYMENT),
    "afdp_predicted_risk_ratio": ("Risk that a planned or running deployment degrades or fails.", _DEPLOYMENT),
    "afdp_prediction_deployments": (
        "Past deployments that a prediction is based on.",
        (*_DEPLOYMENT, "basis"),
    ),
    "afdp_pattern_matched": (
        "A pattern of harm that applies to a planned or running deployment; always 1.",
        (*_DEPLOYMENT, "pattern"),
    ),
    "afdp_deploy_now_risk_ratio": ("The risk that a deployment now degrades or fails.", _PLACE),
    "afdp_deploy_now_risk_ratio_lower": ("5 % point of the risk that a deployment now degrades or fails.", _PLACE),
    "afdp_deploy_now_risk_ratio_upper": ("95 % point of the risk that a deployment now degrades or fails.", _PLACE),
    "afdp_deploy_now_deployments": ("Past deployments that the risk of deploying now is based on.", (*_PLACE, "basis")),
    "afdp_best_window_risk_ratio": ("The risk of a deployment in the best of the coming windows.", _PLACE),
    "afdp_best_window_loss_avoided_per_hour": (
        "By how much the best window is expected to cost less than now.",
        (*_PLACE, "currency"),
    ),
    "afdp_best_window_timestamp_seconds": ("When the best of the coming windows begins.", _PLACE),
    "afdp_prediction_coverage_ratio": ("Share of the predicted 90 % ranges that held what happened.", ("service",)),
    "afdp_prediction_brier_score": ("Mean squared error of the predicted risks: 0 is perfect.", ("service",)),
    "afdp_prediction_base_rate_ratio": ("Share of the scored deployments that degraded or failed.", ("service",)),
    "afdp_prediction_skill_ratio": (
        "How much of the Brier score of always predicting the base rate the predictions save: 1 is perfect, 0 none.",
        ("service",),
    ),
    "afdp_prediction_skill_ratio_lower": ("5 % point of the skill of predictions.", ("service",)),
    "afdp_prediction_skill_ratio_upper": ("95 % point of the skill of predictions.", ("service",)),
    "afdp_prediction_risk_range_width_ratio": ("Mean width of the ranges of predicted risks.", ("service",)),
    "afdp_predictions_scored": (
        "Measured deployments behind the prediction scores.",
        ("service",),
    ),
    "afdp_pattern_deployments": ("Past deployments behind a pattern.", ("pattern",)),
    "afdp_pattern_cost_multiplier": (
        "How many times the cost of others the deployments have to which a pattern applies.",
        ("pattern",),
    ),
}
_WITH_QUANTILES = frozenset(
    {
        "afdp_predicted_change",
        *(f"afdp_predicted_absolute_change_{unit}" for unit in ("seconds", "ratio", "per_hour")),
        "afdp_predicted_cost_per_hour",
        "afdp_predicted_risk_ratio",
    }
)


class Outlook(Collector):
    """Holds what is expected, until it is reported anew or a deployment is over: under a cap, what was reported last.

    Changed from the event loop and collected from a thread.
    """

    def __init__(self, cap: int, dropped: Callable[[int], None]) -> None:
        self.cap = cap
        self._dropped = dropped  # counts series
        self._predictions: dict[str, tuple[Deployment, Prediction]] = {}
        self._windows: dict[tuple[str, str], Windows] = {}
        self._patterns: tuple[Pattern, ...] = ()
        self._scores: dict[str, Score] = {}
        self._changing = Lock()

    def predicted(self, deployment: Deployment, prediction: Prediction) -> None:
        """Show what a planned or running deployment is expected to do."""
        with self._changing:
            self._predictions.pop(deployment.id, None)
            self._predictions[deployment.id] = (deployment, prediction)
            while len(self._predictions) > self.cap // _OF_DEPLOYMENTS:
                families = _families()
                _add_prediction(families, *self._predictions.pop(next(iter(self._predictions))))
                self._dropped(_series(families))

    def over(self, deployment_id: str) -> None:
        """A deployment is over: what was expected of it is no longer shown."""
        with self._changing:
            self._predictions.pop(deployment_id, None)

    def ranked(self, environment: str, windows: Windows) -> None:
        """Show the risk of deploying a service now, and when its best window begins."""
        with self._changing:
            self._windows.pop((windows.service, environment), None)
            self._windows[windows.service, environment] = windows
            while len(self._windows) > self.cap // _OF_PLACES:
                families, place = _families(), next(iter(self._windows))
                _add_windows(families, place, self._windows.pop(place))
                self._dropped(_series(families))

    def scored(self, scores: Iterable[Score]) -> None:
        """Show how well the predictions of each service came true."""
        with self._changing:
            shown = sorted(scores, key=lambda score: score.n)[-(self.cap // _OF_PLACES) :]
            self._scores = {score.service: score for score in shown}

    def learned(self, patterns: Iterable[Pattern]) -> None:
        """Show what was learned."""
        with self._changing:
            self._patterns = tuple(patterns)[:_MOST_PATTERNS]

    def describe(self) -> Iterator[Metric]:
        """The names, for whoever asks for some of them only."""
        return iter(_families().values())

    def collect(self) -> Iterator[Metric]:
        """All families that hold anything."""
        families = _families()
        with self._changing:
            predictions, windows = dict(self._predictions), dict(self._windows)
            patterns, scores = self._patterns, dict(self._scores)
        for deployment, prediction in predictions.values():
            _add_prediction(families, deployment, prediction)
        for place, ranked in windows.items():
            _add_windows(families, place, ranked)
        for pattern in patterns:
            families["afdp_pattern_deployments"].add_metric([pattern.sentence], pattern.n)
            if pattern.target == "cost_per_hour" and pattern.multiplier is not None:
                families["afdp_pattern_cost_multiplier"].add_metric([pattern.sentence], pattern.multiplier.median)
        for service, score in scores.items():
            if score.covered is not None:
                families["afdp_prediction_coverage_ratio"].add_metric([service], score.covered)
            families["afdp_prediction_brier_score"].add_metric([service], score.brier)
            families["afdp_predictions_scored"].add_metric([service], score.n)
            _add_skill(families, score)
        return (family for family in families.values() if family.samples)


def _series(families: Mapping[str, Metric]) -> int:
    return sum(len(family.samples) for family in families.values())


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(name, meaning, labels=(*labels, *(["quantile"] if name in _WITH_QUANTILES else [])))
        for name, (meaning, labels) in _FAMILIES.items()
    }


def _add_prediction(families: dict[str, GaugeMetricFamily], deployment: Deployment, prediction: Prediction) -> None:
    place = [deployment.id, deployment.service, deployment.environment]
    for metric, estimate in prediction.metrics.items():
        _add_range(families["afdp_predicted_change"], [*place, metric], estimate)
        if (named := absolute_change(metric)) is not None:
            unit, labels = named
            _add_range(families[f"afdp_predicted_absolute_change_{unit}"], [*place, *labels], estimate)
    if prediction.cost is not None:
        cost = prediction.cost
        _add_range(families["afdp_predicted_cost_per_hour"], [*place, cost.currency], cost.per_hour)
        families["afdp_predicted_cost_chance_ratio"].add_metric([*place, cost.currency], cost.per_hour.chance)
    families["afdp_predicted_failure_ratio"].add_metric(place, prediction.failure.median)
    _add_range(families["afdp_predicted_risk_ratio"], place, prediction.risk)
    families["afdp_prediction_deployments"].add_metric([*place, prediction.basis], prediction.n)
    for pattern in prediction.patterns:
        families["afdp_pattern_matched"].add_metric([*place, pattern], 1)


def _add_skill(families: dict[str, GaugeMetricFamily], score: Score) -> None:
    families["afdp_prediction_base_rate_ratio"].add_metric([score.service], score.base)
    if score.skill is not None:
        families["afdp_prediction_skill_ratio"].add_metric([score.service], score.skill.median)
        families["afdp_prediction_skill_ratio_lower"].add_metric([score.service], score.skill.low)
        families["afdp_prediction_skill_ratio_upper"].add_metric([score.service], score.skill.high)
    if score.width is not None:
        families["afdp_prediction_risk_range_width_ratio"].add_metric([score.service], score.width)


def _add_windows(families: dict[str, GaugeMetricFamily], place: tuple[str, str], ranked: Windows) -> None:
    risk = ranked.now.risk
    families["afdp_deploy_now_risk_ratio"].add_metric(place, risk.median)
    families["afdp_deploy_now_risk_ratio_lower"].add_metric(place, risk.low)
    families["afdp_deploy_now_risk_ratio_upper"].add_metric(place, risk.high)
    families["afdp_deploy_now_deployments"].add_metric([*place, ranked.basis], ranked.n)
    for window in ranked.best[:1]:
        families["afdp_best_window_timestamp_seconds"].add_metric(place, window.start.timestamp())
        risks = [slot.risk.median for slot in ranked.slots if window.start <= slot.start < window.end]
        if risks:
            families["afdp_best_window_risk_ratio"].add_metric(place, max(risks))
    if ranked.loss_avoided is not None and ranked.currency is not None:
        families["afdp_best_window_loss_avoided_per_hour"].add_metric([*place, ranked.currency], ranked.loss_avoided)


def _add_range(family: GaugeMetricFamily, labels: list[str], estimate: Estimate) -> None:
    for quantile, value in (("0.05", estimate.low), ("0.5", estimate.median), ("0.95", estimate.high)):
        family.add_metric([*labels, quantile], value)
