"""What a mean strays by where the values scatter more than any before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.detectors.noise import are_skewed, long_run_error


@pytest.mark.parametrize("autocorrelation", [0.0, 0.3, 0.6, 0.8])
def test_the_error_of_a_mean_that_scatters_is_about_right(autocorrelation: float) -> None:
    errors = []
    for seed in range(60):
        shocks = np.random.default_rng(seed).normal(size=60 + 200)
        noise = np.convolve(shocks, autocorrelation ** np.arange(40), "full")[200:260]
        found = long_run_error(np.concatenate([np.zeros(300), noise]), 300, 300, 360)
        assert found.degrees_of_freedom >= 2.0
        errors.append(found.error)
    true = 1.0 / (1.0 - autocorrelation) / np.sqrt(60.0)
    assert 0.7 * true < np.median(errors) < 1.5 * true


@given(st.integers(0, 10_000))
def test_where_nothing_scatters_more_nothing_is_added(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=500)
    values[400:] *= 0.5
    assert long_run_error(values, 400, 400, 460).error == 0.0


@pytest.mark.parametrize("chance", [0.0, 0.001, 0.02, 0.1])
def test_rare_errors_are_lopsided_and_so_is_what_never_moved(chance: float) -> None:
    errors = (np.random.default_rng(1).random(2000) < chance).astype(float)
    assert are_skewed(np.stack([errors, 1.0 - errors])).all()


@pytest.mark.parametrize("make", [np.random.Generator.standard_normal, np.random.Generator.random])
def test_ordinary_noise_is_not(make: object) -> None:
    assert not are_skewed(make(np.random.default_rng(2), 2000)[None])  # type: ignore[operator]
