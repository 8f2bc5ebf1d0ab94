"""Ridge whose shrinkage is learned: effects are found, what does nothing shrinks away, and ranges hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import BayesianRidge

from afdp_exporter.patterns.models import ridge
from afdp_exporter.patterns.models.ridge import conformal_quantiles

pytestmark = pytest.mark.many_worlds


def ones(n: int) -> np.ndarray:
    return np.ones(n)


def test_what_does_nothing_shrinks_and_what_does_something_stays() -> None:
    rng = np.random.default_rng(1)
    table = rng.normal(size=(300, 6))
    values = 2.0 * table[:, 0] + rng.normal(size=300)
    fit = ridge.fit_ridge(table, values, list("abcdef"), ones(300))
    assert fit.weights[1] == pytest.approx(2.0, abs=0.25)
    assert np.abs(fit.weights[2:]).max() < 0.15
    assert fit.sigma == pytest.approx(1.0, abs=0.12)


def test_with_one_group_and_many_cases_it_is_the_bayesian_ridge_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(1000, 5))
    values = 1.0 + table @ np.array([1.0, -0.5, 0.2, 0.0, 0.0]) + rng.normal(size=1000)
    fit = ridge.fit_ridge(table, values, ["a"] * 5, ones(1000), rounds=200)
    other = BayesianRidge(max_iter=1000, tol=1e-10).fit(table, values)
    assert fit.weights == pytest.approx(np.append(other.intercept_, other.coef_), abs=1e-4)
    assert fit.sigma == pytest.approx(other.alpha_**-0.5, rel=1e-3)
    errors = fit.sigma * np.sqrt(np.diag(fit.covariance))[1:]
    assert errors == pytest.approx(np.sqrt(np.diag(other.sigma_)), rel=1e-3)


def test_few_cases_stay_near_their_mean() -> None:
    rng = np.random.default_rng(2)
    table, values = rng.normal(size=(8, 20)), rng.normal(5.0, 1.0, size=8)
    fit = ridge.fit_ridge(table, values, [f"g{k}" for k in range(20)], ones(8))
    assert np.abs(fit.mean(table) - values.mean()).max() < 1.0


@pytest.mark.parametrize("n", [3, 5, 8, 12, 25, 80])
def test_nine_of_ten_new_cases_lie_inside_the_range(n: int) -> None:
    rng = np.random.default_rng(n)
    inside = []
    for _ in range(400):
        table = rng.normal(size=(n + 1, 3))
        values = table[:, 0] * 0.5 + rng.normal(size=n + 1)
        groups = ["a", "b", "c"]
        fit = ridge.fit_ridge(table[:n], values[:n], groups, ones(n))
        unseen = ridge.leave_one_out(fit, table[:n], values[:n], groups, ones(n))
        errors = (values[:n] - unseen.mean) / unseen.predictive_sd
        low, high = conformal_quantiles(errors, fit.degrees_of_freedom, np.array([0.05, 0.95]))
        centre, spread = fit.mean(table[n:])[0], fit.predictive_sd(table[n:])[0]
        inside.append(centre + low * spread <= values[n] <= centre + high * spread)
    assert 0.86 <= np.mean(inside) <= 0.955


def test_a_case_that_counts_nothing_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    table, values = rng.normal(size=(30, 2)), rng.normal(size=30)
    counts = np.append(ones(30), 0.0)
    alone = ridge.fit_ridge(table, values, ["a", "b"], ones(30))
    beside = ridge.fit_ridge(np.vstack([table, [9, 9]]), np.append(values, 1e3), ["a", "b"], counts)
    assert beside.weights == pytest.approx(alone.weights, abs=1e-6)


@given(
    n=st.integers(1, 30),
    columns=st.integers(0, 5),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
)
@settings(max_examples=60, deadline=None)
def test_any_table_gives_finite_figures(n: int, columns: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    table, values = rng.normal(size=(n, columns)), scale * rng.normal(size=n)
    groups = [f"g{k}" for k in range(columns)]
    fit = ridge.fit_ridge(table, values, groups, ones(n))
    assert np.isfinite(fit.mean(table)).all()
    assert np.isfinite(fit.predictive_sd(table)).all()


def test_figures_without_any_noise_are_learned_as_they_are() -> None:
    rng = np.random.default_rng(9)
    table = np.hstack([column := rng.integers(0, 2, size=(700, 30)) - 0.5, column])
    fit = ridge.fit_ridge(table, np.full(700, 0.0152), [f"g{k % 7}" for k in range(60)], ones(700))
    assert fit.mean(table) == pytest.approx(np.full(700, 0.0152), abs=1e-6)
