"""How strongly the detector results speak for an effect of the deployment: an attribution score and a Bayes factor.

The score is a sum of bounded terms, a logistic regression on detector statistics; it decides on lasting level shifts.
The Bayes factor compares three kinds of effects (level shift, transient, variance change) with an innocent deployment:
for each the log likelihood ratio is a bounded linear function of the detector results, and a constant stands for
effects without a trace; their sum is the Bayes factor of the mixture. Both were fitted to known effects against
placebos, shifts at other times and common shocks, on production and generated series (`benchmarks/attribution.py`,
`benchmarks/calibration.py`), and rounded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from math import exp, inf, log, log1p, log10, nan

from afdp_exporter.detectors.changepoint import (
    KernelChangepoint,
    Onset,
    changepoint_posteriors,
    extract,
    extract_raw,
    kernel_changepoints,
    unknown_onset,
    window_shares,
)
from afdp_exporter.detectors.counts import CountShift
from afdp_exporter.detectors.level import LevelShift, level_shifts, steps_at_onsets
from afdp_exporter.detectors.panel import Panel, by_panel
from afdp_exporter.detectors.regular_series import RegularSeries
from afdp_exporter.detectors.robust import median
from afdp_exporter.detectors.step import LocalStep, local_steps
from afdp_exporter.detectors.transient import Transient, find_transients
from afdp_exporter.detectors.variance import VarianceChange
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.model import Floats, MeasuredDeployment, Shift

ATTRIBUTION_P_VALUE = 0.1  # above this p-value of the level a shift is not attributed
TRANSIENT_RARITY = 1.3  # rarity of an excursion from which on it is reported
CONTROL_SHARE = 0.4  # share of the step that the control makes too, from which on a common cause is suspected
CONTROL_WINDOWS = (6, 24)  # steps compared on either side of the onset


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DetectorResults:
    """What the detectors found about one metric; `common`: the control moved along.

    `step` is the level measured again from the onset on, where an attribution is likely. `weight` is in
    powers of ten; from 0 on it is more likely than not that the deployment made a lasting shift.
    """

    grid: RegularSeries
    level: LevelShift
    onset: Onset
    transient: Transient | None
    step: LevelShift | None
    p_value: float
    persistence: float
    end_share: float
    weight: float
    common: bool

    @property
    def attributed(self) -> bool:
        """Whether a lasting shift is attributed to the deployment."""
        return self.weight >= 0.0 and self.p_value < ATTRIBUTION_P_VALUE and not self.common

    @property
    def score(self) -> float:
        """The weight, lifted above every other when attributed."""
        return 100.0 + self.weight if self.attributed else self.weight


def run_detectors(series: Sequence[RegularSeries], *, briefly: bool = False) -> list[DetectorResults | None]:
    """Ask every detector about each series; None when its history is too short for an answer.

    With `briefly` the onset of what cannot be attributed is not looked for, and nothing weighed of it.
    """
    results = by_panel(partial(_weighed, briefly=briefly), series)
    likely = {place: each for place, each in enumerate(results) if each is not None and each.attributed}
    onsets = [each.onset.position for each in likely.values()]
    steps = steps_at_onsets([each.grid for each in likely.values()], onsets)
    for (place, each), step in zip(likely.items(), steps, strict=True):
        results[place] = replace(each, step=step, weight=each.weight + _weight_of_agreement(each.level, step))
    return results


def _weighed(panel: Panel, *, briefly: bool) -> list[DetectorResults | None]:
    """What all detectors say, before the level is measured again from the onset on."""
    results: list[DetectorResults | None] = [
        None if measured is None else _unweighed(grid, measured, transient)
        for grid, measured, transient in zip(panel.series, level_shifts(panel), find_transients(panel), strict=True)
    ]
    asked = {row: each for row, each in enumerate(results) if each is not None and not (briefly and _is_unmoved(each))}
    if not asked:
        return results
    some = panel.of_rows([*asked])
    segment, raw = extract(some), extract_raw(some)
    found = zip(
        asked.items(),
        segment.values,
        changepoint_posteriors(segment),
        window_shares(raw).tolist(),
        kernel_changepoints(raw),
        local_steps(some),
        strict=True,
    )
    for (row, each), path, onset, longer, change, step in found:
        if onset is None:
            results[row] = None
            continue
        shares = _shares(path, onset.position - segment.begin, each.grid.looks_back, each.level)
        weight = sum(
            (
                SCORE_INTERCEPT,
                _weight_of_level(each.p_value, shares),
                _weight_of_onset(onset, longer, change),
                -0.75 * max(log10(segment.window_share / USUAL_WINDOW), 0.0),
                _weight_of_step(step),
                _weight_of_transient(each.transient, each.level),
            )
        )
        results[row] = replace(each, onset=onset, persistence=min(shares), end_share=shares[-1], weight=weight)
    return results


def _unweighed(grid: RegularSeries, measured: LevelShift, transient: Transient | None) -> DetectorResults:
    """A level of which it is not known when it moved."""
    return DetectorResults(
        grid=grid, level=measured, onset=unknown_onset(grid), transient=transient, step=None, p_value=measured.p_value,
        persistence=nan, end_share=nan, weight=-inf, common=False,
    )  # fmt: skip


def _is_unmoved(results: DetectorResults) -> bool:
    """Whether neither its level nor an excursion can be attributed, whenever it began."""
    transient = results.transient
    return results.p_value >= ATTRIBUTION_P_VALUE and (transient is None or transient.rarity <= TRANSIENT_RARITY)


COUNTS_INTERCEPT = -2.0  # log10 odds
_CANNOT_LAST = 0.1  # likelihood of the least likely third, below which a change weighs less


def by_counts(results: DetectorResults, counted: CountShift) -> DetectorResults:
    """The same, where what moved are counts of sparse events: how unlikely, how surely in the window, how lasting."""
    level, onset = counted.level, counted.onset
    unlikely = min(-log10(max(level.p_value, 1e-12)), 4.0)
    share = log10(min(max(onset.share, 1e-3), 1.0))
    lasting = min(log10(max(counted.lasting, 1e-3) / _CANNOT_LAST), 0.0)
    return replace(
        results, level=level, step=counted.step, onset=onset, p_value=level.p_value, end_share=1.0,
        weight=COUNTS_INTERCEPT + unlikely + 1.5 * share + lasting,
    )  # fmt: skip


# The weight is a sum of bounded terms, so that no single one can convict. Their factors were fitted by logistic
# regression to known shifts against placebos, shifts at other times, excursions and grown spreads on real series
# (`benchmarks/attribution.py`), a series' cases always judged by factors that other series gave, then rounded. The
# term for the window keeps a wide one (an early look, a slow response) from finding by chance what a narrow one would
# not: its factor shares one budget of false alarms among the looks.
SCORE_INTERCEPT = -2.1  # log10 odds
USUAL_WINDOW = 0.12  # share of the path in which an onset counts


def _weight_of_level(p_value: float, shares: list[float]) -> float:
    """How unusual the change is; that each third after the onset shows it; and that the last does not run away."""
    unusual = min(max(-log10(max(p_value, 1e-12)), 0.3), 2.0)
    return 0.4 * unusual + 0.75 * min(max(min(shares), 0.0), 0.6) - 0.75 * log(min(max(shares[-1], 1.25), 5.0))


def _weight_of_onset(onset: Onset, longer: float, change: KernelChangepoint | None) -> float:
    """How surely it moved in the window: on the path, on a longer one as it was measured, and by its kernel."""
    share = min(max(onset.share, 1e-3), 1.0 - 1e-3)
    odds = min(max(log10(share / (1.0 - share)), -2.0), 1.5)
    gain = min(max(log1p(change.gain) if change else 0.0, 2.0), 3.8)
    return 0.35 * odds + 0.3 * log10(max(longer, 0.01)) + 0.5 * gain


def _weight_of_step(largest: LocalStep | None) -> float:
    if largest is None:
        return 0.4 * -1.0 + 0.3 * -1.2
    any_length, longest = (log(max(size, 1e-3)) for size in (largest.any_length, largest.longest))
    return 0.4 * min(max(any_length, -1.0), 1.0) + 0.3 * min(max(longest, -1.2), 1.0)


def _weight_of_transient(transient: Transient | None, measured: LevelShift) -> float:
    """An excursion takes for itself what it moved the level by; one to the other side has moved nothing that way."""
    rarity = transient.rarity if transient is not None and transient.height * measured.change > 0.0 else 0.0
    return -0.65 * log(min(max(rarity, 0.9), 6.0))


def _weight_of_agreement(measured: LevelShift, step: LevelShift | None) -> float:
    """A change of the level that is not made by a step at the onset comes from elsewhere."""
    if step is None or measured.change == 0.0:
        return 0.0
    return 0.5 * log(min(max(step.change / measured.change, 0.25), 1.0))


def _shares(path: Floats, at: int, ramp: int, measured: LevelShift) -> list[float]:
    """The medians of three parts of (m,) values from the onset `at` on, without its ramp, as shares of the change.

    A lasting shift has a good part of each. Season and control are taken out of the path: else the slope of the day
    hides a shift, or passes for one.
    """
    if measured.change == 0.0:
        return [0.0]
    base = median(path[max(0, at - measured.back) : at])
    rest = path[max(min(at + ramp, len(path) - 3), at) :]
    edges = [-(-len(rest) * part // 3) for part in range(4)]
    parts = (rest[begin:end] for begin, end in pairwise(edges) if begin < end)
    return [(median(part) - base) / measured.change for part in parts]


def earlier_near_control(results: DetectorResults, control: RegularSeries, earlier: Sequence[float]) -> list[float]:
    """Which of the `earlier` deployments (Unix seconds) may have shifted what is compared of the control."""
    begin = results.onset.position - max(CONTROL_WINDOWS)
    return [
        at
        for at, place in zip(earlier, control.positions(earlier).tolist(), strict=True)
        if place + control.reach + 1 > begin
    ]


def control_moved_along(results: DetectorResults, control: RegularSeries | None) -> bool:
    """Whether the control made a good part of the same step, as a share of its level, at the same time."""
    if control is None or control.n != results.grid.n:
        return False
    for near in CONTROL_WINDOWS:
        own, other = (_step_share(grid, results.onset.position, near) for grid in (results.grid, control))
        if own != 0.0 and other / own >= CONTROL_SHARE:
            return True
    return False


def _step_share(grid: RegularSeries, position: int, near: int) -> float:
    """The step at a position, as a share of the level before it; so many steps are compared on either side."""
    before = median(grid.values[max(0, position - near) : position])
    begin = max(min(position + grid.looks_back, grid.n - near), position)
    after = median(grid.values[begin : begin + near])
    level_before = abs(grid.centre + grid.scale * before)
    return (after - before) * grid.scale / level_before if level_before > 0 else 0.0


def adjust_for_control(results: DetectorResults, ratio: DetectorResults | None) -> DetectorResults:
    """The evidence that is left when the series is seen in units of a control that moved along."""
    if ratio is None:
        return replace(results, weight=min(results.weight, -1.0), p_value=1.0, common=True)
    return replace(
        results,
        weight=min(results.weight, ratio.weight),
        persistence=min(results.persistence, ratio.persistence),
        p_value=max(results.p_value, ratio.p_value),
        common=not ratio.attributed,
    )


PRIOR = 0.3  # how often a deployment moves a metric, as long as nothing is known of the service: ...
PRIOR_CASES = 10  # ... worth so many deployments
NOTHING_MOVED = -4.0  # log Bayes factor of a metric that has not moved at all
_MOST = 4.3  # no hypothesis can be surer than that; there are causes that no detector sees
_NO_TRACE = -4.0  # log likelihood ratio of an effect that leaves no trace


@dataclass(frozen=True, slots=True, kw_only=True)
class BayesFactor:
    """The log of the Bayes factor for "the deployment did it", and its unbounded form, which only ranks."""

    log_factor: float
    rank: float


def bayes_factor(results: DetectorResults, transient: Transient | None, variance: VarianceChange | None) -> BayesFactor:
    """Weigh the three kinds of effects; `transient` is an excursion that is not against the level, or None."""
    hypotheses = [_NO_TRACE, _passing(transient), _scattering(variance)]
    if not results.common:
        hypotheses.append(_shifted(results))
    return BayesFactor(
        log_factor=_mixture([min(each, _MOST) for each in hypotheses]), rank=_mixture(hypotheses) / log(10.0)
    )


def restart_bayes_factor(p_value: float) -> BayesFactor:
    """The same for a t-test against the earlier deployments, the only evidence on a value that starts again."""
    unlikely = min(-log10(max(p_value, 1e-12)), 4.0)
    shifted = _LEVEL + _LEVEL_WEIGHT * min(unlikely - 2.0, 2.0) + _LEVEL_P * unlikely
    hypotheses = [_NO_TRACE, shifted]
    return BayesFactor(
        log_factor=_mixture([min(each, _MOST) for each in hypotheses]), rank=_mixture(hypotheses) / log(10.0)
    )


def posterior_probability(log_factor: float, prior: float = PRIOR) -> float:
    """The probability that this deployment did it, by Bayes' rule."""
    odds = prior / (1.0 - prior) * exp(log_factor)
    return odds / (1.0 + odds)


def with_service_prior(shifts: Iterable[Shift], context: AnalysisContext) -> tuple[Shift, ...]:
    """The shifts with the chances that follow from how often earlier deployments of the service moved each metric."""
    earlier = [record.impact for record in context.past if record.impact is not None and _is_earlier(record, context)]
    known: dict[str, list[bool]] = {}
    for impact in earlier:
        for shift in impact.shifts:
            if shift.attribution_ratio is not None:
                known.setdefault(shift.metric, []).append(shift.moved)
    return tuple(_with_prior(shift, known.get(shift.metric, [])) for shift in shifts)


def _is_earlier(record: MeasuredDeployment, context: AnalysisContext) -> bool:
    own, other = context.deployment, record.deployment
    return own.same_target(other) and own.id != other.id


def _with_prior(shift: Shift, moved: list[bool]) -> Shift:
    if not moved or shift.attribution_ratio is None:
        return shift
    prior = (PRIOR * PRIOR_CASES + sum(moved)) / (PRIOR_CASES + len(moved))
    times = prior / (1.0 - prior) * (1.0 - PRIOR) / PRIOR
    odds = shift.attribution_ratio / (1.0 - shift.attribution_ratio) * times
    return replace(shift, attribution_ratio=odds / (1.0 + odds))


def _mixture(hypotheses: list[float]) -> float:
    return log(sum(exp(each) for each in hypotheses))


_LEVEL, _LEVEL_WEIGHT, _LEVEL_P = 0.6, 1.25, 0.85  # intercept, and factors of the score and of -log10 p


def _shifted(results: DetectorResults) -> float:
    """What so many independent windows cannot show is no evidence: further out the tails are those of the series."""
    unlikely = min(-log10(max(results.p_value, 1.0 / results.level.independent)), 4.0)
    return _LEVEL + _LEVEL_WEIGHT * min(max(results.weight, -2.5), 2.0) + _LEVEL_P * unlikely


def _passing(transient: Transient | None) -> float:
    rarity = 0.3 if transient is None else min(max(transient.rarity, 0.3), 16.0)
    return -2.6 + 12.0 * log10(rarity)


def _scattering(variance: VarianceChange | None) -> float:
    grown = variance is not None and variance.ratio > 1.0
    unlikely = min(-log10(max(variance.p_value, 1e-12)), 3.0) if variance is not None and grown else 0.0
    return -1.85 + 2.5 * unlikely
