"""Green before the switch: its warm-up compared with earlier greens at the same age, and the evidence in that.

Green has no users yet, so nothing can be compared with blue. What it can be held against is what earlier greens of this
service looked like when they were as old. A signal's score is its robust deviation, as a standard normal one. Evidence
is how much more probable the score is after a switch that does harm: such a green is as usual in this signal, or
scatters widely; how often the latter is learned. Confidence starts from the predicted risk, and is calibrated by what
became of the service's switches once there are enough.

Sources: Croux and Rousseeuw (1992) for the factors of the median absolute deviation in small samples; Platt (1999) for
the calibration.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, exp, log, log1p, sqrt

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from afdp_exporter.detectors.robust import MAD_SCALE
from afdp_exporter.model import Estimate, Floats, PoolingLevel, SignalVerdict, Switch, WarmUpSignal, Worse

LEAST_GREENS = 5  # of the same age before a signal is compared
OWN_SWITCHES = 10  # of a service before its own record counts; below it that of all
GLOBAL_MOST = 0.9  # as sure as the record of other services can make
CALIBRATED_FROM = 50  # own switches
_LEAST_OF_EACH = 5  # switches of either end before they calibrate
_LEANING = (0.25, 8.0)  # of shift and slope towards none and one: the inverse of their variances beforehand
_SMOOTHED = 5  # minutes that make one value of a signal
_UNUSUAL = 2.326  # the score whose harmful side has 1 %
_CLIP = 3.0  # of the evidence of one signal, a logarithm
_SPREAD = 3.0  # how widely a harmful green's signal scatters where it shows at all
_SHOWS, _SHOWS_WEIGHT = 0.3, 5.0  # how often it shows before anything is known, and how many switches that counts as
_SMALL = {
    5: 1.206,
    6: 1.200,
    7: 1.140,
    8: 1.129,
    9: 1.107,
}  # corrects the MAD's bias in n values (Croux and Rousseeuw 1992)
_MEDIAN = 1.57  # the variance of a median over that of a mean
_FARTHEST = 8.0  # a score
_SURE_RISK = 0.001  # a predicted risk is taken for no surer than this, on either side
_REACHED = 0.8  # the share of earlier greens that must have reached the age at which all are compared


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WarmUp:
    """One signal of green by minutes of its age, float64 (n,), NaN for gaps, and that of earlier greens likewise.

    `earlier` are those whose switch did no harm; `harmful` (m,) the scores of those whose switch did.
    """

    metric: str
    worse: Worse
    green: Floats
    earlier: tuple[Floats, ...]
    harmful: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSwitch:
    """A switch by now: the log odds of no harm that were given before it, and how it ended."""

    log_odds: float
    confidence: float
    harmless: bool


def signal(warm_up: WarmUp) -> WarmUpSignal:
    """Green's newest value compared with earlier greens at the same age; pure."""
    compared = _at_one_age(warm_up.green, warm_up.earlier)
    if compared is None:
        known = sum(bool(np.isfinite(one).any()) for one in warm_up.earlier)
        return WarmUpSignal(metric=warm_up.metric, verdict=SignalVerdict.NO_HISTORY, n=known)
    age, value, others = compared
    score, usual = deviation(value, others)
    harm = abs(score) if warm_up.worse is Worse.EITHER else score if warm_up.worse is Worse.UP else -score
    return WarmUpSignal(
        metric=warm_up.metric,
        verdict=SignalVerdict.UNUSUAL if harm >= _UNUSUAL else SignalVerdict.USUAL,
        age_minutes=age,
        value=value,
        usual=usual,
        n=others.size,
        score=harm,
        evidence=evidence(harm, warm_up.harmful),
    )


def deviation(value: float, others: Floats) -> tuple[float, Estimate]:
    """How far a value lies from others (n,), n >= 5, as a standard normal score, and the 90 % range of one more.

    By median and median absolute deviation, with t for (n - 1) / 2 degrees of freedom: what these two are worth. Values
    that are mostly the same are taken by their standard deviation; where all are the same, any other is as far as the
    rank of one in n + 1.
    """
    n, middle = others.size, float(np.median(others))
    scale = float(np.median(np.abs(others - middle))) * MAD_SCALE * _SMALL.get(n, n / (n - 0.8))
    scale = scale or float(others.std(ddof=1))
    if scale == 0.0:
        rank = 0.0 if value == middle else float(np.sign(value - middle)) * -float(ndtri(0.5 / (n + 1)))
        return rank, Estimate(low=middle, median=middle, high=middle)
    spread, freedom = scale * sqrt(1.0 + _MEDIAN / n), (n - 1) / 2.0
    reach = float(stdtrit(freedom, 0.95)) * spread
    tail = float(stdtr(freedom, -abs(value - middle) / spread))
    score = float(np.clip(-ndtri(tail), 0.0, _FARTHEST)) * float(np.sign(value - middle))
    return score, Estimate(low=middle - reach, median=middle, high=middle + reach)


def evidence(score: float, harmful: Floats) -> float:
    """The logarithm of how much more probable a score is before a harmful switch, within 3 of 0.

    `harmful` (m,) are the scores of earlier greens whose switch did harm: how often they show in this signal at all.
    """
    shows = _shows(harmful)
    return float(np.clip(log1p(shows * (_ratio(np.array([score]))[0] - 1.0)), -_CLIP, _CLIP))


def switch(signals: Sequence[WarmUpSignal], risk: float, own: Sequence[PastSwitch], everyone: int) -> Switch:
    """How sure it is that the switch does no harm, from its signals, the predicted risk and what became of others.

    `own` are the service's switches by now, `everyone` how many there were of all services.
    """
    compared = [one.evidence for one in signals if one.evidence is not None]
    chance = min(max(risk, _SURE_RISK), 1.0 - _SURE_RISK)
    raw = log((1.0 - chance) / chance) - sum(compared)
    known = len(own) >= OWN_SWITCHES
    shift, slope, calibrated = calibration(own)
    confidence = 1.0 / (1.0 + exp(-(shift + slope * raw)))
    return Switch(
        signals=tuple(signals),
        log_odds=raw,
        confidence_ratio=None if not compared else confidence if known else min(confidence, GLOBAL_MOST),
        n=len(own) if known else everyone,
        basis=PoolingLevel.SERVICE if known else PoolingLevel.GLOBAL,
        calibrated=calibrated,
        brier_score=_brier(own) if known else None,
    )


def calibration(own: Sequence[PastSwitch]) -> tuple[float, float, bool]:
    """Shift and slope of the log odds by what became of them, and whether there was enough to judge by.

    A logistic regression that leans towards changing nothing.
    """
    ends = np.array([one.harmless for one in own], dtype=float)
    if len(own) < CALIBRATED_FROM or min(ends.sum(), (1.0 - ends).sum()) < _LEAST_OF_EACH:
        return 0.0, 1.0, False
    odds = np.array([one.log_odds for one in own])
    none, leaning = np.array([0.0, 1.0]), np.array(_LEANING)

    def misfit(given: Floats) -> float:
        said = given[0] + given[1] * odds
        return float(np.logaddexp(0.0, np.where(ends > 0.0, -said, said)).sum() + leaning @ (given - none) ** 2 / 2.0)

    from scipy.optimize import minimize  # noqa: PLC0415 - a sixth of a second, and few have two colours

    found = minimize(misfit, none, method="L-BFGS-B", bounds=[(None, None), (0.0, None)]).x
    return float(found[0]), float(found[1]), True


def _at_one_age(green: Floats, earlier: Iterable[Floats]) -> tuple[int, float, Floats] | None:
    """The highest age that green and enough others have reached, in minutes, green's value there and theirs."""
    lives = [one for one in earlier if np.isfinite(one).any()]
    known = np.flatnonzero(np.isfinite(green))
    if known.size == 0 or len(lives) < LEAST_GREENS:
        return None
    ages = sorted((int(np.flatnonzero(np.isfinite(one))[-1]) + 1 for one in lives), reverse=True)
    age = min(int(known[-1]) + 1, ages[max(LEAST_GREENS, ceil(_REACHED * len(ages))) - 1])
    others = np.array([_value(one, age) for one in lives])
    others = others[np.isfinite(others)]
    value = _value(green, age)
    return None if others.size < LEAST_GREENS or not np.isfinite(value) else (age, value, others)


def _value(life: Floats, age: int) -> float:
    """The mean of the last minutes before an age; NaN where it was not measured, or did not live that long."""
    if life.size < age:
        return np.nan
    last = life[max(age - _SMOOTHED, 0) : age]
    known = last[np.isfinite(last)]
    return float(known.mean()) if known.size else np.nan


def _ratio(scores: Floats) -> Floats:
    """How much more probable scores are where harm shows; what is better than usual counts as usual."""
    worse = np.maximum(scores, 0.0)
    return np.asarray(np.exp(worse * worse / 2.0 * (1.0 - _SPREAD**-2)) / _SPREAD)


def _shows(harmful: Floats) -> float:
    """The share of harmful greens that show it in this signal (a mixture's weight, by expectation and maximisation)."""
    ratio, shows = _ratio(np.minimum(harmful, _FARTHEST)), _SHOWS
    for _ in range(30):
        belongs = shows * ratio / (1.0 - shows + shows * ratio)
        shows = float((belongs.sum() + _SHOWS * _SHOWS_WEIGHT) / (harmful.size + _SHOWS_WEIGHT))
    return shows


def _brier(own: Sequence[PastSwitch]) -> float:
    return float(np.mean([(one.confidence - one.harmless) ** 2 for one in own]))
