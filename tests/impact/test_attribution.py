"""One metric, one deployment: was it this deployment?"""

import numpy as np
import pytest

from afdp_exporter.impact import Finding, judge

STEP = 300.0
DAY = 86_400.0


def series(seed: int, n: int = 600, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of a metric with a daily rhythm and noise that resembles itself."""
    rng = np.random.default_rng(seed)
    times = 1_700_000_000.0 + STEP * np.arange(n)
    shocks = rng.normal(0.0, noise, n)
    noisy = np.convolve(shocks, 0.5 ** np.arange(6), "full")[:n]
    return times, 100.0 + 10.0 * np.sin(2 * np.pi * times / DAY) + noisy


def shifted(seed: int, by: float, at: int = 550, n: int = 600) -> Finding:
    times, values = series(seed, n)
    values[at:] += by
    return judge(times, values, times[at] - 60.0)


def test_a_large_lasting_shift_is_attributed_with_its_size_and_its_time() -> None:
    finding = shifted(1, 15.0)
    times, _ = series(1)
    assert finding.attributed
    assert finding.verdict == "attributed"
    assert finding.shape == "level"
    assert finding.onset == pytest.approx(times[550], abs=STEP)
    assert finding.low is not None
    assert finding.high is not None
    assert finding.low < 15.0 < finding.high
    assert finding.reason


def test_a_metric_that_only_does_what_it_always_does_is_left_alone() -> None:
    blamed = [shifted(seed, 0.0).attributed for seed in range(40)]
    assert sum(blamed) <= 1


def test_too_little_history_is_said_and_blames_nobody() -> None:
    times, values = series(3, 12)
    finding = judge(times, values, times[8])
    assert not finding.attributed
    assert finding.verdict == "insufficient_history"


def test_arrays_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="same length"):
        judge([1.0, 2.0], [1.0], 1.0)
