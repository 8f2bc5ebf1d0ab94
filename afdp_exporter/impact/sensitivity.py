"""What would have been found: the smallest change that a check can see on a metric, by what it does by itself."""

from scipy.special import stdtrit

from afdp_exporter.detectors.level import Level
from afdp_exporter.impact.evidence import UNUSUAL

_POWER = 0.8  # how often a change of that size is found
_EVIDENCE = 2.0  # more than the level's p-value is asked for: on generated and on production series 80 % are found at
# 5 to 6 placebo errors, where a test at that p-value alone would need 2.7


def minimum_detectable_effect(level: Level) -> float:
    """The smallest lasting change that four checks of five would find, in the unit of `level.error`.

    Two-sided, for a t distribution: the sum of the quantiles of 1 - alpha / 2 and of the power, times the standard
    error (Bloom 1995, "Minimum detectable effects"); here the error that the placebos show, and more evidence.
    """
    return _EVIDENCE * minimum_detectable_effect_of(level.error, level.freedom, UNUSUAL)


def minimum_detectable_effect_of(error: float, freedom: float, unlikely: float) -> float:
    """The same for a plain t-test that blames below the p-value `unlikely`."""
    return float(stdtrit(freedom, [1.0 - unlikely / 2.0, _POWER]).sum()) * error
