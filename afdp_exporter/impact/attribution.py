"""`judge`: did this deployment move this metric? Runs the detectors and combines them into one Finding."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike

from afdp_exporter.detectors.changepoint import extract, ramp_preferred_to_step
from afdp_exporter.detectors.counts import count_shift, exposure_in_events
from afdp_exporter.detectors.level import LEAST_HISTORY
from afdp_exporter.detectors.level_shifts import remove_level_shifts
from afdp_exporter.detectors.panel import Panel, by_panel
from afdp_exporter.detectors.regular_series import REACH_SECONDS, RegularSeries, regularize
from afdp_exporter.detectors.robust import median
from afdp_exporter.detectors.sampling import drop_stale_samples
from afdp_exporter.detectors.transient import Transient
from afdp_exporter.detectors.variance import VarianceChange, variance_changes
from afdp_exporter.impact.bayes_factor import (
    NOTHING_MOVED,
    TRANSIENT_RARITY,
    DetectorResults,
    adjust_for_control,
    bayes_factor,
    by_counts,
    control_moved_along,
    earlier_near_control,
    run_detectors,
)
from afdp_exporter.impact.data_quality import (
    RateDip,
    bridge_rate_dip,
    counter_increments,
    mention_rate_dip,
    rescale_to_counter,
)
from afdp_exporter.impact.event_study import (
    UsualEffect,
    judge_restart,
    subtract_usual,
    usual_effects,
    with_usual,
)
from afdp_exporter.impact.seasonality import exclude_seasonal_change, require_comparable_days
from afdp_exporter.impact.verdict import (
    Finding,
    common_cause_finding,
    gradual_finding,
    history_too_short,
    level_shift_finding,
    no_effect_finding,
    transient_finding,
    unusable_data,
    variance_finding,
)
from afdp_exporter.model import Attribution, Floats, Worse

LEAST_AFTER = 3  # points after the deployment
_FIRST, _LAST = (datetime(year, 1, 2, tzinfo=UTC).timestamp() for year in (1, 9999))  # what a date can say
_LARGEST, _SMALLEST = 1e30, 1e-30  # sizes of what can be measured, whatever its unit
_ROUNDING = 1e-12  # of a value that sums in another order may differ by
VARIANCE_P_VALUE = 0.17  # p-value of a grown spread
_SHARE_OF_RATE_WINDOW = 0.75  # of the query's window that an excursion shows at least
DRIFT_P_VALUE = 0.05  # p-value of the level for a gradual change


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rollout:
    """The rollout that is judged, and those of the service before it, Unix seconds; days are those of `time_zone`."""

    deployed_at: float
    finished_at: float | None = None
    earlier: Sequence[float] = ()
    time_zone: tzinfo = UTC


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObservedSeries:
    """One series as it was measured around a rollout; the fields are as `judge` is given them."""

    times: ArrayLike
    values: ArrayLike
    control: ArrayLike | None = None
    of: ArrayLike | None = None
    worse: str = "either"
    step: float | None = None
    respond_within: float | None = None
    rate_window: float | None = None
    looks_back: float | None = None


def judge(
    times: ArrayLike,
    values: ArrayLike,
    deployed_at: float,
    *,
    finished_at: float | None = None,
    control: ArrayLike | None = None,
    of: ArrayLike | None = None,
    earlier_deployments: Iterable[float] = (),
    worse: str = "either",
    step: float | None = None,
    respond_within: float | None = None,
    rate_window: float | None = None,
    looks_back: float | None = None,
    time_zone: tzinfo = UTC,
) -> Finding:
    """Judge whether a deployment shifted a metric; pure. Insufficient data is a verdict, never an error.

    `times` are Unix seconds (n,) and `values` float64 (n,), NaN where there is a gap, in any order; repetitions of a
    sample are gaps. `control` (n,) is what the deployment cannot have touched, `of` (n,) the denominators of ratios of
    events, which are judged by their number where they are sparse (as if all denominators were alike without it).
    `worse` (up, down, either) decides on `harmful` alone. `respond_within` is how many seconds after the rollout the
    onset may come (default: the longer of 15 minutes and 4 steps), `rate_window` over how many the query takes a rate:
    a dip no longer than that, while instances are replaced, is no loss. `looks_back` is over how many seconds each
    value is taken (default: `rate_window`): a step shows as a ramp of that length, which is no part of its size. What
    follows the `earlier_deployments` alike is usual, and only what goes beyond it is judged; so is what the same
    minutes of earlier days did, by the clock of the `time_zone`. Times and spans that are not finite count as not
    given. Raises ValueError only where shapes do not fit together.
    """
    earlier = tuple(at for at in earlier_deployments if isfinite(at))
    rollout = Rollout(deployed_at=deployed_at, finished_at=finished_at, earlier=earlier, time_zone=time_zone)
    observed = ObservedSeries(
        times=times, values=values, control=control, of=of, worse=worse, step=step,
        respond_within=_finite(respond_within), rate_window=_finite(rate_window), looks_back=_finite(looks_back),
    )  # fmt: skip
    (finding,) = judge_together(rollout, [observed])
    return finding


def _finite(seconds: float | None) -> float | None:
    return seconds if seconds is not None and isfinite(seconds) else None


def judge_together(rollout: Rollout, observed: Sequence[ObservedSeries]) -> list[Finding]:
    """`judge` for many series: the same findings, in a fraction of the time where they lie on one grid."""
    return judge_cases(rollout, [Case.of(rollout, each) for each in observed])


def judge_cases(rollout: Rollout, cases: Sequence["Case"], *, briefly: bool = False) -> list[Finding]:
    """`judge_together` for series that were prepared for that rollout.

    With `briefly` the same verdicts, sooner: how likely it is that what did not move did so after all is left open.
    """
    return [
        _with_harm(case.as_observed(finding), Worse(case.observed.worse))
        for case, finding in zip(cases, _judge_cases(rollout, cases, briefly=briefly), strict=True)
    ]


def _with_harm(finding: Finding, worse: Worse) -> Finding:
    """The finding, with whether its change goes where it hurts."""
    if not finding.change or worse is Worse.EITHER:
        return finding
    return replace(finding, harmful=(finding.change > 0) is (worse is Worse.UP))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One series as it is judged, prepared once however often it is asked about.

    It was `measured` at times `at` (n,), in order. `raw` is what is judged of it, its growth where it `counts` up from
    zero again, and `grid` that around the rollout; None where it cannot be laid out.
    """

    rollout: Rollout
    observed: ObservedSeries
    at: Floats
    measured: Floats
    raw: Floats
    control: Floats | None
    exposure: Floats | None
    counts: bool
    dip: RateDip | None
    grid: RegularSeries | None

    @classmethod
    def of(cls, rollout: Rollout, observed: ObservedSeries) -> "Case":
        at, measured, control, counted_in = _in_order(observed.times, observed.values, observed.control, observed.of)
        deployed_at, window = float(rollout.deployed_at), observed.rate_window
        exposure = exposure_in_events(measured, counted_in, at < deployed_at)
        growth, raw, dip = _growth(rollout, observed, at, measured), measured, None
        if growth is None and window is not None:
            with np.errstate(all="ignore"):
                raw, dip = bridge_rate_dip(at, measured, deployed_at, rollout.finished_at, window)
        ungridded = cls(
            rollout=rollout, observed=observed, at=at, measured=measured, raw=raw if growth is None else growth,
            control=control, exposure=exposure, counts=growth is not None, dip=dip, grid=None,
        )  # fmt: skip
        return replace(ungridded, grid=ungridded.laid_out(ungridded.raw, control))

    def responding_within(self, seconds: float) -> "Case":
        """The same, whose onset may come within so many seconds after the rollout."""
        observed = replace(self.observed, respond_within=seconds)
        if self.counts or _growth(self.rollout, observed, self.at, self.measured) is not None:
            return Case.of(self.rollout, observed)
        return replace(self, observed=observed, grid=self.grid and self.grid.responding_within(seconds))

    @property
    def shortest(self) -> float:
        """Seconds that any excursion lasts: what a query over a window shows stays in it as long as the window is."""
        return _SHARE_OF_RATE_WINDOW * (self.observed.rate_window or 0.0)

    def laid_out(self, values: Floats, control: Floats | None = None) -> RegularSeries | None:
        """Values of the series as they were measured around the rollout."""
        return regularize(
            self.at, values, float(self.rollout.deployed_at), finished_at=self.rollout.finished_at, control=control,
            step=self.observed.step, respond_within=self.observed.respond_within, zone=self.rollout.time_zone,
            exposure=self.exposure, looks_back=self.observed.looks_back or self.observed.rate_window or 0.0,
        )  # fmt: skip

    def as_observed(self, finding: Finding) -> Finding:
        """The finding in terms of the series as it was observed."""
        if self.counts:
            return rescale_to_counter(finding)
        window = self.observed.rate_window
        return finding if self.dip is None or window is None else mention_rate_dip(finding, self.dip, window)


def _growth(rollout: Rollout, observed: ObservedSeries, at: Floats, measured: Floats) -> Floats | None:
    """What a counter grew by that the rollout restarted; None for any other series."""
    deployed_at = float(rollout.deployed_at)
    ended = deployed_at if rollout.finished_at is None else max(rollout.finished_at, deployed_at)
    last_onset = ended + (observed.respond_within or REACH_SECONDS)  # at which a restart belongs to the rollout
    with np.errstate(all="ignore"):
        return counter_increments(at, measured, deployed_at, last_onset)


def _judge_cases(rollout: Rollout, cases: Sequence[Case], *, briefly: bool) -> list[Finding]:
    findings, measured = dict[int, Finding](), dict[int, RegularSeries]()
    for place, case in enumerate(cases):
        silent = _unjudgeable(case.grid)
        if case.grid is None or silent is not None:
            findings[place] = silent or unusable_data()
        else:
            measured[place] = case.grid
    usual = dict(zip(measured, usual_effects(list(measured.values()), rollout.earlier), strict=True))
    for place, found in usual.items():
        if found is not None and found.response.restarts:
            usual[place] = None
            if (restarted := judge_restart(found, rollout.earlier)) is not None:
                findings[place] = restarted
    grids = {place: grid for place, grid in measured.items() if place not in findings}
    natural = _natural(list(grids.values()), [usual[place] for place in grids], rollout)
    known = dict(zip(grids, run_detectors(natural, briefly=briefly), strict=True))
    for (place, results), grid in zip(known.items(), natural, strict=True):
        if results is None:
            findings[place] = history_too_short(grid)
    counted = {place: _by_counts(results) for place, results in known.items() if results is not None}
    judged = _beside_controls(counted, cases, rollout)
    decided = _decide(list(judged.values()), [cases[place].shortest for place in judged])
    for (place, results), finding in zip(judged.items(), decided, strict=True):
        beyond = exclude_seasonal_change(finding, results, rollout.earlier)
        comparable = require_comparable_days(beyond, results, rollout.earlier)
        effect = usual[place]
        findings[place] = comparable if effect is None else with_usual(comparable, effect)
    return [findings[place] for place in range(len(cases))]


def _natural(
    grids: Sequence[RegularSeries], usual: Sequence[UsualEffect | None], rollout: Rollout
) -> list[RegularSeries]:
    """The grids without what earlier deployments did and what usually follows one."""
    left = [
        grid if found is None else subtract_usual(found, rollout.earlier)
        for grid, found in zip(grids, usual, strict=True)
    ]
    return remove_level_shifts(left, rollout.earlier)


def _by_counts(results: DetectorResults) -> DetectorResults:
    counted = count_shift(results.grid)
    return results if counted is None else by_counts(results, counted)


def _beside_controls(
    known: Mapping[int, DetectorResults], cases: Sequence[Case], rollout: Rollout
) -> dict[int, DetectorResults]:
    """The results by case, those that would be attributed in the light of their controls."""
    controls = {
        place: control
        for place, results in known.items()
        if results.attributed and (other := cases[place].control) is not None
        if (control := cases[place].laid_out(other)) is not None
    }
    if not controls:
        return dict(known)
    near = {at for place, grid in controls.items() for at in earlier_near_control(known[place], grid, rollout.earlier)}
    calm = remove_level_shifts(list(controls.values()), sorted(near))
    moved = [place for place, control in zip(controls, calm, strict=True) if control_moved_along(known[place], control)]
    ratios = {
        place: ratio
        for place in moved
        if (other := cases[place].control) is not None
        if (ratio := cases[place].laid_out(_ratio(cases[place].raw, other))) is not None
    }
    usual = usual_effects(list(ratios.values()), rollout.earlier)
    against = dict(zip(ratios, run_detectors(_natural(list(ratios.values()), usual, rollout)), strict=True))
    return {**known, **{place: adjust_for_control(known[place], against.get(place)) for place in moved}}


def _in_order(
    times: ArrayLike, values: ArrayLike, control: ArrayLike | None, of: ArrayLike | None
) -> tuple[Floats, Floats, Floats | None, Floats | None]:
    at, raw = _array(times, "times"), _measurable(_array(values, "values"))
    other = None if control is None else _measurable(_array(control, "control"))
    counted_in = None if of is None else _measurable(_array(of, "of"))
    if any(each is not None and each.shape != at.shape for each in (raw, other, counted_in)):
        raise ValueError(f"times {at.shape}, values {raw.shape}, control and of must have the same length")
    if len(at) > 1 and not (at[1:] > at[:-1]).all():
        order = np.argsort(at, kind="stable")
        at, raw = at[order], raw[order]
        other, counted_in = (None if each is None else each[order] for each in (other, counted_in))
    return at, _without_rounding(drop_stale_samples(at, raw)), other, counted_in


def _array(data: ArrayLike, name: str) -> Floats:
    array = np.asarray(data, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have one dimension, not {array.ndim}")
    return array


def _measurable(values: Floats) -> Floats:
    """The values, those a gap that are larger than any measurement and those nothing that are smaller.

    What is left can be squared and divided by in floating point.
    """
    sizes = np.abs(values)
    if not ((sizes > _LARGEST) | ((sizes < _SMALLEST) & (sizes > 0.0))).any():
        return values
    return np.where(sizes > _LARGEST, np.nan, np.where(sizes < _SMALLEST, 0.0, values))


def _without_rounding(values: Floats) -> Floats:
    """The values, those that floating-point arithmetic alone tells apart from their median equal to it.

    New instances are summed up in another order, so that a ratio that was always 1 goes on as 0.9999999999999998.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return values
    level = median(finite)
    return np.where(np.abs(values - level) <= _ROUNDING * abs(level), level, values)


def _ratio(values: Floats, control: Floats) -> Floats:
    """The series in units of its control, NaN where the control is not positive."""
    with np.errstate(all="ignore"):
        return np.where(control > 0, values / control, np.nan)


def _unjudgeable(grid: RegularSeries | None) -> Finding | None:
    """The finding for data on which nothing can be judged."""
    if grid is None or grid.time(0) < _FIRST or grid.time(grid.n + LEAST_HISTORY) > _LAST:
        return unusable_data()
    if grid.deployed < LEAST_HISTORY:
        return history_too_short(grid)
    if grid.n_after < LEAST_AFTER:
        reason = f"only {grid.n_after} points after the deployment, at least {LEAST_AFTER} are needed"
        return Finding(attributed=False, verdict=Attribution.INCONCLUSIVE, reason=reason, n_history=grid.deployed)
    if not grid.measured[grid.deployed :].mean() > 0.5:
        reason = "most of the data after the deployment is missing"
        return Finding(attributed=False, verdict=Attribution.INCONCLUSIVE, reason=reason, n_history=grid.deployed)
    if grid.values.min() == grid.values.max():
        reason = "the metric has not moved at all"
        return Finding(
            attributed=False, verdict=Attribution.NO_EFFECT, reason=reason, n_history=grid.deployed,
            log_factor=NOTHING_MOVED,
        )  # fmt: skip
    return None


def _against_the_level(transient: Transient, results: DetectorResults) -> bool:
    """Whether it went to the other side than a level that moved unusually far: then it is not what happened here."""
    return results.p_value < DRIFT_P_VALUE and transient.height * results.level.change < 0.0


def _decide(judged: Sequence[DetectorResults], shortest: Sequence[float]) -> list[Finding]:
    """The findings, of excursions that last for so many seconds at least."""
    transients = [_own_transient(*each) for each in zip(judged, shortest, strict=True)]
    rare = [each if each is not None and each.rarity > TRANSIENT_RARITY else None for each in transients]
    unexplained = [place for place, results in enumerate(judged) if not results.attributed]
    grids, wild = [judged[place].grid for place in unexplained], [rare[place] for place in unexplained]
    spread = dict(zip(unexplained, by_panel(variance_changes, grids, wild), strict=True))
    return [
        _decided(results, transients[place], rare[place], spread.get(place)) for place, results in enumerate(judged)
    ]


def _own_transient(results: DetectorResults, shortest: float) -> Transient | None:
    """The excursion, where it may be what happened here."""
    found = results.transient
    if found is None or _against_the_level(found, results) or (found.end - found.begin) * results.grid.step < shortest:
        return None
    return found


def _decided(
    results: DetectorResults, transient: Transient | None, rare: Transient | None, variance: VarianceChange | None
) -> Finding:
    likely = bayes_factor(results, transient, variance)
    score = results.score if results.attributed else likely.rank
    return replace(_verdict(results, rare, variance), log_factor=likely.log_factor, score=score)


def _verdict(results: DetectorResults, transient: Transient | None, variance: VarianceChange | None) -> Finding:
    if results.attributed:
        return level_shift_finding(results)
    if results.common:
        return common_cause_finding(results)
    if variance is not None and variance.p_value < VARIANCE_P_VALUE and variance.ratio > 1.0:
        return variance_finding(results, variance)
    if transient is not None:
        return transient_finding(results, transient)
    if (
        results.p_value < DRIFT_P_VALUE
        and results.end_share >= 0.5
        and ramp_preferred_to_step(extract(Panel.of([results.grid])))
    ):
        return gradual_finding(results)
    return no_effect_finding(results)
