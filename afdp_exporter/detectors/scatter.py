"""How far single values of a series stray from the level of their time by themselves."""

import numpy as np
from scipy.ndimage import uniform_filter1d

from afdp_exporter.model import Floats

AROUND = 61  # steps whose mean is the level of the time
LEAST = 20  # values


def usual_scatter(history: Floats) -> float | None:
    """What nine in ten values of (n,) do not exceed in their distance to the mean around them; gaps are left out.

    None where there are too few values to tell.
    """
    known = history[np.isfinite(history)]
    if len(known) < LEAST:
        return None
    apart = np.abs(known - uniform_filter1d(known, AROUND, mode="nearest"))
    return float(np.quantile(apart, 0.9))
