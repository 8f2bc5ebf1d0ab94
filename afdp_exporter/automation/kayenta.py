"""Kayenta's remote judge: its pairs of control and experiment compared by our own test; pure."""

from collections.abc import Sequence
from math import isfinite
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from afdp_exporter.gate.canary import CanarySeries, compare
from afdp_exporter.gate.sequential import LEAST_MINUTES
from afdp_exporter.model import CanaryComparison, CanaryVerdict, Floats, Worse

_DIRECTIONS = {"increase": Worse.UP, "decrease": Worse.DOWN, "either": Worse.EITHER}
_MOST_PAIRS = 2000


def _number(value: object) -> float:
    """A value of a series; NaN where Kayenta had none, as a number or as the word."""
    if isinstance(value, int | float):
        return float(value)
    return float("nan")


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, populate_by_name=True)


class _Canary(_Model):
    direction: Literal["increase", "decrease", "either"] = "either"
    critical: bool = False
    must_have_data: bool = False
    nan_strategy: Literal["remove", "replace"] = "remove"


class _Analysis(_Model):
    canary: _Canary = _Canary()


class _Metric(_Model):
    name: str
    groups: tuple[str, ...] = ()
    analysis_configurations: _Analysis = _Analysis()


class _Classifier(_Model):
    group_weights: dict[str, float] = {}


class _Config(_Model):
    metrics: tuple[_Metric, ...] = ()
    classifier: _Classifier | None = None


class _Thresholds(_Model):
    model_config = ConfigDict(extra="ignore", frozen=True)

    pass_: float = Field(default=75.0, alias="pass")
    marginal: float = 50.0


class _Values(_Model):
    control: tuple[Annotated[float, BeforeValidator(_number)], ...] = ()
    experiment: tuple[Annotated[float, BeforeValidator(_number)], ...] = ()


class _Pair(_Model):
    name: str
    id: str
    tags: dict[str, str] = {}
    values: _Values = _Values()


class JudgeRequest(_Model):
    """What Kayenta sends."""

    canary_config: _Config
    score_thresholds: _Thresholds = _Thresholds()
    metric_set_pair_list: Annotated[tuple[_Pair, ...], Field(max_length=_MOST_PAIRS)] = ()


def judged(asked: JudgeRequest) -> dict[str, Any]:
    """The answer, in Kayenta's form: each pair with its id, a score for each group, and one for all."""
    metrics = {metric.name: metric for metric in asked.canary_config.metrics}
    results = [_result(pair, metrics.get(pair.name, _Metric(name=pair.name))) for pair in asked.metric_set_pair_list]
    groups = _groups(results)
    weights = asked.canary_config.classifier.group_weights if asked.canary_config.classifier is not None else {}
    return {
        "judgeName": "RemoteJudge-v1.0",
        "results": results,
        "groupScores": groups,
        "score": _score(results, groups, weights, asked.score_thresholds),
    }


def _result(pair: _Pair, metric: _Metric) -> dict[str, Any]:
    settings = metric.analysis_configurations.canary
    control, experiment = _aligned(pair.values)
    if settings.nan_strategy == "replace":
        control, experiment = np.nan_to_num(control), np.nan_to_num(experiment)
    worse = _DIRECTIONS[settings.direction]
    found = compare(
        CanarySeries(metric=pair.name, worse=worse, canary=experiment, stable=control, stable_history=control)
    )
    classification, reason = _classified(found, control, experiment, settings)
    return {
        "name": pair.name,
        "id": pair.id,
        "tags": pair.tags,
        "classification": classification,
        "classificationReason": reason,
        "groups": list(metric.groups),
        "experimentMetadata": {"stats": _stats(experiment)},
        "controlMetadata": {"stats": _stats(control)},
        "resultMetadata": _metadata(found),
        "critical": settings.critical and classification in {"High", "Low"},
        "muted": False,
    }


def _aligned(values: _Values) -> tuple[Floats, Floats]:
    """Both with the same number of points: the first ones that both have."""
    n = min(len(values.control), len(values.experiment))
    return np.array(values.control[:n], dtype=float), np.array(values.experiment[:n], dtype=float)


def _classified(found: CanaryComparison, control: Floats, experiment: Floats, settings: _Canary) -> tuple[str, str]:
    both = np.isfinite(control) & np.isfinite(experiment)
    if not both.any():
        return ("Nodata" if settings.must_have_data else "Pass", "there is no data in one of the two")
    if found.verdict is CanaryVerdict.WORSE and found.difference is not None:
        return ("High" if found.difference.median > 0 else "Low", found.reason)
    if int(both.sum()) < LEAST_MINUTES and settings.must_have_data:
        return "Nodata", found.reason
    return "Pass", found.reason


def _stats(values: Floats) -> dict[str, Any]:
    known = values[np.isfinite(values)]
    return {"count": int(known.size), "mean": float(known.mean()) if known.size else None}


def _metadata(found: CanaryComparison) -> dict[str, Any]:
    if found.difference is None:
        return {"verdict": found.verdict}
    figures = {"low": found.difference.low, "median": found.difference.median, "high": found.difference.high}
    ratio = found.canary / found.stable if found.canary is not None and found.stable else None
    return {
        "verdict": found.verdict,
        "difference": {name: value for name, value in figures.items() if isfinite(value)},
        "ratio": ratio,
    }


def _groups(results: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(group for result in results for group in result["groups"])
    found = []
    for name in names:
        counted = [each for each in results if name in each["groups"] and each["classification"] != "Nodata"]
        well = sum(each["classification"] == "Pass" for each in counted)
        score = 100.0 * well / len(counted) if counted else 0.0
        found.append({"name": name, "score": score, "classification": "", "classificationReason": ""})
    return found


def _score(
    results: Sequence[dict[str, Any]], groups: Sequence[dict[str, Any]], weights: dict[str, float], limits: _Thresholds
) -> dict[str, Any]:
    critical = [each for each in results if each["critical"]]
    if critical:
        reason = f"{critical[0]['name']} is critical: {critical[0]['classificationReason']}"
        return {"score": 0.0, "classification": "Fail", "classificationReason": reason}
    counted = [each for each in results if each["classification"] != "Nodata"]
    if not counted:
        return {"score": 0.0, "classification": "Nodata", "classificationReason": "no metric has data"}
    weighed = [(each["score"], weights.get(each["name"], 0.0)) for each in groups]
    total = sum(weight for _, weight in weighed)
    well = sum(each["classification"] == "Pass" for each in counted)
    score = sum(one * weight for one, weight in weighed) / total if total > 0 else 100.0 * well / len(counted)
    verdict = "Pass" if score >= limits.pass_ else "Marginal" if score >= limits.marginal else "Fail"
    return {"score": score, "classification": verdict, "classificationReason": f"{well} of {len(counted)} metrics pass"}
