"""The weakest spots of the judgement, each as a world with a known truth: measured, target, pass or short.

    python benchmarks/weak_spots.py [--seed 1] [--n 120] [--only WORD]

Each row is drawn `n` times. New rows go into a module with a tuple `ROWS`, which is named here.
"""

import argparse
import time
import zlib
from collections.abc import Iterator

import numpy as np
import weak_spots_clock
import weak_spots_ranges
import weak_spots_rollout
from weak_spot_rows import Figure, Row

ROWS: tuple[Row, ...] = (*weak_spots_clock.ROWS, *weak_spots_ranges.ROWS, *weak_spots_rollout.ROWS)


def measure(row: Row, seed: int, n: int) -> Iterator[tuple[Figure, float, int]]:
    """Each figure of a row: its mean, over how many repetitions."""
    drawn = [row.once(np.random.default_rng([seed, zlib.crc32(row.name.encode()), number])) for number in range(n)]
    for figure in row.figures:
        counted = [value for each in drawn if (value := each[figure.name]) is not None]
        yield figure, float(np.mean(counted)) if counted else float("nan"), len(counted)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--n", type=int, default=120)
    parser.add_argument("--only", default="", help="rows whose name holds this word")
    given = parser.parse_args()
    print(f"seed {given.seed}\n\n| world | figure | measured | n | target | |\n|---|---|---|---|---|---|")
    begun = time.process_time()
    for row in ROWS:
        if given.only in row.name:
            for figure, value, n in measure(row, given.seed, given.n):
                reached = "pass" if figure.reached(value) else "SHORT"
                print(f"| {row.name} | {figure.name} | {value:.3f} | {n} | {figure.target} | {reached} |", flush=True)
    print(f"\n{time.process_time() - begun:.0f} s of CPU")


if __name__ == "__main__":
    main()
