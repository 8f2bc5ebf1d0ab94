"""How often a canary is held wrongly, how soon a doubled error is found, and whether ranges at full traffic hold.

    .venv/bin/python benchmarks/canary.py [--canaries 200] [--seed 1]

Generated canaries with a known truth: minutes that are alike (AR(1)), a canary whose own noise grows as its share gets
smaller, cold caches of every young canary, a shared part that slows down as it fills, effects that are carried over to
full traffic by a factor that differs from rollout to rollout. Each minute of two hours is a check.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
from scipy.signal import lfilter

from afdp_exporter.gate.canary import CanarySeries, at_full_traffic, carry_over, compare
from afdp_exporter.model import CanaryVerdict, Worse

MINUTES = 120
HISTORY = 720
LEVEL = 200.0  # milliseconds
SHARES = (0.01, 0.05, 0.25)


def ar1(n: int, phi: float, chance: np.random.Generator) -> np.ndarray:
    """Of variance one."""
    shocks = chance.normal(size=n + 400) * np.sqrt(1 - phi * phi)
    return np.asarray(lfilter([1.0], [1.0, -phi], shocks)[400:])


def latency(share: float, phi: float, effect: float, chance: np.random.Generator, *, cold: float = 0.0) -> CanarySeries:
    """A canary's latency beside the stable version's; `cold` is what an empty cache adds in its first minute."""
    common = 8.0 * ar1(HISTORY + MINUTES, phi, chance)
    own = np.sqrt(0.01 / share) * 6.0 * ar1(MINUTES, phi, chance)
    stable = LEVEL + common + 0.6 * ar1(HISTORY + MINUTES, phi, chance)
    warming = cold * np.exp(-np.arange(MINUTES) / 6.0)
    return CanarySeries(
        metric="latency_milliseconds", worse=Worse.UP, canary=LEVEL + common[HISTORY:] + own + warming + effect,
        stable=stable[HISTORY:], stable_history=stable[:HISTORY], worth=0.1 * LEVEL, warm_up_minutes=5,
    )  # fmt: skip


def errors(
    share: float, times: float, rate: float, chance: np.random.Generator, *, bursts: float = 0.0
) -> CanarySeries:
    """Errors of a canary that has `rate` of them a minute if nothing is wrong, times `times`."""

    def counts(mean: float, n: int) -> np.ndarray:
        wild = chance.gamma(1 / bursts, bursts, n) if bursts else np.ones(n)
        return chance.poisson(mean * wild).astype(float)

    others = rate * (1 - share) / share
    return CanarySeries(
        metric="errors", worse=Worse.UP, canary=counts(rate * times, MINUTES), stable=counts(others, MINUTES),
        canary_of=np.full(MINUTES, 1000.0 * share), stable_of=np.full(MINUTES, 1000.0 * (1 - share)),
        stable_history=counts(others, HISTORY), history_of=np.full(HISTORY, 1000.0 * (1 - share)),
    )  # fmt: skip


def until(series: CanarySeries, minutes: int) -> CanarySeries:
    """What is known after so many minutes."""
    of = {} if series.canary_of is None or series.stable_of is None else {
        "canary_of": series.canary_of[:minutes], "stable_of": series.stable_of[:minutes],
    }  # fmt: skip
    return replace(series, canary=series.canary[:minutes], stable=series.stable[:minutes], **of)


def first_hold(series: CanarySeries) -> float:
    """The minute of the first hold; infinity where there is none in two hours."""
    return next((n for n in range(1, MINUTES + 1) if compare(until(series, n)).verdict is CanaryVerdict.WORSE), np.inf)


def held_at_full(share: float, n: int, chance: np.random.Generator) -> tuple[float, float]:
    """How often the 90 % range at full traffic holds the truth, and the share of canaries that are decided."""
    held = decided = 0
    for _ in range(n):
        effect = chance.normal(0, 15)
        factor = float(np.exp(chance.normal(0.05, 0.2)))
        earlier = [float(np.exp(chance.normal(0.05, 0.2))) for _ in range(int(chance.integers(0, 12)))]
        found = compare(latency(share, float(chance.choice([0, 0.5, 0.8])), effect, chance))
        decided += found.verdict is not CanaryVerdict.UNDECIDED
        if found.difference is not None:
            full = at_full_traffic(found.difference, carry_over(earlier))
            held += full.low <= effect * factor <= full.high
    return held / n, decided / n


def row(name: str, figure: str, target: str, passed: bool) -> None:
    """One line of the table."""
    print(f"| {name} | {figure} | {target} | {'pass' if passed else 'SHORT'} |", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--canaries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance, n = np.random.default_rng(given.seed), given.canaries
    started = time.perf_counter()
    print("| figure | measured | target | |\n|---|---|---|---|")
    for phi, most in ((0.0, 0.05), (0.5, 0.05), (0.8, 0.05), (0.95, 0.07)):
        wrong = [np.isfinite(first_hold(latency(share, phi, 0.0, chance))) for share in SHARES for _ in range(n // 3)]
        row(
            f"mean, phi {phi}: false holds",
            f"{np.mean(wrong):.1%} of {len(wrong)}",
            f"<= {most:.0%}",
            np.mean(wrong) <= most,
        )
    cold = [np.isfinite(first_hold(latency(0.05, 0.5, 0.0, chance, cold=60.0))) for _ in range(n)]
    row("mean, cold caches: false holds", f"{np.mean(cold):.1%} of {n}", "<= 5%", np.mean(cold) <= 0.05)
    for bursts in (0.0, 0.5):
        wrong = [
            np.isfinite(first_hold(errors(share, 1, 1, chance, bursts=bursts)))
            for share in SHARES
            for _ in range(n // 3)
        ]
        row(
            f"counts, bursts {bursts}: false holds",
            f"{np.mean(wrong):.1%} of {len(wrong)}",
            "<= 5%",
            np.mean(wrong) <= 0.05,
        )
    for share in SHARES:
        found = [first_hold(errors(share, 2, 1, chance)) for _ in range(n)]
        row(f"doubled error at {share:.0%}, median minute", f"{np.median(found):.0f}", "<= 14", np.median(found) <= 14)
    for share in SHARES:
        held, decided = held_at_full(share, n, chance)
        row(
            f"range at full traffic at {share:.0%}",
            f"{held:.1%} ({decided:.0%} decided)",
            "85 to 95 %",
            0.85 <= held <= 0.95,
        )
    slow = compare(until(errors(0.01, 1, 0.005, chance), 60))
    said = slow.verdict is CanaryVerdict.UNDECIDED
    row("too rare to decide", str(slow.verdict), "undecided", said)
    print(f"\n{n} canaries a row, seed {given.seed}, {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
