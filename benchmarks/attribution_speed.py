"""CPU of one judgement beside changepoint detection alone, on a week at 5 minutes and a day at 1 minute.

    python benchmarks/attribution_speed.py [--n 200] [--otava PYTHON]

Each is given the same series, one method after the other, in one run; `judge_together` ten checks of forty series.
apache-otava has needs of its own: `PYTHON` is the interpreter of an environment that has it (`pip install
apache-otava`).
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import ruptures
from attribution_cases import DAY, Case, cases, generate

from afdp_exporter.impact import ObservedSeries, Rollout, judge, judge_together

OTAVA = """
import json, sys, time
from otava.analysis import compute_change_points
spent = []
for values in json.load(sys.stdin):
    begun = time.process_time()
    compute_change_points(values, window_len=50, max_pvalue=0.001)
    spent.append(1000 * (time.process_time() - begun))
json.dump(spent, sys.stdout)
"""


def ours(case: Case) -> None:
    """The whole judgement."""
    judge(case.times, case.values, case.deployed_at)


def forty(seed: int, step: float, history: float, checks: int) -> list[float]:
    """Milliseconds of CPU of one judgement among forty of one check, an hour (5 minutes) or half of one later."""
    series = [one for one in generate(seed, 80) if one.step == step]
    before, after = int(history / step), 12 if step == 300.0 else 30
    found = []
    for at in np.linspace(before, len(series[0].times) - after, checks).astype(int):
        cut = slice(at - before, at + after)
        observed = [ObservedSeries(times=one.times[cut], values=one.values[cut], step=step) for one in series]
        begun = time.process_time()
        judge_together(Rollout(deployed_at=float(series[0].times[at])), observed)
        found.append(1000 * (time.process_time() - begun) / len(series))
    return found


def kernel(length: int) -> Callable[[Case], None]:
    """KernelCPD rbf alone on the last values."""

    def detect(case: Case) -> None:
        values = case.values[-length:, None]
        apart = np.median((values - values.T)[np.triu_indices(len(values), 1)] ** 2)
        model = ruptures.KernelCPD(kernel="rbf", min_size=3, params={"gamma": 1.0 / max(float(apart), 1e-12)})
        model.fit(values).predict(pen=float(np.log(len(values))))

    return detect


def spent(methods: dict[str, Callable[[Case], None]], made: list[Case]) -> dict[str, list[float]]:
    """Milliseconds of CPU of each method on each case."""
    found: dict[str, list[float]] = {name: [] for name in methods}
    for name, method in methods.items():
        for case in made:
            begun = time.process_time()
            method(case)
            found[name].append(1000 * (time.process_time() - begun))
    return found


def otava(python: Path, made: list[Case]) -> list[float]:
    """Milliseconds of CPU of apache-otava on each case, measured in its own interpreter."""
    done = subprocess.run(
        [python, "-c", OTAVA], input=json.dumps([c.values.tolist() for c in made]), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return [float(each) for each in json.loads(done.stdout)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--otava", type=Path)
    given = parser.parse_args()
    print("| series | method | CPU, median (ms) | 95th percentile (ms) |\n|---|---|---|---|")
    for label, step, history in (("a week at 5 minutes", 300.0, "8d"), ("a day at 1 minute", 60.0, "24h")):
        series = [one for one in generate(given.seed) if one.step == step]
        found = [c for kind in ("placebo", "shift") for c in cases(series, given.seed, kind, 4 * given.n)]
        made = [c for c in found if c.history == history][: given.n]
        ours(made[0])
        methods = {"judge": ours, "KernelCPD rbf, last 300": kernel(300), "KernelCPD rbf, last 1,500": kernel(1500)}
        measured = spent(methods, made)
        measured["judge_together, one of forty"] = forty(given.seed, step, DAY * (8 if history == "8d" else 1), 10)
        if given.otava:
            measured["apache-otava"] = otava(given.otava, made)
        for name, times in measured.items():
            print(f"| {label} | {name} | {np.median(times):.2f} | {np.quantile(times, 0.95):.2f} |")


if __name__ == "__main__":
    sys.exit(main())
