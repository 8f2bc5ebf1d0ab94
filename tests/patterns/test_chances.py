"""How often something happens: what matters is found, what does not fades, and few cases stay near the prior."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdp_exporter.patterns.chances import Belief, Logistic, logistic


def belief(columns: int, matters: float = 0.1) -> Belief:
    return Belief(expected=-1.7346, doubt=0.5, matters=np.full(columns, matters), spread=np.full(columns, 1.0))


def fit(table: np.ndarray, happened: np.ndarray, matters: float = 0.1) -> Logistic:
    return logistic(table, happened, np.ones(happened.size), belief(table.shape[1], matters))


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


def test_where_little_is_known_an_effect_is_shrunk_and_uncertain() -> None:
    table, happened = drawn(2, 30, [2.0])
    found = fit(table, happened)
    many = fit(*drawn(2, 600, [2.0]))
    assert 0 < found.weights[1] < 2.0
    assert found.covariance[1, 1] > many.covariance[1, 1]


def test_a_column_believed_to_matter_shows_sooner() -> None:
    table, happened = drawn(5, 40, [1.5])
    assert fit(table, happened, 0.9).weights[1] > fit(table, happened, 0.02).weights[1] > 0


def test_without_cases_the_risk_is_the_prior() -> None:
    found = fit(np.zeros((0, 0)), np.zeros(0))
    assert found.risk(np.zeros((1, 0)))[0] == pytest.approx(0.15, abs=0.02)


def test_a_case_that_counts_nothing_changes_nothing() -> None:
    table, happened = drawn(3, 60, [1.0, 0.0])
    beside = logistic(np.vstack([table, [9.0, 9.0]]), np.append(happened, 1.0), np.append(np.ones(60), 0.0), belief(2))
    assert beside.weights == pytest.approx(fit(table, happened).weights, abs=1e-6)


def test_a_risk_is_drawn_towards_even_odds_by_what_is_not_known() -> None:
    unsure = Logistic(weights=np.array([-3.0]), covariance=np.array([[4.0]]))
    sure = Logistic(weights=np.array([-3.0]), covariance=np.array([[0.0]]))
    nothing = np.zeros((1, 0))
    assert sure.risk(nothing)[0] < unsure.risk(nothing)[0] < 0.5


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
    risks = fit(table, happened).risk(table)
    assert ((risks >= 0) & (risks <= 1)).all()
