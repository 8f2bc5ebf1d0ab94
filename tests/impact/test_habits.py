"""What is usual for a service by the reports of its earlier deployments."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from afdp_exporter.impact.case import Case
from afdp_exporter.impact.conclusion import conclude
from afdp_exporter.impact.habits import usual_by_reports
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Impact,
    Layer,
    Measured,
    Metric,
    Outcome,
    Shift,
    Usual,
    Worse,
)

MINUTE = timedelta(minutes=1)
LATENCY = Metric(name="latency_seconds", layer=Layer.TECHNICAL, query="l", worse=Worse.UP)
SIZES = (0.18, 0.22, 0.2, 0.25, 0.16)


@pytest.fixture
def spike(shift: Callable[..., Shift]) -> Callable[..., Shift]:
    """A spike of so much that came and went in three minutes."""

    def make(size: float, **changes: object) -> Shift:
        known: dict[str, object] = {
            "verdict": Attribution.TRANSIENT, "before": 0.1, "after": 0.1 + size, "duration": 3 * MINUTE,
        }  # fmt: skip
        return shift(LATENCY, 0, size, **(known | changes))

    return make


@pytest.fixture
def after(case: Callable[..., Case], deploy: Callable[..., Deployment]) -> Callable[..., Case]:
    """The case after earlier deployments, a week apart, whose reports have these shifts."""

    def make(*shifts: Shift, service: str = "checkout") -> Case:
        past = tuple(
            Measured(
                deployment=deploy(after=timedelta(weeks=number - len(shifts)), id=f"p{number}", service=service),
                impact=Impact(
                    deployment_id=f"p{number}",
                    measured_at=deploy().started_at,
                    shifts=(one,),
                    outcome=Outcome.DEGRADATION,
                    outcome_reason="",
                ),
            )
            for number, one in enumerate(shifts)
        )
        return case(metrics=(LATENCY,), past=past)

    return make


def test_the_fifth_spike_alike_is_usual_and_the_deployment_a_success(
    spike: Callable[..., Shift], after: Callable[..., Case]
) -> None:
    scene = after(*(spike(size) for size in SIZES[:4]))
    (found,) = usual_by_reports([spike(0.21)], scene)
    assert found.verdict is Attribution.NO_EFFECT
    assert found.usual == Usual(count=4, compared=4, change=pytest.approx(0.21), duration=3 * MINUTE)
    assert found.change == pytest.approx(0.0)
    assert conclude([spike(0.21)], scene).outcome is Outcome.SUCCESS


def test_what_was_usual_then_counts_as_much_as_what_was_harm_then(
    spike: Callable[..., Shift], after: Callable[..., Case]
) -> None:
    quiet = [
        spike(0.01, verdict=Attribution.NO_EFFECT, usual=Usual(count=4, compared=4, change=0.2, duration=3 * MINUTE))
        for _ in range(3)
    ]
    (found,) = usual_by_reports([spike(0.21)], after(*quiet, spike(0.2)))
    assert found.verdict is Attribution.NO_EFFECT


def test_fewer_or_other_ones_are_no_habit(spike: Callable[..., Shift], after: Callable[..., Case]) -> None:
    now = spike(0.2)
    none = spike(0.001, verdict=Attribution.NO_EFFECT)
    four = [spike(size) for size in SIZES[:4]]
    for scene in (
        after(*four[:3]),
        after(*four, none, none),
        after(*(spike(-size) for size in SIZES)),
        after(*(spike(size, duration=60 * MINUTE) for size in SIZES[:2]), *four[:2]),
        after(*four, service="search"),
    ):
        assert usual_by_reports([now], scene) == (now,)


def test_one_that_goes_far_beyond_the_usual_is_told_with_what_goes_beyond(
    spike: Callable[..., Shift], after: Callable[..., Case]
) -> None:
    (found,) = usual_by_reports([spike(1.0)], after(*(spike(size) for size in SIZES)))
    assert found.verdict is Attribution.TRANSIENT
    assert found.change == pytest.approx(0.8)
    assert "further than usual" in found.reason


def test_a_level_that_each_brings_back_is_usual_where_it_does_no_harm_only(
    shift: Callable[..., Shift], after: Callable[..., Case]
) -> None:
    drops = [shift(LATENCY, 0, -change, before=0.1 + change, after=0.1) for change in (0.3, 0.4, 0.5, 0.35)]
    now = shift(LATENCY, 0, -0.45, before=0.55, after=0.1)
    (found,) = usual_by_reports([now], after(*drops))
    assert found.verdict is Attribution.NO_EFFECT
    rises = [replace(drop, change=-drop.change, before=0.1, after=0.5) for drop in drops if drop.change]
    harm = shift(LATENCY, 0, 0.4, before=0.1, after=0.5)
    assert usual_by_reports([harm], after(*rises)) == (harm,)
    improving = [shift(LATENCY, 0, -0.1, before=0.9 - 0.1 * k, after=0.8 - 0.1 * k) for k in range(5)]
    better = shift(LATENCY, 0, -0.1, before=0.4, after=0.3)
    assert usual_by_reports([better], after(*improving)) == (better,)
