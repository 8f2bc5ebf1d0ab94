"""The statistics of a canary against reference values, and how often they are wrong when asked again and again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import lfilter
from scipy.stats import beta, binomtest

from afdp_exporter.gate.sequential import (
    autocorrelation,
    clopper_pearson,
    exceeds,
    fano_factor,
    interval,
    log_e_values,
    long_run_variance,
    margin,
    minutes_to_count,
    minutes_to_decide,
    noise_of,
    rate_ratio,
)


def ar1(n: int, phi: float, chance: np.random.Generator) -> np.ndarray:
    """A stationary AR(1) of variance one."""
    shocks = chance.normal(size=n + 400) * np.sqrt(1 - phi * phi)
    return np.asarray(lfilter([1.0], [1.0, -phi], shocks)[400:])


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_exact_interval_of_a_share_is_the_one_of_scipy(count: int, more: int) -> None:
    total = count + more
    low, high = clopper_pearson(count, total)
    if total == 0:
        assert (low, high) == (0.0, 1.0)
        return
    known = binomtest(count, total).proportion_ci(0.9, "exact")
    assert (low, high) == pytest.approx((known.low, known.high))


def test_no_failure_in_sixty_has_the_bound_of_the_rule_of_three() -> None:
    assert clopper_pearson(0, 60)[1] == pytest.approx(0.0487, abs=0.0001)


def test_the_interval_of_a_rate_ratio_is_jeffreys_interval_of_the_canarys_share() -> None:
    low, middle, high = rate_ratio(12, 400, 0.02)
    shares = [beta.ppf(point, 12.5, 400.5) for point in (0.05, 0.5, 0.95)]
    assert (low, middle, high) == pytest.approx([share / (1 - share) / (0.02 / 0.98) for share in shares])
    assert exceeds(12, 400, 0.02) == pytest.approx(beta.sf(0.02, 12.5, 400.5))


def test_the_confidence_sequence_is_that_of_waudby_smith_and_others() -> None:
    # R package drconfseq, std_conjmix_margin(t = 60, rho2 = best_rho2_exact(15, .05)) with unit variance
    rho2 = (-2 * np.log(0.05) + np.log(-2 * np.log(0.05) + 1)) / 15
    known = np.sqrt(2 * (60 * rho2 + 1) / (60**2 * rho2) * np.log(np.sqrt(60 * rho2 + 1) / 0.05))
    assert margin(60, 1.0, 0.05) == pytest.approx(known)
    assert margin(60, 1.0, 0.05) > 1.96 / np.sqrt(60)  # wider than an interval that is looked at once


def test_the_long_run_variance_of_an_ar1_is_its_textbook_value() -> None:
    found = [long_run_variance(ar1(5000, 0.5, np.random.default_rng(seed))) for seed in range(20)]
    assert np.mean(found) == pytest.approx((1 + 0.5) / (1 - 0.5), rel=0.1)


def test_an_autocorrelation_is_corrected_for_its_bias_in_short_series() -> None:
    found = [autocorrelation(ar1(40, 0.5, np.random.default_rng(seed))) for seed in range(300)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("phi", "most"), [(0.0, 0.05), (0.5, 0.05), (0.8, 0.05), (0.95, 0.07)])
def test_a_canary_like_the_stable_version_is_rarely_called_worse_at_any_of_all_checks(phi: float, most: float) -> None:
    chance = np.random.default_rng(int(phi * 100) + 7001)
    wrong, worlds = 0, 120
    for _ in range(worlds):
        history = ar1(720, phi, chance)
        difference = ar1(120, phi, chance) - 0.1 * ar1(120, phi, chance)
        for n in range(10, 121, 5):
            noise = noise_of(difference[:n], history)
            if difference[:n].mean() > margin(n, noise.cautious, 0.1, noise.degrees_of_freedom):
                wrong += 1
                break
    assert wrong <= worlds * most + 2 * np.sqrt(worlds * most * (1 - most))


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.8])
def test_the_interval_for_one_check_holds_nine_times_of_ten(phi: float) -> None:
    chance = np.random.default_rng(int(phi * 10) + 11)
    history, held, worlds = ar1(720, phi, chance), 0, 400
    for _ in range(worlds):
        difference = ar1(60, phi, chance)
        noise = noise_of(difference, history)
        held += abs(difference.mean()) <= interval(60, noise.likely, noise.degrees_of_freedom)
    assert 0.85 <= held / worlds <= 0.96


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25])
@pytest.mark.parametrize("times", [1.0, 2.0])
def test_counts_are_decided_rightly_however_often_they_are_asked(share: float, times: float) -> None:
    chance = np.random.default_rng(int(1000 * share) + 5)
    stable_rate = (1 - share) / share
    first = []
    for _ in range(300):
        x, y = chance.poisson(times, 120).cumsum(), chance.poisson(stable_rate, 120).cumsum()
        above, _ = log_e_values(x.astype(float), y.astype(float), np.full(120, share))
        reached = np.flatnonzero(above >= np.log(20))
        first.append(reached[0] + 1 if reached.size else np.inf)
    if times == 1.0:
        assert np.isfinite(first).mean() <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)
    else:
        assert np.median(first) <= 14  # at one expected event of the canary a minute


def test_bursts_are_known_from_their_counts() -> None:
    chance = np.random.default_rng(3)
    exposure = np.full(4000, 1000.0)
    even = chance.poisson(20.0, 4000).astype(float)
    bursts = chance.poisson(20.0 * chance.gamma(2.0, 0.5, 4000)).astype(float)
    assert fano_factor(even, exposure) == pytest.approx(0.0, abs=0.01)
    assert fano_factor(bursts, exposure) == pytest.approx(0.5, abs=0.06)
    assert fano_factor(np.zeros(4000), exposure) == 0.0


def test_how_long_it_takes_falls_with_traffic_and_with_the_size_of_the_change() -> None:
    rare, common = minutes_to_count(0.1, 0.01, 2.0, 0.05), minutes_to_count(1.0, 0.01, 2.0, 0.05)
    assert rare is not None
    assert common is not None
    assert common < rare
    assert minutes_to_count(0.0, 0.01, 2.0, 0.05) is None
    small, large = minutes_to_decide(0.5, 1.0, 0.1), minutes_to_decide(2.0, 1.0, 0.1)
    assert small is not None
    assert large is not None
    assert large < small
    assert minutes_to_decide(0.001, 1.0, 0.1) is None
