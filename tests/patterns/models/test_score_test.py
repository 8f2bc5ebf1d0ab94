"""Tests and their correction: chance is not taken for an author."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from afdp_exporter.patterns.models.score_test import nuisance, q_values, score_test

ONE_SERVICE = np.ones((200, 1))


def draw(seed: int, *, rare: bool) -> tuple[np.ndarray, np.ndarray]:
    """A figure without any effect and twenty candidates, some with few cases."""
    rng = np.random.default_rng(seed)
    figure = (rng.random(200) < 0.08).astype(float) if rare else rng.normal(size=200)
    shares = rng.uniform(0.05, 0.5, size=20)
    return figure, (rng.random((200, 20)) < shares).astype(float)


@pytest.mark.parametrize("rare", [False, True])
def test_without_effects_small_p_are_as_rare_as_they_should_be(*, rare: bool) -> None:
    p = np.concatenate([score_test(*draw(seed, rare=rare), nuisance(ONE_SERVICE)).p for seed in range(150)])
    for level in (0.05, 0.01, 0.001):
        assert np.mean(p < level) <= 1.5 * level + 0.0005


def test_a_p_agrees_with_the_exact_one_of_fisher() -> None:
    figure, member = np.zeros(200), np.zeros(200)
    figure[:20], member[:25] = 1.0, 1.0
    figure[:20] = np.r_[np.ones(9), np.zeros(11)]
    figure[100:111] = 1.0
    table = [[9, 16], [11, 164]]
    exact = stats.fisher_exact(table, alternative="greater").pvalue
    assert score_test(figure, member[:, None], nuisance(ONE_SERVICE)).p[0] == pytest.approx(2 * exact, rel=1.0)


def test_a_service_that_always_fails_blames_none_of_its_traits() -> None:
    bad = np.repeat([1.0, 0.0], 100)
    services = np.column_stack([bad, 1.0 - bad])
    found = score_test(bad, bad[:, None], nuisance(services))
    assert found.p[0] == 1.0


def test_a_companion_is_not_blamed_beside_its_cause() -> None:
    rng = np.random.default_rng(4)
    cause = (rng.random(300) < 0.4).astype(float)
    companion = np.where(rng.random(300) < 0.8, cause, 1.0 - cause)
    figure = 2.0 * cause + rng.normal(size=300)
    alone = nuisance(np.ones((300, 1)))
    beside = nuisance(np.column_stack([np.ones(300), cause]))
    assert score_test(figure, companion[:, None], alone).p[0] < 1e-6
    assert score_test(figure, companion[:, None], beside).p[0] > 0.01


@pytest.mark.parametrize(("dependent", "method"), [(False, "bh"), (True, "by")])
@given(values=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30))
def test_q_values_are_those_of_scipy(values: list[float], dependent: bool, method: str) -> None:
    expected = stats.false_discovery_control(values, method=method)
    assert q_values(np.array(values), dependent=dependent) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_q_values_are_no_smaller_than_p_and_keep_their_order(values: list[float]) -> None:
    p = np.array(values)
    q = q_values(p)
    assert (q >= p - 1e-12).all()
    assert (np.diff(q[np.argsort(p, kind="stable")]) >= -1e-12).all()
    assert (q_values(p, dependent=True) >= q - 1e-12).all()
    assert q == pytest.approx(stats.false_discovery_control(p))
