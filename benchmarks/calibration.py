"""Is the chance right that is reported for "this deployment did it"? A reliability table on known truths.

Three in ten deployments have an effect (a lasting shift, a ramp, an excursion, a grown spread), the others have none;
among these are shifts at another time and common shocks beside a control. Every case counts, whatever its verdict.

    python benchmarks/calibration.py --data DIR --seed 9 --scale 1
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
from attribution_cases import Floats, cases, generate, read

from afdp_exporter.impact import judge
from afdp_exporter.impact.bayes_factor import posterior_probability

EFFECTS = {"shift": 150, "percent": 150, "shift+control": 60, "ramp": 60, "transient": 120, "spread": 60}
NONE = {"placebo": 1050, "placebo+control": 180, "before": 60, "after": 60, "shock": 35, "large shock": 15}
EDGES = np.array([0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.85, 0.95, 1.0])


def reported(folder: Path | None, seed: int, scale: float) -> tuple[Floats, Floats]:
    """The chances (n,) and whether the deployment did it (n,)."""
    series = read(folder, "train") if folder else generate(seed)
    chances, right = [], []
    for kind, count in {**EFFECTS, **NONE}.items():
        for case in cases(series, seed, kind, int(count * scale)):
            finding = judge(case.times, case.values, case.deployed_at, control=case.control)
            if finding.log_factor is not None:
                chances.append(posterior_probability(finding.log_factor))
                right.append(kind in EFFECTS)
    return np.array(chances), np.array(right, dtype=float)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seed", type=int, default=9)
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args()
    chances, right = reported(given.data, given.seed, given.scale)
    print("| reported | mean | right | n |\n|---|---|---|---|")
    for low, high in itertools.pairwise(EDGES):
        inside = (chances > low) & (chances <= high)
        if inside.any():
            row = f"{chances[inside].mean():.3f} | {right[inside].mean():.3f} | {inside.sum()}"
            print(f"| {low:.0%} to {high:.0%} | {row} |")
    print(f"\nBrier score {np.mean((chances - right) ** 2):.4f}, base rate {right.mean() * (1 - right.mean()):.4f}")


if __name__ == "__main__":
    main()
