"""Series with a known truth."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import pytest

from afdp_exporter.detectors.panel import Panel
from afdp_exporter.detectors.regular_series import RegularSeries, regularize

T = TypeVar("T")

GridMaker = Callable[..., RegularSeries]


@pytest.fixture
def grid() -> GridMaker:
    """A grid of 600 values at 5 minutes, the deployment before position 540, with something added to the values."""

    def make(
        seed: int, added: np.ndarray | float = 0.0, *, noise: float = 1.0, gaps: tuple[int, ...] = (), n: int = 600
    ) -> RegularSeries:
        rng = np.random.default_rng(seed)
        times = 1_700_000_000.0 + 300.0 * np.arange(n)
        values = 50.0 + noise * np.convolve(rng.normal(size=n), 0.5 ** np.arange(5), "full")[:n] + added
        values[list(gaps)] = np.nan
        made = regularize(
            times, values, float(times[n - 60]), finished_at=None, control=None, step=None, respond_within=None
        )
        assert made is not None
        return made

    return make


def alone(detector: Callable[..., Sequence[T]], grid: RegularSeries, *beside: object) -> T:
    """What a detector finds in one series, given what is beside it."""
    (found,) = detector(Panel.of([grid]), *([each] for each in beside))
    return found


def lasting(height: float, at: int = 540, n: int = 600) -> np.ndarray:
    """A step of a height from a position on."""
    return height * (np.arange(n) >= at)
