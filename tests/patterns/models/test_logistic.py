"""How often something happens: what matters is found, what does not fades, and few cases stay near the prior."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from afdp_exporter.patterns.models.logistic import Logistic, SpikeAndSlabPrior, fit_logistic

pytestmark = pytest.mark.many_worlds


def belief(columns: int, matters: float = 0.1) -> SpikeAndSlabPrior:
    return SpikeAndSlabPrior(
        intercept_mean=-1.7346,
        intercept_sd=0.5,
        inclusion_probability=np.full(columns, matters),
        slab_sd=np.full(columns, 1.0),
    )


def fit(table: np.ndarray, happened: np.ndarray, matters: float = 0.1) -> Logistic:
    return fit_logistic(table, happened, np.ones(happened.size), belief(table.shape[1], matters))


def drawn(seed: int, n: int, weights: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Yes or no columns, and what happened under these log odds ratios."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 2, size=(n, len(weights))) - 0.5
    odds = -1.0 + table @ np.array(weights)
    return table, (rng.random(n) < 1.0 / (1.0 + np.exp(-odds))).astype(float)


def test_what_matters_is_found_among_much_that_does_not() -> None:
    table, happened = drawn(1, 400, [2.0, *([0.0] * 30)])
    weights = fit(table, happened).weights[1:]
    assert weights[0] == pytest.approx(2.0, abs=0.5)
    assert np.abs(weights[1:]).max() < 0.25


def test_where_every_column_matters_it_is_the_penalised_regression_of_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(1000, 5))
    odds = table @ np.array([1.0, -0.5, 0.2, 0.0, 0.0]) - 1.0
    outcomes = (rng.random(1000) < 1.0 / (1.0 + np.exp(-odds))).astype(float)
    slab = SpikeAndSlabPrior(
        intercept_mean=-1.0, intercept_sd=100.0, inclusion_probability=np.ones(5), slab_sd=np.full(5, 1.5)
    )
    weights = fit_logistic(table, outcomes, np.ones(1000), slab).weights
    other = LogisticRegression(C=1.5**2, tol=1e-8).fit(table, outcomes)
    assert weights == pytest.approx(np.append(other.intercept_, other.coef_), abs=0.005)


@pytest.mark.parametrize("strength", [0.0, 1.0, 2.5])
def test_a_single_column_is_included_as_surely_as_the_exact_posterior_says(strength: float) -> None:
    table, outcomes = drawn(4, 120, [strength])
    prior = belief(1, 0.3)
    exact = exact_mean(table, outcomes, prior)
    assert fit_logistic(table, outcomes, np.ones(120), prior).weights[1] == pytest.approx(exact, abs=0.12)


def exact_mean(table: np.ndarray, outcomes: np.ndarray, prior: SpikeAndSlabPrior) -> float:
    """The posterior mean of the one weight, over in and out, by integration on a grid."""
    grid = np.linspace(-6.0, 6.0, 601)
    intercept, weight = grid[:, None], grid[None, :]

    def density(weights: np.ndarray) -> np.ndarray:
        odds = intercept[..., None] + weights[..., None] * table[:, 0]
        likelihood = (outcomes * odds - np.logaddexp(0.0, odds)).sum(axis=-1)
        return likelihood - 0.5 * ((intercept - prior.intercept_mean) / prior.intercept_sd) ** 2

    slab = np.exp(density(weight) - 0.5 * (weight / prior.slab_sd[0]) ** 2)
    slab *= (grid[1] - grid[0]) / (np.sqrt(2.0 * np.pi) * prior.slab_sd[0])
    spike = np.exp(density(np.zeros((1, 1))))
    included = prior.inclusion_probability[0] * slab.sum(axis=0)
    whole = included.sum() + (1.0 - prior.inclusion_probability[0]) * spike.sum()
    return float(included @ grid / whole)


def test_where_little_is_known_an_effect_is_shrunk_and_uncertain() -> None:
    table, happened = drawn(2, 30, [2.0])
    found = fit(table, happened)
    many = fit(*drawn(2, 600, [2.0]))
    assert 0 < found.weights[1] < 2.0
    assert found.variance[1] > many.variance[1]


def test_a_column_believed_to_matter_shows_sooner() -> None:
    table, happened = drawn(5, 40, [1.5])
    assert fit(table, happened, 0.9).weights[1] > fit(table, happened, 0.02).weights[1] > 0


def test_without_cases_the_risk_is_the_prior() -> None:
    found = fit(np.zeros((0, 0)), np.zeros(0))
    assert found.log_odds(np.zeros((1, 0))).probability[0] == pytest.approx(0.15, abs=0.02)


def test_a_case_that_counts_nothing_changes_nothing() -> None:
    table, happened = drawn(3, 60, [1.0, 0.0])
    beside = fit_logistic(
        np.vstack([table, [9.0, 9.0]]), np.append(happened, 1.0), np.append(np.ones(60), 0.0), belief(2)
    )
    assert beside.weights == pytest.approx(fit(table, happened).weights, abs=1e-6)


def test_a_risk_is_drawn_towards_even_odds_by_what_is_not_known() -> None:
    unsure = Logistic(weights=np.array([-3.0]), variance=np.array([4.0]), shared=np.zeros((0, 1)))
    sure = Logistic(weights=np.array([-3.0]), variance=np.array([0.0]), shared=np.zeros((0, 1)))
    nothing = np.zeros((1, 0))
    assert sure.log_odds(nothing).probability[0] < unsure.log_odds(nothing).probability[0] < 0.5


@given(
    n=st.integers(1, 30),
    columns=st.integers(0, 5),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([0.0, 1e-6, 1.0, 1e6]),
)
@settings(max_examples=60, deadline=None)
def test_any_table_gives_a_risk(n: int, columns: int, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    table, happened = scale * rng.normal(size=(n, columns)), rng.integers(0, 2, size=n).astype(float)
    risks = fit(table, happened).log_odds(table).probability
    assert ((risks >= 0) & (risks <= 1)).all()
