"""Evidence put into a finding: the figures in the metric's own unit, and the reason as a sentence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from afdp_exporter.detectors.excursion import Excursion
from afdp_exporter.detectors.grid import Grid
from afdp_exporter.detectors.level import LEAST_HISTORY
from afdp_exporter.detectors.spread import Spread
from afdp_exporter.impact.evidence import UNUSUAL, Evidence
from afdp_exporter.impact.finding import Compared, Finding
from afdp_exporter.impact.sensitivity import minimum_detectable_effect
from afdp_exporter.model import Attribution, Estimate
from afdp_exporter.wording.history import short_history
from afdp_exporter.wording.numbers import format_factor, format_number

FURTHEST = 100  # times as far as usual: beyond that the usual is hardly known
LIKELY = 0.5  # share of the posterior from which on an onset lies in the deployment's window


def unusable() -> Finding:
    return Finding(
        attributed=False, verdict=Attribution.INSUFFICIENT_HISTORY, reason="there is no usable data for this metric"
    )


def too_short(grid: Grid) -> Finding:
    """The history is short: how much there is, how much is needed, and when there will be enough."""
    there, needed = (timedelta(seconds=points * grid.step) for points in (grid.deployed, LEAST_HISTORY))
    reason = short_history(there, needed, datetime.fromtimestamp(grid.time(LEAST_HISTORY), UTC))
    return Finding(attributed=False, verdict=Attribution.INSUFFICIENT_HISTORY, reason=reason, n_history=grid.deployed)


def level_shift(evidence: Evidence) -> Finding:
    figures = _figures(evidence if evidence.step is None else replace(evidence, level=evidence.step))
    times = abs(figures["change"]) / max(evidence.level.error * evidence.grid.scale, 1e-300)
    far = f"{format_number(times, 2)} times" if times <= FURTHEST else f"more than {FURTHEST} times"
    alone = "" if evidence.grid.control is not None else "; without a control a common cause cannot be excluded"
    reason = f"its level moved when the deployment came and stayed, {far} as far as it usually moves by itself{alone}"
    lasting = evidence.grid.time(evidence.grid.n) - evidence.grid.time(evidence.onset.position)
    return Finding(
        attributed=True, verdict=Attribution.ATTRIBUTED, reason=reason, shape="level",
        duration_seconds=lasting, **_timing(evidence), **figures,
    )  # fmt: skip


def transient(evidence: Evidence, away: Excursion) -> Finding:
    grid = evidence.grid
    timing: dict[str, Any] = {
        "onset": grid.time(away.begin),
        "onset_low": grid.time(away.begin - 1),
        "onset_high": grid.time(away.begin + 1),
    }
    before, change = grid.centre + grid.scale * away.level, grid.scale * away.height
    figures = _figures(evidence) | {
        "p_value": away.p_value,
        "before": before,
        "after": before + change,
        "change": change,
        "low": change - grid.scale * away.error,
        "high": change + grid.scale * away.error,
        "change_ratio": change / abs(before) if before else None,
    }
    return Finding(
        attributed=False, verdict=Attribution.TRANSIENT, shape="transient",
        reason="it left its level after the deployment and came back",
        duration_seconds=grid.time(away.end) - grid.time(away.begin), recovered_at=grid.time(away.end),
        **timing, **figures,
    )  # fmt: skip


def gradual(evidence: Evidence) -> Finding:
    return Finding(
        attributed=False, verdict=Attribution.GRADUAL, shape="gradual",
        reason="it drifted further than it does by itself, without a clear beginning", **_figures(evidence),
    )  # fmt: skip


def scattered(evidence: Evidence, scatter: Spread) -> Finding:
    grown = format_factor(Estimate(low=scatter.low, median=scatter.ratio, high=scatter.high))
    reason = f"its level did not shift, but its spread grew {grown} times"
    return Finding(
        attributed=False, verdict=Attribution.INCONCLUSIVE, shape="spread", reason=reason, **_figures(evidence)
    )


def common_cause(evidence: Evidence) -> Finding:
    reason = "what the deployment cannot have touched moved along with it: the cause is a common one"
    return Finding(
        attributed=False, verdict=Attribution.NOT_DISTINGUISHABLE, reason=reason, **_figures(evidence)
    )  # fmt: skip


def no_effect(evidence: Evidence) -> Finding:
    reason = "it moved no further than it moves by itself"
    if evidence.p_value < UNUSUAL:
        late = evidence.onset.share < LIKELY
        how = "at another time, as it seems" if late else "not by a step that came with the deployment and stayed"
        reason = f"its level changed further than it does by itself, but {how}"
    return Finding(attributed=False, verdict=Attribution.NO_EFFECT, reason=reason, **_figures(evidence))


def _figures(evidence: Evidence) -> dict[str, Any]:
    """Every field that a measured change has, in the metric's own unit."""
    grid, measured, onset = evidence.grid, evidence.level, evidence.onset
    base = float(grid.values[grid.deployed - measured.back : grid.deployed].mean())
    before = grid.centre + grid.scale * base
    visible = minimum_detectable_effect(measured) * grid.scale
    level = grid.centre + grid.scale * float(grid.values[: grid.deployed].mean())
    change, half = measured.change * grid.scale, measured.half_width() * grid.scale
    return {
        "p_value": evidence.p_value,
        "score": evidence.score,
        "before": before,
        "after": before + change,
        "change": change,
        "low": change - half,
        "high": change + half,
        "change_ratio": change / abs(before) if before else None,
        "minimum_detectable_effect": visible,
        "minimum_detectable_ratio": visible / abs(level) if level else None,
        "n_history": grid.deployed,
        "compared": Compared(gap=measured.gap, forward=measured.forward),
        "account": {
            "step_seconds": grid.step,
            "placebo_error": measured.error * grid.scale,
            "independent_windows": measured.independent,
            "forward_steps": measured.forward,
            "back_steps": measured.back,
            "gap_steps": measured.gap,
            "onset_share": onset.share,
            "persistence": evidence.persistence,
        },
    }


def _timing(evidence: Evidence) -> dict[str, Any]:
    grid, onset = evidence.grid, evidence.onset
    return {
        "onset": grid.time(onset.position),
        "onset_low": grid.time(onset.low),
        "onset_high": grid.time(onset.high),
        "onset_share": onset.share,
    }
