"""From detector results to an Impact: attribution, causal order, cost. Pure functions."""

from afdp_exporter.impact.attribution import ObservedSeries, Rollout, judge, judge_together
from afdp_exporter.impact.verdict import Finding

__all__ = ["Finding", "ObservedSeries", "Rollout", "judge", "judge_together"]
