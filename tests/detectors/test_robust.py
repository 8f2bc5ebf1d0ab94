"""Medians and quantiles by partial sorting agree with numpy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from afdp_exporter.detectors.robust import median, medians, quantile, quantiles, row_medians, window_maxima

VALUES = arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6))


@given(VALUES, st.floats(0.0, 1.0))
def test_median_and_quantile_are_those_of_numpy(values: np.ndarray, share: float) -> None:
    assert median(values) == pytest.approx(np.median(values), abs=1e-6)
    assert quantile(values, share) == pytest.approx(np.quantile(values, share), abs=1e-6)


@pytest.mark.parametrize("n", [999, 1000, 1001, 2016, 10_081])
def test_of_many_values_the_same_ones_are_selected_as_of_sorted_ones(n: int) -> None:
    values = np.random.default_rng(n).normal(size=(2, n)).round(2)
    ordered = np.sort(values, axis=-1)
    middle = 0.5 * (ordered[:, (n - 1) // 2] + ordered[:, n // 2])
    assert [median(row) for row in values] == middle.tolist() == row_medians(values).tolist()
    low = int(0.9 * (n - 1))
    expected = ordered[:, low] + (0.9 * (n - 1) - low) * (ordered[:, low + 1] - ordered[:, low])
    assert [quantile(row, 0.9) for row in values] == expected.tolist()
    assert quantiles(values, np.array([0.3, 0.9]))[1].tolist() == expected.tolist()


@given(arrays(np.float64, (3, 17), elements=st.floats(-1e6, 1e6)))
def test_quantiles_go_along_the_last_axis(values: np.ndarray) -> None:
    shares = np.array([0.0, 0.31, 0.5, 1.0])
    assert quantiles(values, shares) == pytest.approx(np.quantile(values, shares, axis=-1), abs=1e-6)


@given(arrays(np.float64, (4, 9), elements=st.floats(-1e6, 1e6)), arrays(np.bool_, (4, 9)))
def test_medians_of_rows_heed_what_counts(values: np.ndarray, counted: np.ndarray) -> None:
    counted[:, 3] = True
    expected = [np.median(row[known]) for row, known in zip(values, counted, strict=True)]
    assert medians(values, counted) == pytest.approx(np.array(expected), abs=1e-6)


def test_windows_are_counted_from_the_end() -> None:
    assert list(window_maxima(np.array([9.0, 1.0, 2.0, 5.0, 4.0]), 2)) == [2.0, 5.0]
