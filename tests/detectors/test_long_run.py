"""What a mean strays by where the values scatter more than any before."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.detectors.long_run import lopsided, more_scatter


@given(st.integers(0, 10_000), st.floats(0.0, 0.8))
def test_the_error_of_a_mean_that_scatters_is_about_right(seed: int, likeness: float) -> None:
    rng = np.random.default_rng(seed)
    shocks = rng.normal(size=60 + 200)
    noise = np.convolve(shocks, likeness ** np.arange(40), "full")[200:260]
    values = np.concatenate([np.zeros(300), noise])
    more = more_scatter(values, 300, 300, 360)
    true = 1.0 / (1.0 - likeness) / np.sqrt(60.0)
    assert 0.3 * true < more.error < 3.5 * true
    assert more.freedom >= 2.0


@given(st.integers(0, 10_000))
def test_where_nothing_scatters_more_nothing_is_added(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=500)
    values[400:] *= 0.5
    assert more_scatter(values, 400, 400, 460).error == 0.0


@pytest.mark.parametrize("chance", [0.0, 0.001, 0.02, 0.1])
def test_rare_errors_are_lopsided_and_so_is_what_never_moved(chance: float) -> None:
    errors = (np.random.default_rng(1).random(2000) < chance).astype(float)
    assert lopsided(errors)
    assert lopsided(1.0 - errors)


@pytest.mark.parametrize("make", [np.random.Generator.standard_normal, np.random.Generator.random])
def test_ordinary_noise_is_not(make: object) -> None:
    assert not lopsided(make(np.random.default_rng(2), 2000))  # type: ignore[operator]
