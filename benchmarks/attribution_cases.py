"""Deployments with a known truth on real or generated series: placebos, shifts, transients, ramps, shocks, spreads.

A case is cut out of a series at a random instant that is no labelled incident; the injection follows the class of the
case. Sizes are in local deviations (robust, around a running median) or in shares of the level; recall is given by size
in q95, the 95th percentile of the change between adjacent windows of the series itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

Floats = np.ndarray
DAY = 86_400.0
COUNTS = {
    "placebo": 1600, "placebo+control": 400, "shift": 1500, "percent": 1000, "shift+control": 500, "ramp": 500,
    "transient": 500, "before": 600, "after": 600, "shock": 400, "large shock": 200, "spread": 300,
}  # fmt: skip
CONTROLLED = ("placebo+control", "shift+control", "shock", "large shock")
SIZES = (0.5, 1.0, 2.0, 3.0, 5.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recorded:
    """One series: times and values (n,), and where an incident is labelled; `kin` are the same metric elsewhere."""

    name: str
    step: float
    times: Floats
    values: Floats
    incident: Floats
    kin: tuple["Recorded", ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One deployment; `onset` and `effect` are the truth, None and 0 where nothing was injected; `q95` is natural.

    `earlier` are the times of earlier deployments that are known.
    """

    kind: str
    times: Floats
    values: Floats
    deployed_at: float
    control: Floats | None
    onset: float | None
    effect: float
    size: float
    step: float
    history: str
    q95: float
    earlier: tuple[float, ...] = ()


def read(folder: Path, split: str) -> list[Recorded]:
    """The series of a folder in the shared format: `index.csv`, and one CSV per name with t, values and label."""
    found = []
    for row in pd.read_csv(folder / "index.csv").itertuples():
        if row.split != split:
            continue
        frame = pd.read_csv(folder / f"{row.name}.csv")
        for column in frame.columns.difference(["t", "label"]):
            values = frame[column].to_numpy(float)
            if np.nanstd(values) > 0:
                times, label = frame["t"].to_numpy(float), frame["label"].to_numpy()
                name = f"{row.name}:{column}"
                found.append(Recorded(name=name, step=float(row.step), times=times, values=values, incident=label))
    return _related(found)


def generate(seed: int, n_series: int = 24) -> list[Recorded]:
    """Worlds of five kinds at 1 and 5 minutes: daily rhythm, heavy tails, drift, rare events and ratios near 1."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(n_series):
        step = (60.0, 300.0)[number % 2]
        n = int(10 * DAY / step)
        times = step * np.arange(n)
        slow = np.cumsum(rng.normal(0, 0.4 * np.sqrt(step / 3600), n))
        noise = np.convolve(rng.standard_t(4, n), 0.6 ** np.arange(8), "full")[:n]
        daily = 8.0 * np.sin(2 * np.pi * times / DAY) + 3.0 * np.sin(4 * np.pi * times / DAY + 1.0)
        values = (
            100.0 + daily + slow + noise,
            100.0 + slow + noise,
            np.exp(4.0 + 0.05 * (daily + noise)),
            rng.poisson(np.exp(0.5 + 0.05 * daily)).astype(float),
            1.0 - 0.01 * np.exp(0.2 * (noise + 0.3 * daily) - 1.0),
        )[number % 5]
        name = f"world__{number // 5}:{number % 5}"
        found.append(Recorded(name=name, step=step, times=times, values=values, incident=np.zeros(n)))
    return _related(found)


def _related(series: list[Recorded]) -> list[Recorded]:
    def kin(one: Recorded) -> tuple[Recorded, ...]:
        group, metric = one.name.split(":")
        return tuple(
            other
            for other in series
            if other.name.split(":")[1] == metric
            and other.name.split(":")[0] != group
            and group.split("__")[0] == other.name.split("__")[0]
            and other.step == one.step
            and len(other.values) == len(one.values)
        )

    return [replace(one, kin=kin(one)) for one in series]


def cases(series: list[Recorded], seed: int, kind: str, count: int, after: int | None = None) -> Iterator[Case]:
    """`count` cases of one kind, by the seed; `after`: that many points after the deployment, the onset at once."""
    fit = [one for one in series if one.kin] if kind in CONTROLLED else series
    for number in range(count if fit else 0):
        rng = np.random.default_rng([seed, list(COUNTS).index(kind), number])
        made = None
        for _ in range(200):
            made = _cut(fit[int(rng.integers(len(fit)))], kind, rng, after)
            if made is not None:
                yield made
                break


def with_old_shift(case: Case, rng: np.random.Generator, *, known: bool) -> Case:
    """The case with a shift of 5 deviations in the middle of its history, made by a deployment that is known or not."""
    before = int(np.searchsorted(case.times, case.deployed_at))
    at = int(rng.integers(int(0.3 * before), int(0.8 * before)))
    added = rng.choice([-5.0, 5.0]) * _deviation(case.values[:before]) * (np.arange(len(case.values)) < at)
    return replace(case, values=case.values + added, earlier=(float(case.times[at]),) if known else ())


def families(series: list[Recorded], seed: int, count: int, *, shifted: int, size: int = 10) -> Iterator[list[Case]]:
    """`count` deployments with `size` metrics of one group each, of which the first `shifted` moved.

    They moved by four times what is natural between adjacent windows (robust deviation), a step after the deployment.
    """
    groups: dict[str, list[Recorded]] = {}
    for one in series:
        groups.setdefault(one.name.split(":")[0], []).append(one)
    fit = [group for group in groups.values() if len(group) >= 7]
    for number in range(count if fit else 0):
        rng = np.random.default_rng([seed, 777, shifted, number])
        for _ in range(100):
            group = fit[int(rng.integers(len(fit)))]
            chosen = [group[j] for j in rng.choice(len(group), min(size, len(group)), replace=False)]
            made = _together(chosen, shifted, rng)
            if made is not None:
                yield made
                break


def _together(chosen: list[Recorded], shifted: int, rng: np.random.Generator) -> list[Case] | None:
    step, n = chosen[0].step, len(chosen[0].values)
    after, day = (60 if step <= 60 else 24), int(DAY / step)
    before = min(day * int(rng.choice([1, 8])), n - after - 2)
    at = int(rng.integers(before, n - after))
    cut = slice(at - before, at + after)
    made = []
    for number, one in enumerate(chosen):
        values = one.values[cut].copy()
        if one.incident[max(0, at - day) : at + after].any() or not np.isfinite(values).all():
            return None
        effect = 0.0
        if number < shifted:
            effect = float(rng.choice([-4.0, 4.0])) * _natural(values[:before], after)
            values[before + 1 :] += effect
        made.append(
            Case(
                kind="family", times=one.times[cut], values=values, deployed_at=float(one.times[at]), control=None,
                onset=float(one.times[at] + step) if effect else None, effect=effect, size=4.0, step=step,
                history="8d" if before > day else "24h", q95=_q95(values[:before], after),
            )
        )  # fmt: skip
    return made


def _natural(values: Floats, length: int) -> float:
    return max(1.4826 * float(np.median(_own_changes(values, length))), 1e-9)


def _cut(one: Recorded, kind: str, rng: np.random.Generator, after: int | None) -> Case | None:
    lengths = [30, 60, 120] if one.step <= 60 else [12, 24, 48] if one.step <= 300 else [12, 24]
    latest = int(max(600, 2 * one.step) / one.step) if after is None else 1
    after = after or int(rng.choice(lengths))
    history = str(rng.choice(["6h", "24h", "8d"], p=[0.25, 0.35, 0.4]))
    span = {"6h": DAY / 4, "24h": DAY, "8d": 8 * DAY}[history]
    before = min(max(int(span / one.step), 72), len(one.values) - after - 2)
    if before < 72 or len(one.values) - after - before < 2:
        return None
    at = int(rng.integers(before, len(one.values) - after))
    cut = slice(at - before, at + after)
    values, times = one.values[cut].copy(), one.times[cut]
    if one.incident[max(0, at - int(DAY / one.step)) : at + after].any() or not np.isfinite(values).all():
        return None
    deviation, level = (
        _deviation(values[:before][-int(DAY / one.step) :]),
        abs(float(np.median(values[:before][-after:]))),
    )
    if deviation <= 1e-9 * (level + 1e-12):
        return None
    control = None
    if kind in CONTROLLED:
        chosen = rng.choice(len(one.kin), min(3, len(one.kin)), replace=False)
        scaled = [one.kin[j].values[cut] / max(float(np.median(np.abs(one.kin[j].values[cut]))), 1e-12) for j in chosen]
        control = np.median(scaled, axis=0)
    return _inject(
        Case(
            kind=kind, times=times, values=values, deployed_at=float(one.times[at]), control=control, onset=None,
            effect=0.0, size=0.0, step=one.step, history=history, q95=_q95(values[:before], min(after, before // 5)),
        ),
        before, deviation, latest, rng,
    )  # fmt: skip


def _deviation(values: Floats) -> float:
    middle = pd.Series(values).rolling(25, center=True, min_periods=5).median().to_numpy()
    return 1.4826 * float(np.median(np.abs(values - middle)))


def _q95(values: Floats, length: int) -> float:
    return float(np.quantile(_own_changes(values, length), 0.95))


def _own_changes(values: Floats, length: int) -> Floats:
    """How far the means of adjacent windows of so many values are apart, everywhere."""
    totals = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(length, len(values) - length + 1)
    return np.abs(totals[at + length] - 2 * totals[at] + totals[at - length]) / length


def _inject(case: Case, before: int, deviation: float, latest: int, rng: np.random.Generator) -> Case | None:
    """The case with its truth put in, at most `latest` steps after the deployment; None where it does not fit."""
    n, sign = len(case.values), float(rng.choice([-1.0, 1.0]))
    window, after = int(max(900, 4 * case.step) / case.step), len(case.values) - before
    onset = before + int(rng.integers(0, latest + 1))
    added, control, kind = np.zeros(n), case.control, case.kind
    size = float(rng.choice({"percent": (0.05, 0.1, 0.2, 0.5), "transient": (5.0, 10.0, 20.0), "shock": (0.1, 0.2),
                             "large shock": (0.5,), "spread": (2.0, 3.0)}.get(kind, SIZES)))  # fmt: skip
    if kind.startswith("placebo"):
        return case
    if kind in ("before", "after"):
        size = float(rng.choice([2.0, 3.0, 5.0]))
        moved = _misplaced(kind, case, before, window, rng)
        if moved is None:
            return None
        onset = moved
    if kind in ("shift", "shift+control", "before", "after"):
        added[onset:] = sign * size * deviation
    elif kind in ("percent", "shock", "large shock"):
        added[onset:] = sign * size * case.values[onset:]
    elif kind == "ramp":
        added[onset:] = sign * size * deviation * np.minimum(1.0, (np.arange(n - onset) + 1) / max(3, after // 2))
    elif kind == "transient":
        added[onset : onset + int(rng.integers(2, max(3, after // 6) + 1))] = sign * size * deviation
    elif kind == "spread":
        middle = pd.Series(case.values).rolling(25, center=True, min_periods=5).median().to_numpy()
        added[onset:] = (case.values - middle)[onset:] * (size - 1.0)
    if kind in ("shock", "large shock") and control is not None:
        control = np.concatenate([control[:onset], control[onset:] * (1.0 + sign * size)])
    effect = 0.0 if kind == "spread" else float(added[onset:].mean())
    return replace(
        case, values=case.values + added, control=control, onset=float(case.times[onset]), effect=effect, size=size
    )


def _misplaced(kind: str, case: Case, before: int, window: int, rng: np.random.Generator) -> int | None:
    """The position of a shift that the deployment cannot have made; None where there is no room for one."""
    if kind == "before":
        return before - int(rng.integers(max(1800 / case.step, 6), max(10_800 / case.step, 24) + 1))
    n = len(case.values)
    first = before + window + int(max(900, 3 * case.step) / case.step)
    last = n - max(4, (n - before) // 6)
    return int(rng.integers(first, last + 1)) if first < last else None
