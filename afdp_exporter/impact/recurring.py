"""Nobody is blamed for what the clock or the calendar brings: only what goes beyond it counts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from scipy.special import ndtri

from afdp_exporter.detectors.recurrence import Recurrence, beside_days, recurrences
from afdp_exporter.impact.evidence import UNUSUAL, Evidence
from afdp_exporter.impact.finding import Finding
from afdp_exporter.impact.likelihood import after_restart as against_placebos
from afdp_exporter.model import Attribution

_NIGHT = 12  # steps before the deployment, at least, of which half must have been measured
_MEASURED = 0.5
_BEYOND = 0.03  # p-value of an excess over what is usual, and ...
_MORE = 0.25  # ... its share of that, from which on it is judged as a change of its own
_APART = 0.05  # p-value below which a change in the first minutes of a day stands out from those of earlier days


def beyond_the_clock(finding: Finding, evidence: Evidence, earlier: Sequence[float]) -> Finding:
    """The finding without what the same minutes of earlier days did as well; `earlier` deployments in Unix seconds."""
    unusual = finding.verdict is Attribution.NO_EFFECT and finding.p_value < UNUSUAL
    if not (finding.verdict.moved or unusual):
        return finding
    found = [
        (usual, begin, end)
        for begin, end, error in _stretches(finding, evidence)
        for usual in recurrences(evidence.grid, begin, end, error=error, earlier=earlier)
    ]
    if not found:
        return finding
    surest, begin, end = max(found, key=lambda each: each[0].p_value)
    measured = {"gap_steps": begin - evidence.grid.deployed, "forward_steps": end - evidence.grid.deployed}
    finding = replace(finding, account={**finding.account, **measured})
    goes_beyond = surest.p_value < _BEYOND and abs(surest.excess) >= _MORE * abs(surest.change)
    if goes_beyond and unusual:
        return finding
    return _beyond(finding, evidence, surest) if goes_beyond else _usual(finding, evidence, surest)


def after_a_night(finding: Finding, evidence: Evidence, earlier: Sequence[float]) -> Finding:
    """The finding, where hardly anything was measured before the deployment: only earlier days tell what is natural."""
    grid = evidence.grid
    before = grid.real[max(grid.deployed - max(grid.reach, _NIGHT), 0) : grid.deployed]
    if before.mean() > _MEASURED or finding.verdict is Attribution.INCONCLUSIVE:
        return finding
    begin, end, _ = next(_stretches(finding, evidence))
    beside = beside_days(grid, begin, end, earlier)
    if beside is None:
        reason = "hardly anything was measured in the minutes before it, and too few earlier days to compare with"
    elif finding.verdict.moved and beside.p_value >= _APART:
        reason = (
            f"hardly anything was measured in the minutes before it, and the same minutes of {beside.compared} earlier "
            "days differ as much"
        )
    else:
        return finding
    return _undecided(finding, Attribution.INCONCLUSIVE, reason)


def _stretches(finding: Finding, evidence: Evidence) -> Iterator[tuple[int, int, float]]:
    """The positions of what moved, and how far such a stretch moves by itself (one standard deviation)."""
    grid, measured, away = evidence.grid, evidence.level, evidence.away
    if finding.verdict is Attribution.TRANSIENT and away is not None:
        yield away.begin, away.end, away.error / float(ndtri(0.95))
        return
    if finding.attributed:
        yield evidence.onset.position, min(evidence.onset.position + measured.forward, grid.n), measured.error
    yield grid.deployed, grid.deployed + measured.forward, measured.error


def _usual(finding: Finding, evidence: Evidence, usual: Recurrence) -> Finding:
    reason = f"usual {usual.period}: {usual.count} of {usual.compared} moved alike, and it went no further"
    likely = against_placebos(usual.p_value)
    quiet = replace(_undecided(finding, Attribution.NO_EFFECT, reason), log_factor=likely.log_factor, score=likely.rank)
    return replace(quiet, p_value=usual.p_value, **_figures(finding, evidence, usual))


def _beyond(finding: Finding, evidence: Evidence, usual: Recurrence) -> Finding:
    reason = (
        f"{finding.reason}; beyond what is usual {usual.period}, when {usual.count} of {usual.compared} moved as well"
    )
    surest = min(finding.log_factor or 0.0, against_placebos(usual.p_value).log_factor)
    return replace(finding, reason=reason, log_factor=surest, **_figures(finding, evidence, usual))


def _figures(finding: Finding, evidence: Evidence, usual: Recurrence) -> dict[str, Any]:
    scale = evidence.grid.scale
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
