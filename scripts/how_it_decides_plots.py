"""The pictures of `how-it-decides.md`, from real series: `python scripts/how_it_decides_plots.py DIR`.

`DIR` holds series in the format that `benchmarks/attribution.py` reads. Needs matplotlib (extra `docs`).
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from afdp_exporter.detectors.changepoint import changepoint_posterior, extract
from afdp_exporter.detectors.regular_series import regularize
from afdp_exporter.impact import judge

IMAGES = Path(__file__).parent.parent / "docs" / "images"
DAY = 86_400.0


def load(folder: Path, name: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of one series."""
    frame = pd.read_csv(folder / f"{name}.csv")
    return frame["t"].to_numpy(float), frame[column].to_numpy(float)


def mark(axes: Axes, times: np.ndarray, values: np.ndarray, at: float, title: str) -> None:
    """A series around a deployment, hours on the axis."""
    near = (times > at - 0.6 * DAY) & (times < at + 0.2 * DAY)
    axes.plot((times[near] - at) / 3600, values[near], color="#33558a", linewidth=0.8)
    axes.axvline(0.0, color="#c0392b", linewidth=1.0)
    axes.set_title(title, fontsize=8)
    axes.tick_params(labelsize=7)


def placebos(times: np.ndarray, values: np.ndarray, position: int) -> None:
    """The change at many earlier instants, and the one after the deployment."""
    length = 24
    totals = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(length, position - length, 6)
    natural = (totals[at + length] - 2 * totals[at] + totals[at - length]) / length
    real = float(totals[position + length] - 2 * totals[position] + totals[position - length]) / length
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.6))
    mark(
        left, times[: position + length], values[: position + length], times[position], "a deployment, hours around it"
    )
    right.hist(natural, bins=50, color="#9db4d3")
    right.axvline(real, color="#c0392b")
    right.set_title("the same change at earlier instants; red: this one", fontsize=8)
    right.tick_params(labelsize=7)
    save(figure, "placebos.svg")


def onset(times: np.ndarray, values: np.ndarray, position: int) -> None:
    """Where the posterior of the onset lies."""
    grid = regularize(times, values, times[position], finished_at=None, control=None, step=None, respond_within=None)
    assert grid is not None
    path = extract(grid)
    found = changepoint_posterior(path)
    assert found is not None
    figure, axes = plt.subplots(figsize=(8, 2.4))
    axes.plot(np.arange(len(path.values)) + path.begin - grid.deployed, path.values, color="#33558a", linewidth=0.9)
    axes.axvspan(-1, grid.last_onset - grid.deployed, color="#f5d9a8", alpha=0.6)
    axes.axvspan(found.low - grid.deployed - 0.5, found.high - grid.deployed + 0.5, color="#c0392b", alpha=0.4)
    axes.set_title(
        f"steps around the deployment; light: where an onset counts, dark: where it is ({found.share:.0%} inside)",
        fontsize=8,
    )
    axes.tick_params(labelsize=7)
    save(figure, "onset.svg")


def shapes(times: np.ndarray, values: np.ndarray, position: int) -> None:
    """The same stretch with nothing, a shift, an excursion and a grown spread, and what is said of each."""
    rng = np.random.default_rng(1)
    size = 6.0 * float(np.median(np.abs(np.diff(values))))
    nothing, shift, away, scatter = (values.copy() for _ in range(4))
    shift[position:] += size
    away[position + 1 : position + 7] += 2 * size
    scatter[position:] += rng.normal(0.0, 0.6 * size, len(values) - position)
    figure, all_axes = plt.subplots(1, 4, figsize=(11, 2.4))
    for axes, course in zip(all_axes, (nothing, shift, away, scatter), strict=True):
        found = judge(times, course, times[position])
        mark(
            axes,
            times,
            course,
            times[position],
            str(found.verdict) if found.shape != "spread" else "inconclusive: the spread grew",
        )
    save(figure, "shapes.svg")


def save(figure: plt.Figure, name: str) -> None:
    """Write one picture."""
    figure.tight_layout()
    figure.savefig(IMAGES / name)
    plt.close(figure)


def main() -> None:
    """Draw all of them."""
    folder = Path(sys.argv[1])
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "afdp", "path.simplify_threshold": 0.6})
    IMAGES.mkdir(exist_ok=True)
    times, values = load(folder, "js2__s3", "m8")
    position = 3000
    moved = values.copy()
    moved[position:] += 5.0
    end = position + 48
    placebos(times[:end], moved[:end], position)
    onset(times[position - 2300 : end], moved[position - 2300 : end], position=2300)
    shapes(times[position - 2300 : end], values[position - 2300 : end], 2300)


if __name__ == "__main__":
    main()
