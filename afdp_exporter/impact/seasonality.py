"""Seasonal changes are attributed to no deployment: only the excess over the usual change at this time counts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from scipy.special import ndtri

from afdp_exporter.detectors.seasonality import SeasonalChange, Stretch, compare_with_days, seasonal_changes
from afdp_exporter.impact.bayes_factor import ATTRIBUTION_P_VALUE, DetectorResults
from afdp_exporter.impact.bayes_factor import restart_bayes_factor as against_placebos
from afdp_exporter.impact.verdict import Finding
from afdp_exporter.model import Attribution

_NIGHT = 12  # steps before the deployment, at least, of which must have been measured ...
_MEASURED = 0.5  # ... this share of them
_BEYOND = 0.03  # p-value of an excess over what is usual, and ...
_MORE = 0.25  # ... its share of that, from which on it is judged as a change of its own
_APART = 0.05  # p-value below which a change in the first minutes of a day stands out from those of earlier days


def exclude_seasonal_change(finding: Finding, results: DetectorResults, earlier: Sequence[float]) -> Finding:
    """The finding without what the same minutes of earlier days did as well; `earlier` deployments in Unix seconds."""
    unusual = finding.verdict is Attribution.NO_EFFECT and finding.p_value < ATTRIBUTION_P_VALUE
    if not (finding.verdict.moved or unusual):
        return finding
    grid = results.grid
    found = tuple(seasonal_changes(grid, _stretches(finding, results), earlier=earlier))
    if not found:
        return finding
    stretch, surest = max(found, key=lambda each: each[1].p_value)
    measured = {"gap_steps": stretch.begin - grid.deployed, "forward_steps": stretch.end - grid.deployed}
    finding = replace(finding, account={**finding.account, **measured})
    goes_beyond = surest.p_value < _BEYOND and abs(surest.excess) >= _MORE * abs(surest.change)
    if goes_beyond and unusual:
        return finding
    return _excess_finding(finding, results, surest) if goes_beyond else _usual_finding(finding, results, surest)


def require_comparable_days(finding: Finding, results: DetectorResults, earlier: Sequence[float]) -> Finding:
    """The finding, where hardly anything was measured before the deployment: judged against earlier days."""
    grid = results.grid
    before = grid.measured[max(grid.deployed - max(grid.reach, _NIGHT), 0) : grid.deployed]
    if before.mean() > _MEASURED or finding.verdict is Attribution.INCONCLUSIVE:
        return finding
    stretch = next(_stretches(finding, results))
    days = compare_with_days(grid, stretch, earlier)
    if days is None:
        reason = "hardly anything was measured in the minutes before it, and too few earlier days to compare with"
    elif finding.verdict.moved and days.p_value >= _APART:
        reason = (
            f"hardly anything was measured in the minutes before it, and the same minutes of {days.compared} earlier "
            "days differ as much"
        )
    else:
        return finding
    return _undecided(finding, Attribution.INCONCLUSIVE, reason)


def _stretches(finding: Finding, results: DetectorResults) -> Iterator[Stretch]:
    """What moved, how far that moves by itself, and how far it is from its forecast."""
    grid, measured, transient = results.grid, results.level, results.transient
    deployed, apart = grid.deployed, (finding.change or 0.0) / grid.scale
    if finding.verdict is Attribution.TRANSIENT and transient is not None:
        begin, error = transient.begin, transient.error(grid) / float(ndtri(0.95))
        yield Stretch(base=begin, begin=begin, end=transient.end, error=error, apart=apart)
        return
    if finding.attributed:
        onset = results.onset.position
        end = min(onset + measured.forward, grid.n)
        yield Stretch(base=min(onset, deployed), begin=onset, end=end, error=measured.error, apart=apart)
    end = deployed + measured.forward
    yield Stretch(base=deployed, begin=deployed, end=end, error=measured.error, apart=apart)


def _usual_finding(finding: Finding, results: DetectorResults, usual: SeasonalChange) -> Finding:
    further = "and this change may only be late" if usual.shortfall else "and it went no further"
    reason = f"usual {usual.period}: {usual.count} of {usual.compared} moved alike, {further}"
    likely = against_placebos(usual.p_value)
    quiet = replace(_undecided(finding, Attribution.NO_EFFECT, reason), log_factor=likely.log_factor, score=likely.rank)
    return replace(quiet, p_value=usual.p_value, **_measurements(finding, results, usual))


def _excess_finding(finding: Finding, results: DetectorResults, usual: SeasonalChange) -> Finding:
    count = f"{usual.count} of {usual.compared}"
    beyond = f"beyond what is usual {usual.period}, when {count} moved as well"
    short = f"it falls short of what is usual {usual.period}, when {count} moved"
    reason = f"{finding.reason}; {short if usual.shortfall else beyond}"
    surest = min(finding.log_factor or 0.0, against_placebos(usual.p_value).log_factor)
    return replace(finding, reason=reason, log_factor=surest, **_measurements(finding, results, usual))


def _measurements(finding: Finding, results: DetectorResults, usual: SeasonalChange) -> dict[str, Any]:
    scale = results.grid.scale
    change, half = usual.excess * scale, usual.half_width() * scale
    after = (finding.before or 0.0) + (usual.change + usual.excess) * scale
    before = after - change
    return {
        "before": before,
        "after": after,
        "change": change,
        "low": change - half,
        "high": change + half,
        "change_ratio": change / abs(before) if before else None,
    }


def _undecided(finding: Finding, verdict: Attribution, reason: str) -> Finding:
    even = 0.0  # neither for nor against it
    return replace(
        finding, attributed=False, verdict=verdict, reason=reason, log_factor=even, score=even, shape=None,
        onset=None, onset_low=None, onset_high=None, duration_seconds=None, recovered_at=None,
    )  # fmt: skip
