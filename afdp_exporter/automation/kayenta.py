"""Kayenta's remote judge: its pairs of control and experiment compared by our own test; pure."""

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from afdp_exporter.gate.canary import CanarySeries, compare
from afdp_exporter.model import CanaryComparison, CanaryVerdict, Floats, Worse
from afdp_exporter.responses import Count, Number, Response

_DIRECTIONS = {"increase": Worse.UP, "decrease": Worse.DOWN, "either": Worse.EITHER}
_LARGEST = 1e30  # that a metric measures, whatever its unit
_MOST_PAIRS = 2000  # of metrics in one report


def _number(value: object) -> float:
    """A value of a series; NaN where Kayenta had none, as a number or as the word, or one that nothing can have."""
    if isinstance(value, int | float) and abs(value) <= _LARGEST:
        return float(value)
    return float("nan")


class _Lenient(BaseModel):
    """What Kayenta writes: a field without a value is null there."""

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, sent: object) -> object:
        if not isinstance(sent, dict):
            return sent
        return {name: value for name, value in sent.items() if value is not None}


class JudgeCanary(_Lenient):
    """How a metric is judged."""

    direction: Literal["increase", "decrease", "either"] = "either"
    critical: bool = False
    must_have_data: bool = False
    nan_strategy: Literal["remove", "replace"] = "remove"


class JudgeAnalysis(_Lenient):
    """How a metric is analysed."""

    canary: JudgeCanary = JudgeCanary()


class JudgeMetric(_Lenient):
    """A metric of a canary's configuration."""

    name: str
    groups: tuple[str, ...] = ()
    analysis_configurations: JudgeAnalysis = JudgeAnalysis()


class JudgeClassifier(_Lenient):
    """How groups weigh."""

    group_weights: dict[str, float] = {}


class JudgeConfig(_Lenient):
    """A canary's configuration."""

    metrics: tuple[JudgeMetric, ...] = ()
    classifier: JudgeClassifier | None = None


class JudgeThresholds(_Lenient):
    """From which score on a canary passes."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    pass_: float = Field(default=75.0, alias="pass")
    marginal: float = 50.0


class JudgeValues(_Lenient):
    """Values of both arms."""

    control: tuple[Annotated[float, BeforeValidator(_number)], ...] = ()
    experiment: tuple[Annotated[float, BeforeValidator(_number)], ...] = ()


class JudgePair(_Lenient):
    """A metric with its values in both arms."""

    name: str
    id: str
    tags: dict[str, str] = {}
    values: JudgeValues = JudgeValues()


class JudgeRequest(_Lenient):
    """What Kayenta sends."""

    canary_config: JudgeConfig
    score_thresholds: JudgeThresholds = JudgeThresholds()
    metric_set_pair_list: Annotated[tuple[JudgePair, ...], Field(max_length=_MOST_PAIRS)] = ()


class _Camel(Response):
    model_config = ConfigDict(alias_generator=to_camel)


class ScoreResponse(_Camel):
    """A score from 0 to 100, and what it comes to."""

    score: float
    classification: str
    classification_reason: str


class GroupScoreResponse(ScoreResponse):
    """The score of a group of metrics."""

    name: str


class StatsResponse(_Camel):
    """The values of one arm in short."""

    count: Count
    mean: Number


class ArmResponse(_Camel):
    """One arm of a metric."""

    stats: StatsResponse


class ComparedResponse(_Camel):
    """What the comparison found; the difference where it can be said."""

    verdict: CanaryVerdict
    difference: dict[str, float] = Field(default_factory=dict)
    ratio: Number = None


class JudgedMetricResponse(_Camel):
    """What was found for one metric."""

    name: str
    id: str
    tags: dict[str, str]
    classification: Literal["Pass", "High", "Low", "Nodata", "NodataFailMetric"]
    classification_reason: str
    groups: tuple[str, ...]
    experiment_metadata: ArmResponse
    control_metadata: ArmResponse
    result_metadata: ComparedResponse
    critical: bool
    muted: bool


class JudgementResponse(_Camel):
    """A judgement in Kayenta's form."""

    judge_name: str
    results: tuple[JudgedMetricResponse, ...]
    group_scores: tuple[GroupScoreResponse, ...]
    score: ScoreResponse


def judged(asked: JudgeRequest) -> JudgementResponse:
    """The answer, in Kayenta's form: each pair with its id, a score for each group, and one for all."""
    metrics = {metric.name: metric for metric in asked.canary_config.metrics}
    results = [
        _result(pair, metrics.get(pair.name, JudgeMetric(name=pair.name))) for pair in asked.metric_set_pair_list
    ]
    groups = _groups(results)
    weights = asked.canary_config.classifier.group_weights if asked.canary_config.classifier is not None else {}
    return JudgementResponse(
        judge_name="RemoteJudge-v1.0",
        results=results,
        group_scores=groups,
        score=_score(results, groups, weights, asked.score_thresholds),
    )


def _result(pair: JudgePair, metric: JudgeMetric) -> JudgedMetricResponse:
    settings = metric.analysis_configurations.canary
    control, experiment = _aligned(pair.values)
    if settings.nan_strategy == "replace":
        control, experiment = np.nan_to_num(control), np.nan_to_num(experiment)
    worse = _DIRECTIONS[settings.direction]
    found = compare(
        CanarySeries(metric=pair.name, worse=worse, canary=experiment, stable=control, stable_history=control)
    )
    classification, reason = _classified(found, control, experiment, settings)
    return JudgedMetricResponse(
        name=pair.name,
        id=pair.id,
        tags=pair.tags,
        classification=classification,
        classification_reason=reason,
        groups=metric.groups,
        experiment_metadata=_arm(experiment),
        control_metadata=_arm(control),
        result_metadata=_compared(found),
        critical=settings.critical and classification != "Pass",
        muted=False,
    )


def _aligned(values: JudgeValues) -> tuple[Floats, Floats]:
    """Both with the same number of points: the first ones that both have."""
    n = min(len(values.control), len(values.experiment))
    return np.array(values.control[:n], dtype=float), np.array(values.experiment[:n], dtype=float)


def _classified(found: CanaryComparison, control: Floats, experiment: Floats, settings: JudgeCanary) -> tuple[str, str]:
    if not (np.isfinite(control) & np.isfinite(experiment)).any():
        return _without_data(settings), "there is no data in one of the two"
    if found.verdict is CanaryVerdict.WORSE and found.difference is not None:
        return ("High" if found.difference.median > 0 else "Low", found.reason)
    return "Pass", found.reason


def _without_data(settings: JudgeCanary) -> str:
    """As Kayenta's own judge: what is replaced by zeros passes, what must have data fails, alone or with all."""
    if settings.nan_strategy == "replace":
        return "Pass"
    return "NodataFailMetric" if settings.must_have_data and not settings.critical else "Nodata"


def _arm(values: Floats) -> ArmResponse:
    known = values[np.isfinite(values)]
    return ArmResponse(stats=StatsResponse(count=known.size, mean=float(known.mean()) if known.size else None))


def _compared(found: CanaryComparison) -> ComparedResponse:
    if found.difference is None:
        return ComparedResponse(verdict=found.verdict)
    figures = {"low": found.difference.low, "median": found.difference.median, "high": found.difference.high}
    ratio = found.canary / found.stable if found.canary is not None and found.stable else None
    difference = {name: value for name, value in figures.items() if isfinite(value)}
    return ComparedResponse(verdict=found.verdict, difference=difference, ratio=ratio)


def _groups(results: Sequence[JudgedMetricResponse]) -> list[GroupScoreResponse]:
    names = dict.fromkeys(group for result in results for group in result.groups)
    found = []
    for name in names:
        score = _share([each for each in results if name in each.groups])
        found.append(GroupScoreResponse(name=name, score=score or 0.0, classification="Nodata" if score is None else "",
            classification_reason=""))  # fmt: skip
    return found


def _share(results: Sequence[JudgedMetricResponse]) -> float | None:
    """How many of a hundred metrics pass, of those with data; None where there is none."""
    counted = [each for each in results if each.classification != "Nodata"]
    return 100.0 * sum(each.classification == "Pass" for each in counted) / len(counted) if counted else None


def _score(
    results: Sequence[JudgedMetricResponse],
    groups: Sequence[GroupScoreResponse],
    weights: dict[str, float],
    limits: JudgeThresholds,
) -> ScoreResponse:
    """By the rules of Kayenta's own judge, so that a canary from which nothing is heard does not pass."""
    critical = [each for each in results if each.critical]
    if critical:
        reason = f"{critical[0].name} is critical: {critical[0].classification_reason}"
        return ScoreResponse(score=0.0, classification="Fail", classification_reason=reason)
    if all(each.classification in {"Nodata", "NodataFailMetric"} for each in results):
        return ScoreResponse(score=0.0, classification="Nodata", classification_reason="no metric has data")
    silent = sum(each.classification == "Nodata" for each in results)
    if 2 * silent >= len(results):
        reason = f"{silent} of {len(results)} metrics have no data"
        return ScoreResponse(score=0.0, classification="Fail", classification_reason=reason)
    score = _weighed(groups, weights)
    score = _share(results) or 0.0 if score is None else score
    verdict = "Pass" if score >= limits.pass_ else "Marginal" if score >= limits.marginal else "Fail"
    well = sum(each.classification == "Pass" for each in results)
    return ScoreResponse(
        score=score, classification=verdict, classification_reason=f"{well} of {len(results) - silent} metrics pass"
    )


def _weighed(groups: Sequence[GroupScoreResponse], weights: dict[str, float]) -> float | None:
    """The groups by their weights; those without one share what is left of 100, and one without data takes nothing."""
    unweighed = sum(each.name not in weights for each in groups)
    left = max(100.0 - sum(weights.values()), 0.0) / unweighed if unweighed else 0.0
    weighed = [
        (100.0 if each.classification == "Nodata" else each.score, weights.get(each.name, left)) for each in groups
    ]
    total = sum(weight for _, weight in weighed)
    return sum(score * weight for score, weight in weighed) / total if total > 0 else None
