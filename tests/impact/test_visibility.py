"""What a check could not have seen is no "no effect"."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.outcome import decide
from afdp_exporter.impact.visibility import visible
from afdp_exporter.model import Attribution, Deployment, Layer, Metric, Outcome, Shift, Worse

LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query="l", worse=Worse.UP)
ERRORS = Metric(name="errors_ratio", layer=Layer.TECHNICAL, query="e", worse=Worse.UP)
REVENUE = Metric(name="revenue_usd_per_hour", layer=Layer.BUSINESS, query="r", worse=Worse.DOWN)


def quiet(shift: Callable[..., Shift], metric: Metric, size: float, ratio: float | None) -> Shift:
    return shift(
        metric, None, 0.001, verdict=Attribution.NO_EFFECT, reason="it moved no further than it moves by itself",
        minimum_detectable_effect=size, minimum_detectable_ratio=ratio,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("moved", "share", "seen"),
    [
        ((LATENCY, 0.01, 0.05), 1.0, True),
        ((LATENCY, 0.01, 0.05), 0.25, True),
        ((LATENCY, 0.01, 0.05), 0.05, False),
        ((ERRORS, 0.004, 2.0), 0.25, True),
        ((ERRORS, 0.004, 2.0), 0.01, False),
        ((REVENUE, 50.0, 0.1), 0.6, True),
        ((REVENUE, 50.0, 0.1), 0.1, False),
        ((LATENCY, 0.3, 1.5), 1.0, True),
        ((REVENUE, 700.0, 1.4), 1.0, False),
    ],
)
def test_what_not_even_severe_harm_would_have_shown_is_unknown(
    rollout: Callable[[float], Case],
    shift: Callable[..., Shift],
    moved: tuple[Metric, float, float],
    share: float,
    *,
    seen: bool,
) -> None:
    scene = rollout(share)
    (found,) = visible([quiet(shift, *moved)], scene)
    assert (found.verdict is Attribution.NO_EFFECT) is seen
    assert "of its level" in found.reason or "of the level" in found.reason
    assert decide([found], scene).outcome is (Outcome.SUCCESS if seen else Outcome.UNKNOWN)
    assert ("share of the traffic" in found.reason) is (not seen and share < 1.0)


@pytest.fixture
def rollout(case: Callable[..., Case], deploy: Callable[..., Deployment]) -> Callable[[float], Case]:
    return lambda share: case(metrics=(LATENCY, ERRORS, REVENUE), deployment=deploy(traffic_ratio=share))


def test_what_moved_and_what_another_cause_explains_stay_as_they_are(
    rollout: Callable[[float], Case], shift: Callable[..., Shift]
) -> None:
    scene = rollout(0.01)
    moved = shift(LATENCY, minimum_detectable_effect=1.0, minimum_detectable_ratio=5.0)
    explained = replace(moved, verdict=Attribution.NO_EFFECT)
    assert visible([moved, explained], scene) == (moved, explained)
