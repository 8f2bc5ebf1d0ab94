"""The size of an effect, against the regressions of statsmodels 0.15 on the same data."""

import numpy as np
import pytest

from afdp_exporter.patterns.mining.effects import effect_size

N = 40_000
PLACE = np.arange(N)
MEMBER = (PLACE % 4 == 0).astype(float)
OTHERS = (PLACE % 3 == 0).astype(float)[:, None]
SERVICES = np.column_stack([PLACE % 2 == 0, PLACE % 2 == 1]).astype(float)
EVEN = ((PLACE * 7919) % 101) / 101
"""As good as uniform, without a generator."""
Z = 1.645


def test_a_rate_ratio_is_that_of_the_poisson_regression_with_robust_errors() -> None:
    """`GLM(y, X, family=Poisson()).fit(cov_type="HC1")` gives 0.83009 +- 0.023327 for the first column."""
    trouble = (0.15 + 0.25 * MEMBER + 0.1 * OTHERS[:, 0] > EVEN).astype(float)
    found = effect_size(trouble, MEMBER, OTHERS, SERVICES, rate=True).multiplier
    assert found is not None
    assert np.log(found.median) == pytest.approx(0.8300948, rel=1e-3)
    assert np.log(found.high / found.low) == pytest.approx(2 * Z * 0.02332678, rel=1e-3)


def test_an_effect_in_proportion_is_that_of_the_gamma_regression_with_robust_errors() -> None:
    """`GLM(y, X, family=Gamma(Log())).fit(cov_type="HC1")` gives 0.49992 +- 0.0041028."""
    cost = 10 * np.exp(0.5 * MEMBER + 0.2 * OTHERS[:, 0]) * (0.5 + EVEN)
    found = effect_size(cost, MEMBER, OTHERS, SERVICES, rate=False).multiplier
    assert found is not None
    assert np.log(found.median) == pytest.approx(0.4999184, rel=1e-3)
    assert np.log(found.high / found.low) == pytest.approx(2 * Z * 0.004102849, rel=1e-3)


def test_an_effect_that_adds_is_that_of_least_squares_with_robust_errors() -> None:
    """`OLS(y, X).fit(cov_type="HC1")` gives 2.99968 +- 0.016331."""
    gain = 3 * MEMBER - 2 * OTHERS[:, 0] + 4 * (EVEN - 0.5)
    found = effect_size(gain, MEMBER, OTHERS, SERVICES, rate=False)
    assert found.multiplier is None
    assert found.difference.median == pytest.approx(2.9996753)
    assert found.difference.high - found.difference.low == pytest.approx(2 * Z * 0.01633082, rel=1e-3)
