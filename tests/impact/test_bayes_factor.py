"""What the detectors found, weighed.

The chance that a deployment did it: right as often as reported, for every verdict.
"""

from collections.abc import Callable

import numpy as np
import pytest
from calibration import reported
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.detectors.changepoint import Onset
from afdp_exporter.impact import judge
from afdp_exporter.impact.bayes_factor import PRIOR, _weight_of_onset, posterior_probability, with_service_prior
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.verdict import shift_of
from afdp_exporter.model import Attribution, Deployment, Impact, MeasuredDeployment, Outcome, Shift

pytestmark = pytest.mark.many_worlds


def test_the_surer_the_onset_lies_elsewhere_the_less_it_weighs() -> None:
    def weight(share: float) -> float:
        onset = Onset(position=100, low=99, high=101, share=share, likeliest=107)
        return _weight_of_onset(onset, 0.0, None)

    weights = [weight(share) for share in (0.9, 0.5, 0.3, 0.1, 0.03, 0.01)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-2] - weights[-1] > 0.1


def test_what_is_reported_at_ninety_percent_is_right_nine_times_of_ten() -> None:
    chances, right = reported(None, seed=31, scale=0.25)
    sure = chances >= 0.85
    assert sure.sum() >= 40
    assert right[sure].mean() == pytest.approx(chances[sure].mean(), abs=0.1)
    assert right[chances < 0.2].mean() == pytest.approx(chances[chances < 0.2].mean(), abs=0.1)
    assert np.mean((chances - right) ** 2) < 0.75 * np.var(right)


def test_every_measured_verdict_has_a_chance_and_no_other() -> None:
    rng = np.random.default_rng(5)
    times = 60.0 * np.arange(660)
    for size in (0.0, 1.0, 3.0, 10.0):
        finding = judge(times, rng.normal(50.0, 1.0, 660) + size * (times >= times[600]), times[600])
        assert finding.log_factor is not None
    assert judge(times[:10], rng.normal(size=10), times[5]).log_factor is None


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(0.01, 0.99))
def test_more_evidence_means_a_higher_chance(one: float, other: float, prior: float) -> None:
    low, high = sorted((one, other))
    assert 0.0 < posterior_probability(low, prior) <= posterior_probability(high, prior) < 1.0
    assert posterior_probability(0.0, prior) == pytest.approx(prior)


@pytest.mark.parametrize(("moved", "direction"), [(0, -1), (20, 1)])
def test_a_service_whose_deployments_seldom_move_a_metric_makes_it_less_likely(
    case: Callable[..., AnalysisContext],
    shift: Callable[..., Shift],
    deploy: Callable[..., Deployment],
    moved: int,
    direction: int,
) -> None:
    metrics = case().metrics
    now = shift(metrics[0], attribution_ratio=0.9)
    verdicts = [Attribution.ATTRIBUTED] * moved + [Attribution.NO_EFFECT] * (20 - moved)
    past = tuple(
        MeasuredDeployment(
            deployment=deploy(id=f"p{number}"),
            impact=Impact(
                deployment_id=f"p{number}",
                measured_at=deploy().started_at,
                shifts=(shift(metrics[0], verdict=verdict, attribution_ratio=0.5),),
                outcome=Outcome.SUCCESS,
                outcome_reason="",
            ),
        )
        for number, verdict in enumerate(verdicts)
    )
    (other,) = with_service_prior([now], case(past=past))
    assert other.attribution_ratio is not None
    assert (other.attribution_ratio - 0.9) * direction > 0.0
    assert with_service_prior([now], case()) == (now,)


def test_the_chance_of_a_shift_is_that_of_the_usual_prior(case: Callable[..., AnalysisContext]) -> None:
    rng = np.random.default_rng(6)
    times = 60.0 * np.arange(660)
    finding = judge(times, rng.normal(50.0, 1.0, 660), times[600])
    assert finding.log_factor is not None
    assert shift_of(finding, case().metrics[0]).attribution_ratio == pytest.approx(
        posterior_probability(finding.log_factor, PRIOR)
    )
