"""The size of an effect, against the regressions of statsmodels 0.15 on the same data."""

import numpy as np
import pytest
from scipy.special import stdtrit

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


def test_a_few_cases_have_the_interval_of_welch() -> None:
    """Two groups alone: HC2 is Welch's error, and Bell and McCaffrey's degrees of freedom have a closed form."""
    few, many = np.array([3.1, 4.4, 2.2, 5.9]), 0.5 * np.sin(np.arange(20.0))
    member = np.repeat([1.0, 0.0], [4, 20])
    found = effect_size(np.concatenate([few, many]), member, np.zeros((24, 0)), np.ones((24, 1)), rate=False).difference
    freedom = 24**2 * 3 * 19 / (20**2 * 19 + 4**2 * 3)
    error = np.sqrt(few.var(ddof=1) / 4 + many.var(ddof=1) / 20)
    assert found.median == pytest.approx(few.mean() - many.mean())
    assert found.high - found.median == pytest.approx(stdtrit(freedom, 0.95) * error)


def test_where_none_of_eleven_hurt_the_next_one_still_may() -> None:
    """Eleven without trouble rule out a rate above 24 % (Clopper and Pearson), so half of the others' 50 %."""
    trouble = np.concatenate([np.zeros(11), np.arange(48) % 2])
    member = np.repeat([1.0, 0.0], [11, 48])
    found = effect_size(trouble, member, np.zeros((59, 0)), np.ones((59, 1)), rate=True).multiplier
    assert found is not None
    assert found.low < 0.02
    assert 0.4 < found.high < 1.0


def test_where_all_of_four_hurt_and_nothing_else_the_next_one_may_not() -> None:
    member = np.repeat([1.0, 0.0], [4, 50])
    found = effect_size(member, member, np.zeros((54, 0)), np.ones((54, 1)), rate=True)
    assert found.multiplier is None
    assert found.difference.median == pytest.approx(1.0)
    assert found.difference.high == 1.0
    assert 0.4 < found.difference.low < 0.8


@pytest.mark.parametrize("members", [4, 7, 15, 30])
@pytest.mark.parametrize(("usual", "ratio"), [(0.3, 1.0), (0.3, 0.1), (0.1, 6.0)])
def test_ranges_of_rates_hold(members: int, usual: float, ratio: float) -> None:
    """Nine of ten are promised; a plain sandwich holds in none of ten where nothing happens among the members."""
    rng = np.random.default_rng(members)
    member = np.repeat([1.0, 0.0], [members, 60 - members])
    holds = []
    for _ in range(100):
        trouble = (rng.random(60) < usual * np.where(member > 0, ratio, 1.0)).astype(float)
        found = effect_size(trouble, member, np.zeros((60, 0)), np.ones((60, 1)), rate=True).multiplier
        if found is not None:
            holds.append(found.low <= ratio <= found.high)
    assert np.mean(holds) > 0.83
