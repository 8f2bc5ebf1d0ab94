"""What earlier deployments left in the history."""

from dataclasses import replace

import numpy as np

from afdp_exporter.detectors.level import level_shifts
from afdp_exporter.detectors.level_shifts import remove_level_shifts
from tests.detectors.conftest import GridMaker, alone, lasting


def test_an_old_shift_is_taken_out_where_it_is_known(grid: GridMaker) -> None:
    made = grid(7, lasting(10.0, 300))
    aligned = remove_level_shifts([made], [made.time(300)])[0]
    assert abs(float(np.median(aligned.values[:300]) - np.median(aligned.values[300:]))) * made.scale < 1.5
    assert np.array_equal(aligned.values[305:], made.values[305:])


def test_a_deployment_that_did_nothing_changes_nothing(grid: GridMaker) -> None:
    made = grid(8)
    changed = [remove_level_shifts([made], [made.time(at)])[0].values is not made.values for at in range(50, 500, 50)]
    assert sum(changed) <= 1


def test_after_alignment_a_new_shift_is_measured_as_well_as_without_the_old_one(grid: GridMaker) -> None:
    made = grid(9, lasting(20.0, 300) + lasting(6.0))
    aligned, plain = (
        alone(level_shifts, remove_level_shifts([made], [made.time(300)])[0]),
        alone(level_shifts, grid(9, lasting(6.0))),
    )
    assert aligned is not None
    assert plain is not None
    assert aligned.p_value < 0.05


def test_times_that_are_no_times_are_passed_over(grid: GridMaker) -> None:
    made = grid(10)
    assert remove_level_shifts([made], [float("nan"), float("inf"), -1.0, 1e300])[0] is made


def test_what_is_taken_out_of_the_history_does_not_depend_on_how_far_a_look_reaches(grid: GridMaker) -> None:
    shifts = lasting(12.0, 200) + lasting(-9.0, 260) + lasting(15.0, 420)
    made = grid(11, shifts)
    sooner = replace(made, values=made.values[:-40], measured=made.measured[:-40])
    earlier = [made.time(position) for position in (200, 260, 350, 420)]
    whole, part = remove_level_shifts([made], earlier)[0], remove_level_shifts([sooner], earlier)[0]
    assert whole.values is not made.values
    np.testing.assert_array_equal(whole.values[: part.n], part.values)
    assert float(np.ptp(whole.values)) * made.scale < 12.0


def test_shifts_are_taken_out_whichever_other_deployments_are_known(grid: GridMaker) -> None:
    made = grid(12, lasting(12.0, 150) + lasting(-9.0, 260) + lasting(15.0, 420))
    guilty, innocent = (150, 260, 420), (60, 100, 200, 240, 330, 380, 440, 470)
    alone = remove_level_shifts([made], [made.time(position) for position in guilty])[0]
    among = remove_level_shifts([made], [made.time(position) for position in guilty + innocent])[0]
    assert np.mean(np.abs(alone.values - among.values) * made.scale > 1.0) < 0.1
