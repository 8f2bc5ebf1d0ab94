"""A slow change: does a drift that begins after the deployment tell the path better than a step at another time?"""

import numpy as np

from afdp_exporter.detectors.onset import Path, gains

_BEGINNINGS = 2  # every so many positions of the window a drift may begin
_LENGTHS = 10  # from two steps to all that is left, evenly spread by their logarithm


def drifts(path: Path) -> bool:
    """Whether a ramp that begins in the window fits at least as well as any single step outside of it.

    A step before the deployment, or long after it, shifts the mean as a drift does; least squares tell the two apart.
    """
    m = len(path.values)
    if m - path.first < 4:
        return False
    gain = gains(path.values)
    splits = np.arange(1, m)
    outside = gain[(splits < path.first) | (splits > path.last)]
    begins = np.arange(max(path.first, 1), min(path.last, m - 4) + 1, _BEGINNINGS)
    lengths = np.unique(np.geomspace(2, m - path.first, _LENGTHS).round())
    begin, length = (grid.ravel() for grid in np.meshgrid(begins, lengths))
    ramps = np.clip((np.arange(m) - begin[:, None] + 1) / length[:, None], 0.0, 1.0)
    ramps -= ramps.mean(axis=1, keepdims=True)
    energy = np.maximum((ramps**2).sum(axis=1), 1e-12)
    fits = (ramps @ (path.values - path.values.mean())) ** 2 / energy
    return bool(len(fits)) and float(fits.max()) >= float(outside.max(initial=0.0))
