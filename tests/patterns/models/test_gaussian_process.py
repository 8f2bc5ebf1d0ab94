"""The process: what is alike behaves alike, as far as the cases can say."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.special import expit, log_expit
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from afdp_exporter.patterns.models.gaussian_process import Inputs, MeanPrior, fit_gaussian_process
from afdp_exporter.patterns.models.logistic import LogOdds

LEVEL = MeanPrior(mean=0.0, whole=1.0, team=1e-6, service=1e-6)


def inputs(traits: np.ndarray, service: np.ndarray | None = None) -> Inputs:
    home = np.zeros(len(traits), dtype=np.intp)
    nothing = np.zeros(len(traits))
    return Inputs((traits,), np.zeros((len(traits), 0)), nothing, home if service is None else service, home)


def mean(odds: LogOdds) -> np.ndarray:
    """Over all fits, of each row."""
    return odds.shares @ odds.means


def test_with_one_strength_it_has_the_mean_and_the_evidence_that_sampling_finds() -> None:
    rng = np.random.default_rng(3)
    traits = rng.normal(size=(9, 3)) / np.sqrt(3)
    happened = (traits[:, 0] > 0).astype(float)
    kernel = ConstantKernel(1.0) + ConstantKernel(6.0**2 / 2) * (DotProduct(0.0) + RBF(1.0))
    draws = rng.multivariate_normal(np.zeros(9), kernel(traits), size=400_000)
    likelihood = np.exp(np.where(happened > 0, log_expit(draws), log_expit(-draws)).sum(axis=1))
    process = fit_gaussian_process(inputs(traits), happened, np.ones(9), LEVEL, (6.0,))
    odds = process.log_odds(inputs(traits))
    sampled = likelihood @ draws / likelihood.sum()
    assert odds.means[0] == pytest.approx(sampled, rel=0.06, abs=0.15)
    assert odds.sds[0] == pytest.approx(np.sqrt(likelihood @ (draws - sampled) ** 2 / likelihood.sum()), rel=0.1)
    assert process.fits[0].posterior.evidence == pytest.approx(np.log(likelihood.mean()), abs=0.1)


def test_directions_that_say_nothing_are_hardly_believed() -> None:
    rng = np.random.default_rng(7)
    traits = rng.normal(size=(60, 4)) / 2
    happened = (traits[:, 1] > 0).astype(float)
    shares = []
    for directions in (0.5 * rng.normal(size=(60, 6)), 4.0 * (happened[:, None] - 0.5) * np.ones((60, 6))):
        process = fit_gaussian_process(replace(inputs(traits), directions=directions), happened, np.ones(60), LEVEL)
        shares.append(sum(fit.weight for fit in process.fits if fit.assumed.directed))
    assert shares[0] < 0.2
    assert shares[1] > 0.8


def test_what_traits_are_expected_to_add_counts_until_cases_say_otherwise() -> None:
    traits = np.linspace(-1.0, 1.0, 40)[:, None]
    rising = replace(inputs(traits), expected=traits[:, 0])
    ends = rising.some(np.array([0, 39]))
    before = fit_gaussian_process(ends.some(np.zeros(0, dtype=np.intp)), np.zeros(0), np.zeros(0), LEVEL)
    assert before.log_odds(ends).means[0] == pytest.approx([-1.0, 1.0])
    falling = fit_gaussian_process(rising, (traits[:, 0] < 0).astype(float), np.ones(40), LEVEL)
    low, high = mean(falling.log_odds(ends))
    assert low > 2.0 > -2.0 > high
    assert falling.contrast(ends.some([1]), ends.some([0]))[0] == pytest.approx(high - low)


def test_the_view_that_foretells_cases_is_believed() -> None:
    rng = np.random.default_rng(17)
    acting, noise = rng.normal(size=(2, 60, 6)) / np.sqrt(6)
    happened = (acting[:, 0] + acting[:, 1] > 0).astype(float)
    for views, right in (((acting, noise), 0), ((noise, acting), 1)):
        process = fit_gaussian_process(replace(inputs(acting), views=views), happened, np.ones(60), LEVEL)
        assert sum(fit.weight for fit in process.fits if fit.assumed.view == right) > 0.9


def test_a_few_cases_of_chance_are_not_taken_for_a_strong_law() -> None:
    level = MeanPrior(mean=-1.4, whole=1.4, team=0.3, service=0.3)

    def strong(traits: np.ndarray, happened: np.ndarray) -> float:
        process = fit_gaussian_process(inputs(traits), happened, np.ones(len(traits)), level)
        return sum(fit.weight for fit in process.fits if fit.assumed.strength >= 4.0)

    rng = np.random.default_rng(11)
    few = [rng.normal(size=(15, 12)) / np.sqrt(12) for _ in range(10)]
    assert np.mean([strong(traits, (rng.random(15) < 0.2).astype(float)) for traits in few]) < 0.1
    many = rng.normal(size=(60, 12)) / np.sqrt(12)
    assert strong(many, (many[:, 0] + many[:, 1] > 0).astype(float)) > 0.9


def test_three_of_three_alike_move_the_odds_of_a_fourth_and_not_of_another() -> None:
    rng = np.random.default_rng(5)
    plain = np.hstack([0.2 * rng.normal(size=(20, 3)), np.zeros((20, 1))])
    alike = np.hstack([0.2 * rng.normal(size=(4, 3)), np.ones((4, 1))])
    happened = np.append(np.zeros(20), np.ones(3))
    level = MeanPrior(mean=-1.7, whole=1.0, team=0.3, service=0.3)
    process = fit_gaussian_process(inputs(np.vstack([plain, alike[:3]])), happened, np.ones(23), level)
    fourth, other = mean(process.log_odds(inputs(np.vstack([alike[3:], plain[:1]]))))
    assert expit(fourth) > 0.5
    assert expit(other) < 0.15


def test_what_other_services_did_counts_less_than_ones_own_and_more_than_nothing() -> None:
    traits = np.tile(np.eye(4), (3, 1))
    happened = np.tile([1.0, 0.0, 0.0, 0.0], 3)
    level = MeanPrior(mean=-1.7, whole=1.0, team=0.3, service=0.3)

    def odds(service: int) -> float:
        cases = inputs(traits, np.full(12, service, dtype=np.intp))
        process = fit_gaussian_process(cases, happened, np.ones(12), level)
        return float(mean(process.log_odds(inputs(np.eye(4)[:1])))[0])

    assert odds(0) > odds(1) > -1.7


@example(4, 5_915_506)  # wide beside the likelihood: the nodes of a quadrature see none of it
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_any_few_cases_give_finite_odds_with_a_doubt(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    traits, happened = 10.0 ** rng.uniform(-3, 2) * rng.normal(size=(n, 2)), rng.integers(0, 2, n).astype(float)
    process = fit_gaussian_process(inputs(traits), happened, rng.uniform(0.01, 1.0, n), LEVEL)
    odds = process.log_odds(inputs(traits))
    assert np.isfinite(odds.means).all()
    assert (odds.sds > 0).all()
    assert sum(fit.weight for fit in process.fits) == pytest.approx(1.0)


def test_a_model_holds_half_a_square_of_its_cases_for_each_fit() -> None:
    traits = np.random.default_rng(11).normal(size=(41, 3)) / np.sqrt(3)
    process = fit_gaussian_process(inputs(traits), (traits[:, 0] > 0).astype(float), np.ones(41), LEVEL)
    assert {fit.posterior.cholesky.nbytes for fit in process.fits} == {4 * 41 * 42 // 2}
