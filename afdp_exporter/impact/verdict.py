"""A Finding about one metric: detector results in the metric's own unit with a reason as a sentence, and as a Shift."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from afdp_exporter.detectors.level import LEAST_HISTORY
from afdp_exporter.detectors.regular_series import RegularSeries
from afdp_exporter.detectors.transient import Transient
from afdp_exporter.detectors.variance import VarianceChange
from afdp_exporter.impact.bayes_factor import ATTRIBUTION_P_VALUE, DetectorResults, posterior_probability
from afdp_exporter.impact.power import minimum_detectable_effect
from afdp_exporter.model import Attribution, Estimate, Metric, Shift, Usual
from afdp_exporter.wording.numbers import format_factor, format_number, short_history


@dataclass(frozen=True, slots=True)
class Compared:
    """The steps after the deployment whose mean is compared with those before: from `begin` to before `end`."""

    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one metric did after a deployment, and whether the deployment did it.

    Times are Unix seconds; `change`, `low` and `high` are in the metric's own unit; low and high are the 5 % and 95 %
    points; `change_ratio` is the change as a share of `before`; `onset_share` is the share of all possible onsets that
    the deployment may answer for. `shape` is level, transient, gradual, spread or None. `score` orders findings: every
    attributed one stands above every other. `log_factor` is the natural log of the Bayes factor for "this deployment
    did it", None where nothing was measured. `minimum_detectable_effect` is the smallest lasting change that four
    checks of five would find, `minimum_detectable_ratio` the same as a share of the mean level of the history. `usual`
    is what follows the deployments of this service alike: the other figures then give what goes beyond it. `n_history`
    counts the points before the deployment. `harmful` says whether the change goes where it hurts, None where there is
    no change or no such direction. `account` is for the audit trail alone: the settings and the intermediate figures of
    this one analysis.
    """

    attributed: bool
    verdict: Attribution
    reason: str
    p_value: float = 1.0
    score: float = 0.0
    log_factor: float | None = None
    onset: float | None = None
    onset_low: float | None = None
    onset_high: float | None = None
    onset_share: float | None = None
    before: float | None = None
    after: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    change_ratio: float | None = None
    shape: str | None = None
    duration_seconds: float | None = None
    recovered_at: float | None = None
    minimum_detectable_effect: float | None = None
    minimum_detectable_ratio: float | None = None
    usual: Usual | None = None
    n_history: int = 0
    compared: Compared | None = None
    harmful: bool | None = None
    account: Mapping[str, float | int | str | None] = field(default_factory=dict)


FURTHEST = 100  # times as far as usual: beyond that the usual is hardly known
LIKELY = 0.5  # share of the posterior from which on an onset lies in the deployment's window


def unusable_data() -> Finding:
    """No value of the metric can be used."""
    return Finding(
        attributed=False, verdict=Attribution.INSUFFICIENT_HISTORY, reason="there is no usable data for this metric"
    )


def history_too_short(grid: RegularSeries) -> Finding:
    """The history is short: how much there is, how much is needed, and when there will be enough."""
    there, needed = (timedelta(seconds=points * grid.step) for points in (grid.deployed, LEAST_HISTORY))
    reason = short_history(there, needed, datetime.fromtimestamp(grid.time(LEAST_HISTORY), UTC))
    return Finding(attributed=False, verdict=Attribution.INSUFFICIENT_HISTORY, reason=reason, n_history=grid.deployed)


def level_shift_finding(results: DetectorResults) -> Finding:
    """The deployment moved the metric's level, and it stayed."""
    figures = _measurements(results if results.step is None else replace(results, level=results.step))
    times = abs(figures["change"]) / max(results.level.error * results.grid.scale, 1e-300)
    far = f"{format_number(times, 2)} times" if times <= FURTHEST else f"more than {FURTHEST} times"
    alone = "" if results.grid.control is not None else "; without a control a common cause cannot be excluded"
    reason = f"its level moved when the deployment came and stayed, {far} as far as it usually moves by itself{alone}"
    timing = _timing(results)
    return Finding(
        attributed=True, verdict=Attribution.ATTRIBUTED, reason=reason, shape="level",
        duration_seconds=results.grid.time(results.grid.n) - timing["onset"], **timing, **figures,
    )  # fmt: skip


def transient_finding(results: DetectorResults, transient: Transient) -> Finding:
    """The metric left its level after the deployment and came back: that stretch is `transient`."""
    grid = results.grid
    timing: dict[str, Any] = {
        "onset": grid.time(transient.begin),
        "onset_low": grid.time(transient.begin - 1),
        "onset_high": grid.time(transient.begin + 1),
    }
    before, change = grid.centre + grid.scale * transient.level, grid.scale * transient.height
    error = grid.scale * transient.error(grid)
    figures = _measurements(results) | {
        "p_value": transient.p_value,
        "before": before,
        "after": before + change,
        "change": change,
        "low": change - error,
        "high": change + error,
        "change_ratio": change / abs(before) if before else None,
    }
    return Finding(
        attributed=False, verdict=Attribution.TRANSIENT, shape="transient",
        reason="it left its level after the deployment and came back",
        duration_seconds=grid.time(transient.end) - grid.time(transient.begin), recovered_at=grid.time(transient.end),
        **timing, **figures,
    )  # fmt: skip


def gradual_finding(results: DetectorResults) -> Finding:
    """The metric drifted away."""
    return Finding(
        attributed=False, verdict=Attribution.GRADUAL, shape="gradual",
        reason="it changed more than usual, but gradually, with no clear start", **_measurements(results),
    )  # fmt: skip


def variance_finding(results: DetectorResults, variance: VarianceChange) -> Finding:
    """The metric kept its level and scatters more."""
    grown = format_factor(Estimate(low=variance.low, median=variance.ratio, high=variance.high))
    reason = f"its level did not shift, but its spread grew {grown} times"
    return Finding(
        attributed=False, verdict=Attribution.INCONCLUSIVE, shape="spread", reason=reason, **_measurements(results)
    )


def common_cause_finding(results: DetectorResults) -> Finding:
    """The control moved along."""
    reason = "what the deployment cannot have touched moved along with it: the cause is a common one"
    return Finding(
        attributed=False, verdict=Attribution.NOT_DISTINGUISHABLE, reason=reason, **_measurements(results)
    )  # fmt: skip


def no_effect_finding(results: DetectorResults) -> Finding:
    """Nothing beyond what is usual, or nothing that came with the deployment."""
    reason = "it stayed within its normal variation"
    if results.p_value < ATTRIBUTION_P_VALUE:
        late = results.onset.share < LIKELY
        how = "at another time, as it seems" if late else "not by a step that came with the deployment and stayed"
        reason = f"its level changed more than usual, but {how}"
    figures = _measurements(results)
    if figures["minimum_detectable_effect"] is None:
        reason += "; its history hardly varies, so that the smallest change that would be seen is not known"
    return Finding(attributed=False, verdict=Attribution.NO_EFFECT, reason=reason, **figures)


def _measurements(results: DetectorResults) -> dict[str, Any]:
    """Every field that a measured change has, in the metric's own unit."""
    grid, measured, onset = results.grid, results.level, results.onset
    base = measured.base
    if base is None:
        base = float(grid.values[measured.at - measured.back : measured.at].mean())
    before = grid.centre + grid.scale * base
    visible = minimum_detectable_effect(measured, grid)
    level = grid.centre + grid.scale * float(grid.values[: grid.deployed].mean())
    change, (low, high) = measured.change * grid.scale, measured.interval()
    later = measured.at - grid.deployed
    return {
        "p_value": results.p_value,
        "score": results.score,
        "before": before,
        "after": before + change,
        "change": change,
        "low": low * grid.scale,
        "high": high * grid.scale,
        "change_ratio": change / abs(before) if before else None,
        "minimum_detectable_effect": visible,
        "minimum_detectable_ratio": visible / abs(level) if visible is not None and level else None,
        "n_history": grid.deployed,
        "compared": Compared(begin=later + measured.gap, end=later + measured.forward),
        "account": {
            "step_seconds": grid.step,
            "placebo_error": measured.error * grid.scale,
            "independent_windows": measured.independent,
            "forward_steps": measured.forward,
            "back_steps": measured.back,
            "gap_steps": measured.gap,
            "onset_share": onset.share,
            "persistence": results.persistence,
        },
    }


def _timing(results: DetectorResults) -> dict[str, Any]:
    """When it began: never before the deployment, where a ramp may seem to."""
    grid, onset = results.grid, results.onset
    at, low, high = (grid.time(max(each, grid.deployed - 1)) for each in (onset.position, onset.low, onset.high))
    return {"onset": at, "onset_low": low, "onset_high": high, "onset_share": onset.share}


def shift_of(finding: Finding, metric: Metric, warnings: tuple[str, ...] = ()) -> Shift:
    """What was found in a metric. Data of which its source warned can show an effect, and never that there is none."""
    if warnings and finding.verdict == Attribution.NO_EFFECT:
        return unknown_shift(metric, f"the source warned that its data is partial: {'; '.join(warnings)}")
    return Shift(
        metric=metric.name,
        layer=metric.layer,
        worse=metric.worse,
        primary=metric.primary,
        verdict=Attribution(finding.verdict),
        reason=finding.reason,
        onset=_time(finding.onset),
        onset_low=_time(finding.onset_low),
        onset_high=_time(finding.onset_high),
        onset_ratio=finding.onset_share,
        before=finding.before,
        after=finding.after,
        change=finding.change,
        low=finding.low,
        high=finding.high,
        change_ratio=finding.change_ratio,
        p_value=finding.p_value,
        attribution_ratio=None if finding.log_factor is None else posterior_probability(finding.log_factor),
        usual=finding.usual,
        minimum_detectable_effect=finding.minimum_detectable_effect,
        minimum_detectable_ratio=finding.minimum_detectable_ratio,
        shape=finding.shape,
        duration=None if finding.duration_seconds is None else timedelta(seconds=finding.duration_seconds),
        recovered_at=_time(finding.recovered_at),
    )


def unknown_shift(metric: Metric, reason: str) -> Shift:
    """A metric of which nothing can be said, and why."""
    return Shift(
        metric=metric.name,
        layer=metric.layer,
        worse=metric.worse,
        primary=metric.primary,
        verdict=Attribution.INCONCLUSIVE,
        reason=reason,
    )


def ranges_overlap(shift: Shift, other: Shift) -> bool:
    """Whether the range of a shift leaves room for the other's: what was not measured rules out nothing."""
    if shift.low is None or shift.high is None or other.low is None or other.high is None:
        return True
    return shift.low <= other.high and other.low <= shift.high


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
