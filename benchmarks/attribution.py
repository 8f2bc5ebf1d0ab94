"""How often the judgement is right, on series with known injections, beside the usual tests.

    python benchmarks/attribution.py [--data DIR] [--split train] [--seed 11] [--scale 1.0] [--usual]

Without `--data` the series are generated. `DIR` holds an `index.csv` (name, source, step, split, n) and one CSV per
name (t, value columns, label). `--usual` puts the usual tests on the same cases.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import ruptures
from attribution_cases import COUNTS, Case, Recorded, cases, families, generate, read, with_old_shift
from scipy import stats

from afdp_exporter.impact import judge
from afdp_exporter.impact.multiple_testing import bh_threshold

Row = tuple[str, float, str, bool]
Answer = dict[str, object]
Method = Callable[[Case], Answer]
LOOKS = (2, 5, 10, 15, 30, 60)
BINS = ((1.0, 1.5, 0.50), (1.5, 2.0, 0.72), (2.0, 3.0, 0.82), (3.0, 5.0, 0.95), (5.0, np.inf, 0.98))


def ours(case: Case) -> Answer:
    """The product's own judgement."""
    found = judge(case.times, case.values, case.deployed_at, control=case.control, earlier_deployments=case.earlier)
    return {
        "attributed": found.attributed, "verdict": str(found.verdict), "shape": found.shape, "score": found.score,
        "p_value": found.p_value, "found_onset": found.onset,
        "change": found.change, "low": found.low, "high": found.high,
    }  # fmt: skip


def welch(case: Case) -> Answer:
    """Welch's t at 1 %: as many values before as after."""
    before, after = _sides(case)
    return {"attributed": bool(stats.ttest_ind(after, before, equal_var=False).pvalue < 0.01)}


def mann_whitney(case: Case) -> Answer:
    """The Mann-Whitney test at 2 %, as canary judges use it."""
    before, after = _sides(case)
    return {"attributed": bool(stats.mannwhitneyu(after, before).pvalue < 0.02)}


def kernel(case: Case) -> Answer:
    """KernelCPD (rbf) on the last 300 values: a changepoint at the deployment."""
    first = max(0, len(case.values) - 300)
    values = case.values[first:, None]
    typical = float(np.median((values - values.T)[np.triu_indices(len(values), 1)] ** 2))
    at = int(np.searchsorted(case.times, case.deployed_at)) - first
    model = ruptures.KernelCPD(kernel="rbf", min_size=3, params={"gamma": 1.0 / max(typical, 1e-12)}).fit(values)
    window = int(max(900, 4 * case.step) / case.step)
    found = model.predict(pen=float(np.log(len(values))))[:-1]
    return {"attributed": any(at - 1 <= point <= at + window for point in found)}


def _sides(case: Case) -> tuple[np.ndarray, np.ndarray]:
    at = int(np.searchsorted(case.times, case.deployed_at))
    n = len(case.values) - at
    return case.values[max(0, at - n) : at], case.values[at:]


def run(method: Method, all_cases: list[Case]) -> pd.DataFrame:
    """One row per case: the truth, the answer, and the CPU time in milliseconds."""
    rows = []
    for case in all_cases:
        begun = time.process_time()
        answer = method(case)
        spent = 1000.0 * (time.process_time() - begun)
        truth = {"kind": case.kind, "onset": case.onset, "effect": case.effect, "size": case.size, "q95": case.q95}
        rows.append({**truth, "step": case.step, "history": case.history, **answer, "ms": spent})
    return pd.DataFrame(rows)


def looks(all_cases: list[Case]) -> dict[str, float]:
    """Share of placebos blamed at any of the looks, and the number of placebos long enough."""
    fit = [c for c in all_cases if c.kind == "placebo" and c.times[-1] - c.deployed_at >= 60 * LOOKS[-1] - c.step]
    blamed = 0
    for case in fit:
        seen = [case.times < case.deployed_at + 60.0 * minutes for minutes in LOOKS]
        blamed += any(judge(case.times[s], case.values[s], case.deployed_at).attributed for s in seen)
    return {"share": blamed / max(len(fit), 1), "n": float(len(fit))}


def after_old_shift(all_cases: list[Case], seed: int) -> list[Row]:
    """Recall of clear shifts (3 q95, a day of history or more), and when a deployment made another one long before."""
    clear = [
        c for c in all_cases if c.kind == "shift" and abs(c.effect) >= 3 * c.q95 and len(c.times) * c.step >= 86_400
    ]
    if not clear:
        return []
    chance = [np.random.default_rng([seed, number]) for number in range(len(clear))]
    plain, *old = (
        run(ours, made).attributed.mean()
        for made in (
            clear,
            *([with_old_shift(c, r, known=k) for c, r in zip(clear, chance, strict=True)] for k in (False, True)),
        )
    )
    note = f"{plain:.2f} without, {old[0]:.2f} when unknown, n = {len(clear)}"
    return [(f"recall after an old shift ({note})", old[1], ">= 0.9", old[1] >= 0.9)]


def early(series: list[Recorded], seed: int, scale: float) -> list[Row]:
    """Placebos and clear shifts (1.5 q95 and 3 deviations) after 10 and 30 minutes of series at a minute."""
    fine = [one for one in series if one.step <= 60]
    rows: list[Row] = []
    for minutes, target in ((10, 0.75), (30, 0.88)) if fine else ():
        placebo = run(ours, list(cases(fine, seed, "placebo", int(1000 * scale), minutes)))
        shifts = run(ours, list(cases(fine, seed, "shift", int(1500 * scale), minutes)))
        clear = shifts[(shifts.effect.abs() >= 1.5 * shifts.q95) & (shifts["size"] >= 3)]
        false, found = placebo.attributed.mean(), clear.attributed.mean()
        rows += [
            (f"after {minutes} minutes, placebo blamed (n = {len(placebo)})", false, "<= 0.005", false <= 0.005),
            (f"after {minutes} minutes, recall (n = {len(clear)})", found, f">= {target}", found >= target),
        ]
    return rows


def together(series: list[Recorded], seed: int, count: int) -> list[Row]:
    """Ten metrics of one deployment: what is blamed where none moved, and where three did."""
    rows: list[Row] = []
    for shifted in (0, 3):
        false, power, any_blamed = [], [], []
        for family in families(series, seed, count, shifted=shifted):
            answers = [ours(case) for case in family]
            passing = bh_threshold([float(each["p_value"]) for each in answers], 0.1)
            blamed = [n for n, each in enumerate(answers) if each["attributed"] and each["p_value"] <= passing]
            false.append(sum(number >= shifted for number in blamed) / max(len(blamed), 1))
            power.append(sum(number < shifted for number in blamed) / max(shifted, 1))
            any_blamed.append(bool(blamed))
        if not false:
            return rows
        n = len(false)
        if shifted:
            share, found = float(np.mean(false)), float(np.mean(power))
            rows.append((f"3 of 10 metrics moved: false share (n = {n})", share, "<= 0.05", share <= 0.05))
            rows.append((f"3 of 10 metrics moved: found (n = {n})", found, ">= 0.9", found >= 0.9))
        else:
            share = float(np.mean(any_blamed))
            rows.append((f"none of 10 metrics moved: any blamed (n = {n})", share, "<= 0.02", share <= 0.02))
    return rows


def table(found: pd.DataFrame, replayed: dict[str, float]) -> list[Row]:
    """The targets: figure, value, target, and whether it is reached."""
    rows: list[Row] = []

    def most(name: str, value: float, limit: float) -> None:
        rows.append((name, value, f"<= {limit:g}", value <= limit))

    def least(name: str, value: float, limit: float) -> None:
        rows.append((name, value, f">= {limit:g}", value >= limit))

    of = {kind: found[found.kind == kind] for kind in COUNTS}
    placebo, transient = of["placebo"], of["transient"]
    shifts = pd.concat([of["shift"], of["percent"]])
    ratio = shifts.effect.abs() / shifts.q95
    most("placebo blamed", placebo.attributed.mean(), 0.01)
    most("placebo blamed, worst history", placebo.groupby("history").attributed.mean().max(), 0.02)
    for kind, limit in (("before", 0.005), ("after", 0.005), ("shock", 0.01), ("large shock", 0.02), ("spread", 0.01)):
        most(f"{kind} blamed", of[kind].attributed.mean(), limit)
    most("transient blamed as lasting", transient.attributed.mean(), 0.01)
    least("transient flagged", (transient.verdict == "transient").mean(), 0.75)
    most("transient flagged on placebo", (placebo.verdict == "transient").mean(), 0.02)
    for low, high, limit in BINS:
        least(f"recall {low:g} to {high:g} q95", shifts.attributed[(ratio >= low) & (ratio < high)].mean(), limit)
    least("AUC placebo against 2 q95", _auc(placebo.score, shifts.score[ratio >= 2]), 0.99)
    blamed = shifts[shifts.attributed]
    late = (blamed.found_onset.astype(float) - blamed.onset.astype(float)).abs() / blamed.step
    error = ((blamed.change - blamed.effect) / blamed.effect).abs().astype(float)
    least("onset within a step", (late <= 1.01).mean(), 0.95)
    most("onset error, 90th percentile (steps)", late.quantile(0.9), 1.0)
    most("effect error, median", error.median(), 0.08)
    most("effect error, 90th percentile", error.quantile(0.9), 0.35)
    least("sign right", (np.sign(blamed.change.astype(float)) == np.sign(blamed.effect)).mean(), 0.995)
    for name, part in (("placebo", placebo), ("all shifts", shifts), ("attributed", blamed)):
        held = ((part.low <= part.effect) & (part.effect <= part.high)).mean()
        rows.append((f"90 % interval covers: {name}", held, ".88 to .93", 0.88 <= held <= 0.93))
    ramps = of["ramp"][of["ramp"].effect.abs() >= 1.5 * of["ramp"].q95]
    least("ramps of 1.5 q95 reported", (ramps.attributed | (ramps.verdict == "gradual")).mean(), 0.70)
    least("spread found", (of["spread"]["shape"] == "spread").mean(), 0.60)
    most(f"placebo blamed at any look (n = {replayed['n']:.0f})", replayed["share"], 0.015)
    most("CPU, median (ms)", found.ms.median(), 2.0)
    most("CPU, 95th percentile (ms)", found.ms.quantile(0.95), 5.0)
    return rows


def _auc(negative: pd.Series, positive: pd.Series) -> float:
    ranks = stats.rankdata(np.concatenate([negative, positive]))
    n, m = len(negative), len(positive)
    return float((ranks[n:].sum() - m * (m + 1) / 2) / (n * m)) if n and m else float("nan")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--usual", action="store_true")
    given = parser.parse_args()
    series = read(given.data, given.split) if given.data else generate(given.seed)
    made = [c for kind, n in COUNTS.items() for c in cases(series, given.seed, kind, int(n * given.scale))]
    print(f"{len(series)} series, {len(made)} cases, seed {given.seed}")
    found = run(ours, made)
    rows = [
        *table(found, looks(made)),
        *together(series, given.seed, int(300 * given.scale)),
        *after_old_shift(made, given.seed),
        *early(series, given.seed, given.scale),
    ]
    for name, value, target, reached in rows:
        print(f"| {name} | {value:.4f} | {target} | {'pass' if reached else 'SHORT'} |")
    if given.usual:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _beside([c for c in made if c.kind in ("placebo", "shift", "percent")], found)


def _beside(made: list[Case], found: pd.DataFrame) -> None:
    print(f"\n{'test':16s} {'placebo blamed':>15s} {'recall > 2 q95':>15s} {'CPU median (ms)':>16s}")
    others = {"Welch t": welch, "Mann-Whitney": mann_whitney, "KernelCPD rbf": kernel}
    answers = {"ours": found, **{name: run(method, made) for name, method in others.items()}}
    for name, answer in answers.items():
        large = answer[answer.kind.isin(["shift", "percent"]) & (answer.effect.abs() >= 2 * answer.q95)]
        placebo = answer[answer.kind == "placebo"]
        print(
            f"{name:16s} {placebo.attributed.mean():15.4f} {large.attributed.mean():15.4f} {answer.ms.median():16.3f}"
        )


if __name__ == "__main__":
    main()
