"""A finding in numbers -> a shift in the words of the domain."""

from datetime import UTC, datetime, timedelta

from afdp_exporter.impact.finding import Finding
from afdp_exporter.impact.likelihood import chance
from afdp_exporter.model import Attribution, Metric, Shift


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
        attribution_ratio=None if finding.log_factor is None else chance(finding.log_factor),
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


def may_be_as_large(shift: Shift, other: Shift) -> bool:
    """Whether the range of a shift leaves room for the other's: what was not measured rules out nothing."""
    if shift.low is None or shift.high is None or other.low is None or other.high is None:
        return True
    return shift.low <= other.high and other.low <= shift.high


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
