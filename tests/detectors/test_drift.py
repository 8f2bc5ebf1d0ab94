"""A drift after the deployment, or a step at another time?"""

import numpy as np
import pytest

from afdp_exporter.detectors.drift import drifts
from afdp_exporter.detectors.onset import Path

LENGTH, FIRST, LAST = 240, 120, 136


def path(course: np.ndarray, seed: int) -> Path:
    noise = np.random.default_rng(seed).standard_normal(LENGTH)
    return Path(begin=0, values=course + noise, first=FIRST, last=LAST)


@pytest.mark.parametrize("length", [20, 50, 100])
def test_a_ramp_that_begins_in_the_window_is_a_drift(length: int) -> None:
    course = 5.0 * np.clip((np.arange(LENGTH) - FIRST - 5) / length, 0.0, 1.0)
    assert sum(drifts(path(course, seed)) for seed in range(40)) >= 36


@pytest.mark.parametrize("at", [60, 100, 114, 165, 190])
def test_a_step_at_another_time_is_none(at: int) -> None:
    course = 5.0 * (np.arange(LENGTH) >= at)
    assert sum(drifts(path(course, seed)) for seed in range(40)) <= 4


def test_a_path_without_room_after_the_deployment_tells_nothing() -> None:
    assert not drifts(Path(begin=0, values=np.arange(10.0), first=7, last=9))
    assert not drifts(Path(begin=0, values=np.arange(10.0), first=9, last=9))
