"""The process: what is alike behaves alike, as far as the cases can say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

from afdp_exporter.patterns.gaussian_process import Inputs, Level, fit_gaussian_process, relevance

LEVEL = Level(mean=0.0, whole=1.0, team=1e-6, service=1e-6)


def inputs(traits: np.ndarray, service: np.ndarray | None = None) -> Inputs:
    home = np.zeros(len(traits), dtype=np.intp)
    return Inputs(traits, np.zeros((len(traits), 0)), home if service is None else service, home)


def test_with_one_strength_it_is_the_classifier_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    traits = rng.normal(size=(40, 3)) / np.sqrt(3)
    happened = (rng.random(40) < expit(3 * traits[:, 0])).astype(float)
    kernel = ConstantKernel(1.0, "fixed") + ConstantKernel(1.5**2 / 2, "fixed") * (
        DotProduct(0.0, "fixed") + RBF(1.0, "fixed")
    )
    theirs = GaussianProcessClassifier(kernel, optimizer=None).fit(traits, happened)
    process = fit_gaussian_process(inputs(traits), happened, np.ones(40), LEVEL, (1.5,))
    mean, spread = process.odds(inputs(traits))
    ours = expit(mean / np.sqrt(1 + np.pi * spread**2 / 8))
    assert ours == pytest.approx(theirs.predict_proba(traits)[:, 1], abs=0.02)


def test_three_of_three_alike_move_the_odds_of_a_fourth_and_not_of_another() -> None:
    rng = np.random.default_rng(5)
    plain = np.hstack([0.2 * rng.normal(size=(20, 3)), np.zeros((20, 1))])
    alike = np.hstack([0.2 * rng.normal(size=(4, 3)), np.ones((4, 1))])
    happened = np.append(np.zeros(20), np.ones(3))
    level = Level(mean=-1.7, whole=1.0, team=0.3, service=0.3)
    process = fit_gaussian_process(inputs(np.vstack([plain, alike[:3]])), happened, np.ones(23), level)
    fourth, other = process.odds(inputs(np.vstack([alike[3:], plain[:1]])))[0]
    assert expit(fourth) > 0.5
    assert expit(other) < 0.15


def test_what_other_services_did_counts_less_than_ones_own_and_more_than_nothing() -> None:
    traits = np.tile(np.eye(4), (3, 1))
    happened = np.tile([1.0, 0.0, 0.0, 0.0], 3)
    level = Level(mean=-1.7, whole=1.0, team=0.3, service=0.3)

    def odds(service: int) -> float:
        cases = inputs(traits, np.full(12, service, dtype=np.intp))
        return float(fit_gaussian_process(cases, happened, np.ones(12), level).odds(inputs(np.eye(4)[:1]))[0][0])

    assert odds(0) > odds(1) > -1.7


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_any_few_cases_give_finite_odds_with_a_doubt(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    traits, happened = 10.0 ** rng.uniform(-3, 2) * rng.normal(size=(n, 2)), rng.integers(0, 2, n).astype(float)
    process = fit_gaussian_process(inputs(traits), happened, rng.uniform(0.01, 1.0, n), LEVEL)
    mean, spread = process.odds(inputs(traits))
    assert np.isfinite(mean).all()
    assert (spread > 0).all()
    assert sum(fit.weight for fit in process.fits) == pytest.approx(1.0)


def test_a_trait_that_decides_counts_more_than_one_that_does_nothing() -> None:
    rng = np.random.default_rng(11)
    traits = rng.normal(size=(80, 6)) / np.sqrt(6)
    happened = (traits[:, 2] > 0).astype(float)
    names = [f"trait {place}" for place in range(6)]
    factors = relevance(inputs(traits), names, happened, np.ones(80), LEVEL)
    assert factors[2] == 2.0
    assert np.delete(factors, 2).max() <= 1.0
