"""How sure a switch to green is said to be, and how often that is so; how often an innocent green is held.

    .venv/bin/python benchmarks/blue_green.py [--services 40] [--switches 100] [--seed 1]

Generated services with a known truth. Each green has four signals of its warm-up (start time, memory that grows with
age, error logs, mirrored latency), which differ from green to green together and by themselves; a service's deployments
do harm with a risk that differs, and that the prediction knows with an error. A harmful green shows that in each signal
with a share that differs by signal and service, often in none. Switches are judged in order of time, each knowing the
ends of those before it.
"""

import argparse
import time
from dataclasses import dataclass, field

import numpy as np

from afdp_exporter.gate.blue_green import CALIBRATED_FROM, PastSwitch, WarmUp, signal, switch
from afdp_exporter.model import PoolingLevel, SignalVerdict, Worse

SIGNALS = ("start_seconds", "memory_megabytes", "error_logs_per_minute", "mirrored_latency_milliseconds")
MINUTES = 15
HOLD = 0.5


@dataclass
class Service:
    """What is true of a service, and what was seen of its greens by now."""

    risk: float
    shows: np.ndarray  # (4,) how often a harmful green shows in each signal
    levels: np.ndarray  # (4,)
    lives: dict[str, list[np.ndarray]] = field(default_factory=lambda: {name: [] for name in SIGNALS})
    scores: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in SIGNALS})
    past: list[PastSwitch] = field(default_factory=list)


def make(chance: np.random.Generator) -> Service:
    """A service with a risk between a few and forty percent."""
    return Service(
        risk=float(chance.beta(2, 10)), shows=chance.beta(1.0, 1.8, len(SIGNALS)),
        levels=np.array([20.0, 600.0, 3.0, 120.0]) * np.exp(chance.normal(0, 0.3, len(SIGNALS))),
    )  # fmt: skip


def green(service: Service, chance: np.random.Generator, *, harmful: bool) -> dict[str, np.ndarray]:
    """The signals of one green, minute by minute: alike in the machine that it runs on, and in its own ways."""
    machine, found = chance.standard_t(6), {}
    age = np.arange(MINUTES)
    for place, name in enumerate(SIGNALS):
        level = service.levels[place]
        own = 0.6 * machine + 0.8 * chance.standard_t(6)
        if harmful and chance.random() < service.shows[place]:
            own += chance.gamma(4.0, 1.0)
        at = max(level * (1.0 + 0.06 * own), 0.0)
        if name == "error_logs_per_minute":
            found[name] = chance.poisson(at, MINUTES).astype(float)
        else:
            found[name] = at * (1.0 + 0.01 * age) * (1.0 + chance.normal(0, 0.01, MINUTES))
    return found


@dataclass(frozen=True)
class Judged:
    """One switch: how sure it was said to be, on what basis, and the truth."""

    confidence: float
    harmless: bool
    basis: PoolingLevel
    calibrated: bool
    predicted: float
    unusual: int


def judged(services: list[Service], chance: np.random.Generator) -> list[Judged]:
    """One switch of each service."""
    found = []
    for service in services:
        harmful = bool(chance.random() < service.risk)
        predicted = 1.0 / (1.0 + np.exp(-(np.log(service.risk / (1 - service.risk)) + chance.normal(0, 0.5))))
        seen = green(service, chance, harmful=harmful)
        scores = {name: [score for each in services for score in each.scores[name]] for name in SIGNALS}
        signals = [
            signal(
                WarmUp(
                    metric=name, worse=Worse.UP, green=seen[name], earlier=tuple(service.lives[name][-60:]),
                    harmful=np.array(scores[name], dtype=float),
                )
            )
            for name in SIGNALS
        ]  # fmt: skip
        result = switch(signals, float(predicted), service.past, sum(len(each.past) for each in services))
        if result.confidence_ratio is not None:
            unusual = sum(one.verdict is SignalVerdict.UNUSUAL for one in signals)
            found.append(
                Judged(result.confidence_ratio, not harmful, result.basis, result.calibrated, float(predicted), unusual)
            )
            service.past.append(
                PastSwitch(log_odds=result.log_odds, confidence=result.confidence_ratio, harmless=not harmful)
            )
        for one in signals:
            if harmful and one.score is not None:
                service.scores[one.metric].append(one.score)
        if not harmful:
            for name in SIGNALS:
                service.lives[name].append(seen[name])
    return found


def brier(said: np.ndarray, ends: np.ndarray) -> float:
    """The mean squared distance."""
    return float(((said - ends) ** 2).mean())


def table(title: str, found: list[Judged]) -> None:
    """Calibration in bins, holds and Brier scores of one part."""
    said = np.array([one.confidence for one in found])
    ends = np.array([one.harmless for one in found], dtype=float)
    alone = 1.0 - np.array([one.predicted for one in found])
    print(f"\n{title}: {len(found)} switches, {ends.mean():.1%} without harm\n")
    print("| said | n | mean said | came true |\n|---|---|---|---|")
    for low, high in ((0.0, 0.5), (0.5, 0.75), (0.75, 0.9), (0.9, 0.97), (0.97, 1.01)):
        inside = (said >= low) & (said < high)
        if inside.sum() >= 10:
            means = f"{said[inside].mean():.3f} | {ends[inside].mean():.3f}"
            print(f"| {low} to {min(high, 1.0)} | {inside.sum()} | {means} |")
    innocent, harmful = said[ends == 1.0], said[ends == 0.0]
    print(f"\n| held although innocent | {(innocent < HOLD).mean():.1%} |\n|---|---|")
    print(f"| harmful ones held | {(harmful < HOLD).mean():.1%} |")
    print(f"| an innocent signal called unusual | {_unusual(found):.1%} |")
    print(f"| gap of calibration, mean over switches | {_gap(said, ends):.3f} |")
    print(f"| Brier score; of the predicted risk alone; of the base rate | {brier(said, ends):.3f}; "
          f"{brier(alone, ends):.3f}; {brier(np.full(ends.size, ends.mean()), ends):.3f} |")  # fmt: skip


def _unusual(found: list[Judged]) -> float:
    innocent = [one.unusual for one in found if one.harmless]
    return sum(innocent) / (len(SIGNALS) * max(len(innocent), 1))


def _gap(said: np.ndarray, ends: np.ndarray) -> float:
    """The expected calibration error over ten bins of equal size."""
    order = np.argsort(said)
    parts = np.array_split(order, 10)
    return float(sum(abs(said[part].mean() - ends[part].mean()) * part.size for part in parts) / said.size)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--services", type=int, default=40)
    parser.add_argument("--switches", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance, started = np.random.default_rng(given.seed), time.perf_counter()
    services = [make(chance) for _ in range(given.services)]
    found = [one for _ in range(given.switches) for one in judged(services, chance)]
    table("All", found)
    table("Fewer than 10 own switches", [one for one in found if one.basis is PoolingLevel.GLOBAL])
    table(
        "10 own switches and more", [one for one in found if one.basis is PoolingLevel.SERVICE and not one.calibrated]
    )
    table(f"Calibrated by {CALIBRATED_FROM} own switches", [one for one in found if one.calibrated])
    print(f"\n{given.services} services, {given.switches} switches each, seed {given.seed}, "
          f"{time.perf_counter() - started:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
