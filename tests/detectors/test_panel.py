"""Several series on one grid, asked about together."""

import numpy as np

from afdp_exporter.detectors.panel import MOST, Panel, by_panel
from tests.detectors.conftest import GridMaker


def test_each_series_gets_its_own_answer_in_the_order_in_which_they_were_asked_about(grid: GridMaker) -> None:
    series = [grid(seed, n=600 + 60 * (seed % 3)) for seed in range(3 * MOST + 5)]
    panels = []

    def tallest(panel: Panel, names: list[int]) -> list[tuple[int, float]]:
        panels.append(panel)
        return list(zip(names, panel.values.max(axis=1).tolist(), strict=True))

    found = by_panel(tallest, series, list(range(len(series))))
    assert found == [(name, float(np.max(each.values))) for name, each in enumerate(series)]
    assert all(panel.k <= MOST and len({each.n for each in panel.series}) == 1 for panel in panels)
    assert by_panel(tallest, [], []) == []
