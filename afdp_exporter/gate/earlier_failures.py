"""Which earlier failures the impact so far resembles.

A fingerprint is the change of each metric that moved, as a share of its level. Two fingerprints are as similar as their
metrics agree in direction and size, over all metrics that moved after either.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from afdp_exporter.model import Impact, MatchedFailure, MeasuredDeployment, Outcome

LEAST_SHARED = 1  # metrics that moved after both


def fingerprint(impact: Impact) -> dict[str, float]:
    """Metric -> its change as a share of its level, of those primary ones that this deployment moved for the worse."""
    first = impact.first_hour or impact.shifts
    return {
        shift.metric: shift.change_ratio if shift.change_ratio is not None else shift.change or 0.0
        for shift in first
        if shift.primary and shift.moved and shift.harmful
    }


def similarity(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """From 0 to 1: the mean agreement over the metrics of both; 1 for the same changes of the same metrics."""
    names = one.keys() | other.keys()
    return sum(_agreement(one.get(name, 0.0), other.get(name, 0.0)) for name in names) / len(names) if names else 0.0


def matched_failures(
    now: Mapping[str, float],
    past: Iterable[MeasuredDeployment],
    *,
    least: float,
    basis: Literal["service", "team", "all"] = "service",
    most: int = 5,
) -> tuple[MatchedFailure, ...]:
    """The earlier failures that are at least so similar to what is seen now, the most similar first.

    `basis` says whose the past is: the service's, its team's, or that of all.
    """
    found = []
    for record in past:
        if record.impact is None or record.decision.outcome is not Outcome.FAILURE:
            continue
        then = fingerprint(record.impact)
        shared = sorted(now.keys() & then.keys())
        ratio = similarity(now, then)
        if len(shared) >= LEAST_SHARED and ratio >= least:
            why = ", ".join(f"{name} {now[name]:+.0%} now and {then[name]:+.0%} then" for name in shared)
            found.append(
                MatchedFailure(deployment_id=record.deployment.id, similarity_ratio=ratio, why=why, basis=basis)
            )
    return tuple(sorted(found, key=lambda match: -match.similarity_ratio)[:most])


def _agreement(one: float, other: float) -> float:
    if one * other <= 0.0:
        return 0.0
    return min(abs(one), abs(other)) / max(abs(one), abs(other))
