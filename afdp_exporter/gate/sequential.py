"""Comparing two arms while the data still come in: tests that hold at every check, and intervals for one check.

Minutes of telemetry are autocorrelated, which breaks methods for independent units as badly as a t-test that is
repeated. The long-run variance takes the place of the variance. Counts are compared by an e-process, each
divided by its own Fano factor, since bursts break it otherwise.

Sources: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2021), "Time-uniform central limit theory and asymptotic
confidence sequences"; Lindon and Malek (2022), "Anytime-valid inference for multinomial count data"; Newey and West
(1987); Kendall (1954) for the bias of an autocorrelation; Andrews (1991) for the long-run variance of an AR(1).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaincinv, betaln, ndtri, stdtrit

from afdp_exporter.model import Floats

LEAST_MINUTES = 10  # of both arms before a mean is compared
DECISION_MINUTES = 15.0  # the confidence sequence is at its narrowest around this many minutes
WEEK = 7 * 24 * 60  # minutes
LAGS = 30  # minutes of autocovariance in the long-run variance of a long history
_LONG = 240  # points of a history from which on its own long-run variance is used
_MOST_CORRELATED = 0.98  # autocorrelation at most
_SURE = 2.326  # standard errors to the 99 % point
_SHORT_SERIES = 0.5  # standard errors by which an autocorrelation is taken larger, so that 90 % intervals hold 90 %


def long_run_variance(values: Floats, lags: int = LAGS) -> float:
    """The variance of the mean times n for an autocorrelated series (n,), with Bartlett's weights."""
    centred = values - values.mean()
    n = centred.size
    total = float(centred @ centred) / n
    for lag in range(1, min(lags, n - 1) + 1):
        total += 2.0 * (1.0 - lag / (lags + 1.0)) * float(centred[lag:] @ centred[:-lag]) / n
    return float(max(total, 0.0))


def autocorrelation(values: Floats) -> float:
    """The lag-one autocorrelation of a series (n,), corrected for its bias in short series; 0 for a constant one."""
    centred = values - values.mean()
    power = float(centred @ centred)
    if power <= 0.0 or values.size < 3:
        return 0.0
    raw = float(centred[1:] @ centred[:-1]) / power
    return float(np.clip(raw + (1.0 + 3.0 * raw) / values.size, -_MOST_CORRELATED, _MOST_CORRELATED))


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """The long-run variance of a difference of two arms: as it is likely, and as large as it may well be."""

    likely: float
    cautious: float
    degrees_of_freedom: float  # degrees of freedom of the estimate


def noise_of(difference: Floats, stable_history: Floats, earlier_differences: Floats | None = None) -> Noise:
    """The noise of a difference (n,) of two arms.

    A long record of the same difference, `earlier_differences` (m,), knows it. Otherwise the scale comes from the steps
    from minute to minute, which even a young canary has enough of, and the autocorrelation from the difference itself:
    from above by its confidence bound, and no larger than that of the stable arm's own history (h,).
    """
    if earlier_differences is not None and earlier_differences.size >= _LONG:
        known = long_run_variance(earlier_differences)
        return Noise(likely=known, cautious=known, degrees_of_freedom=earlier_differences.size / (2.0 * LAGS))
    n = difference.size
    own = max(autocorrelation(difference), 0.0)
    bound = _upper(own, n)
    usual = _usual_autocorrelation(stable_history)
    upper = min(bound, _MOST_CORRELATED) if usual is None else min(bound, max(usual, own))
    innovations = _innovation_variance(difference)
    cautious = max(innovations * _ar_factor(upper), long_run_variance(difference))
    middle = min(_upper(own, n, _SHORT_SERIES), upper)
    likely = innovations * _ar_factor(middle)
    degrees_of_freedom = max(n * (1.0 - middle) / (1.0 + middle) - 1.0, 2.0)
    return Noise(likely=likely, cautious=max(cautious, likely), degrees_of_freedom=degrees_of_freedom)


def margin(n: int, variance: float, alpha: float, degrees_of_freedom: float = np.inf) -> float:
    """Half the width of a confidence sequence for a mean after n minutes, valid at all n together.

    `alpha` is two-sided; `variance` is the long-run variance, estimated with `degrees_of_freedom`.
    """
    rho2 = (-2.0 * np.log(alpha) + np.log(-2.0 * np.log(alpha) + 1.0)) / DECISION_MINUTES
    width = np.sqrt(2.0 * (n * rho2 + 1.0) / (n * n * rho2) * np.log(np.sqrt(n * rho2 + 1.0) / alpha))
    return float(np.sqrt(variance) * width * _tails(alpha, degrees_of_freedom))


def interval(n: int, variance: float, degrees_of_freedom: float) -> float:
    """Half the width of a 90 % interval for the mean of n minutes at this one check."""
    return float(stdtrit(max(degrees_of_freedom, 1.0), 0.95) * np.sqrt(variance / n))


def fano_factor(counts: Floats, exposure: Floats) -> float:
    """The squared coefficient of variation of a rate from minute to minute, beyond what independent events have.

    `counts` (n,) are of each minute, `exposure` (n,) what they are counted in. The variance of a count with mean m is
    then m + burstiness m^2 (a negative binomial); 0 for independent events and where too little is known.
    """
    used = exposure > 0.0
    counts, exposure = counts[used], exposure[used]
    if counts.size < LEAST_MINUTES or counts.sum() <= 0.0:
        return 0.0
    expected = counts.sum() / exposure.sum() * exposure
    excess = float(((counts - expected) ** 2 - expected).sum()) / float((expected**2).sum())
    return max(excess, 0.0)


def prior_weight(share: float) -> float:
    """How firmly the e-process' prior holds the canary's share of the events: a doubling is one deviation away."""
    doubled = 2.0 * share / (1.0 + share)
    return max(share * (1.0 - share) / (doubled - share) ** 2 - 1.0, 2.0)


def log_e_values(canary: Floats, stable: Floats, share: Floats) -> tuple[Floats, Floats]:
    """The evidence that the canary's rate is above, and that it is below, as logarithms of e-values, (n,) each.

    `canary` and `stable` (n,) are cumulative counts, `share` (n,) the canary's share of what both are counted in. At
    most a share alpha of equal canaries ever reaches ln(1 / alpha) on one of the two sides.
    """
    weight = prior_weight(float(share[0]))
    a, b = weight * share, weight * (1.0 - share)
    null = canary * np.log(share) + stable * np.log1p(-share)
    both = betaln(a + canary, b + stable) - betaln(a, b) - null
    below, usual = betainc(a + canary, b + stable, share), betainc(a, b, share)
    with np.errstate(divide="ignore"):
        above = both + np.log1p(-below) - np.log1p(-usual)
        return np.asarray(above), np.asarray(both + np.log(below) - np.log(usual))


def rate_ratio(canary: float, stable: float, share: float, level: float = 0.9) -> tuple[float, float, float]:
    """The canary's rate over the stable one's with its interval, from counts: Jeffreys' interval, conditional on both.

    The low end is 0 where the canary has none, the high end infinity where the stable arm has none.
    """
    tail = (1.0 - level) / 2.0
    odds = share / (1.0 - share)
    low = 0.0 if canary == 0.0 else float(betaincinv(canary + 0.5, stable + 0.5, tail))
    high = 1.0 if stable == 0.0 else float(betaincinv(canary + 0.5, stable + 0.5, 1.0 - tail))
    middle = float(betaincinv(canary + 0.5, stable + 0.5, 0.5))
    return _odds(low) / odds, _odds(middle) / odds, _odds(high) / odds


def clopper_pearson(count: int, total: int, level: float = 0.9) -> tuple[float, float]:
    """The exact interval of a share (Clopper and Pearson, 1934); the whole range where nothing was tried."""
    if total == 0:
        return 0.0, 1.0
    tail = (1.0 - level) / 2.0
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1.0 - tail))
    return low, high


def exceeds(canary: float, stable: float, share: float) -> float:
    """How probable it is that the canary's rate is above the stable one's, given counts and Jeffreys' prior."""
    return 1.0 - float(betainc(canary + 0.5, stable + 0.5, share))


def minutes_to_decide(effect: float, variance: float, alpha: float, most: int = WEEK) -> int | None:
    """After how many minutes a shift of this size in the mean shows; None where not within `most` minutes."""
    return _first(lambda n: margin(n, variance, alpha) <= abs(effect), most)


def minutes_to_count(rate: float, share: float, times: float, alpha: float, most: int = WEEK) -> int | None:
    """After how many minutes counts show that the canary's rate is `times` the stable one's.

    `rate` is what is expected in the canary each minute if nothing is wrong, `share` the canary's share.
    """
    if rate <= 0.0 or not 0.0 < share < 1.0:
        return None

    def shows(n: int) -> bool:
        canary, stable = times * rate * n, rate * n * (1.0 - share) / share
        above, _ = log_e_values(np.array([canary]), np.array([stable]), np.array([share]))
        return bool(above[0] >= np.log(1.0 / alpha))

    return _first(shows, most)


def _first(enough: Callable[[int], bool], most: int) -> int | None:
    low, high = LEAST_MINUTES, LEAST_MINUTES
    while not enough(high):
        if high >= most:
            return None
        low, high = high, min(2 * high, most)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return high


def _odds(probability: float) -> float:
    return np.inf if probability >= 1.0 else probability / (1.0 - probability)


def _tails(alpha: float, degrees_of_freedom: float) -> float:
    """How much wider a quantile is where the variance is estimated."""
    if not np.isfinite(degrees_of_freedom):
        return 1.0
    return float(stdtrit(max(degrees_of_freedom, 1.0), 1.0 - alpha / 2.0) / ndtri(1.0 - alpha / 2.0))


def _innovation_variance(values: Floats) -> float:
    """Half the mean square of the steps from minute to minute: the variance of a series without autocorrelation."""
    steps = np.diff(values)
    return float(steps @ steps) / (2.0 * max(steps.size, 1))


def _ar_factor(phi: float) -> float:
    """Long-run variance over half the mean square step of an AR(1): its variance is that over (1 - phi)."""
    return (1.0 + phi) / (1.0 - phi) ** 2


def _usual_autocorrelation(history: Floats) -> float | None:
    """That of the stable arm's history without its trend; None where it is too short."""
    if history.size < _LONG:
        return None
    window = min(history.size // 2, 8 * LAGS)
    kernel = np.ones(window) / window
    slow = np.convolve(np.pad(history, window // 2, mode="edge"), kernel, mode="valid")[: history.size]
    return _upper(max(autocorrelation(history - slow), 0.0), history.size)


def _upper(phi: float, n: int, errors: float = _SURE) -> float:
    """An autocorrelation that was estimated from n points, plus so many standard errors (Bartlett, 1946)."""
    return phi + errors * float(np.sqrt(max(1.0 - phi * phi, 1.0 / n) / n))
