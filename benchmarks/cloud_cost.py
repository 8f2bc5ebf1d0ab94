"""Whether the range of a predicted cloud cost holds the true one: 50 planted changes of manifests, 20 days of each.

    python benchmarks/cloud_cost.py [--seed 1] [--changes 50] [--days 20]

The truth is a day in steps of ten minutes, with assumptions of its own. The load swings by 10 to 60 % around its mean.
Of pods without an autoscaler three in four use 5 to 60 % of the CPU that they ask for and one in four 50 to 150 %;
memory in use is 20 to 130 % of the request, most often 70 %. The mean load of autoscaled ones lies between their
bounds, nearer to the least (Beta(1.3, 2.2)); their pods follow the load in whole numbers, ten minutes late. What is
paid for is the greater of request and use, at prices within 30 % of the defaults. The change meets the same load.
"""

import argparse
from dataclasses import replace

import numpy as np

from afdp_exporter.planning.cloud_cost import CHANCES, CloudRates, Pair, Workload, cloud_cost, request_change
from afdp_exporter.planning.manifests import pairs_of, requested

STEPS = 144


def manifests(workloads: dict[str, Workload]) -> list[tuple[str, dict[str, object]]]:
    """The Deployments and autoscalers that say so."""
    found: list[tuple[str, dict[str, object]]] = []
    for name, one in workloads.items():
        asked = {"cpu": f"{1000 * one.cores:.0f}m", "memory": f"{1024 * one.memory_gib:.0f}Mi"}
        pod = {"containers": [{"resources": {"requests": asked}}]}
        spec = {"replicas": int(one.least), "template": {"spec": pod}}
        found.append((name, {"kind": "Deployment", "metadata": {"name": name}, "spec": spec}))
        if one.target is not None:
            target = {"type": "Utilization", "averageUtilization": round(100 * one.target)}
            scaler = {
                "scaleTargetRef": {"kind": "Deployment", "name": name},
                "minReplicas": int(one.least),
                "maxReplicas": int(one.most),
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
            }
            metadata = {"name": name}
            found.append((name, {"kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": scaler}))
    return found


def workload(chance: np.random.Generator) -> Workload:
    """As people write them."""
    least = float(chance.integers(1, 7))
    scaled = chance.random() < 0.5
    return Workload(
        least=least,
        most=least + float(chance.integers(1, 3 * least + 1)) if scaled else least,
        cores=float(chance.choice([0.1, 0.25, 0.5, 1.0, 2.0])),
        memory_gib=float(chance.choice([0.25, 0.5, 1.0, 2.0, 4.0])),
        target=float(chance.choice([0.5, 0.6, 0.7, 0.8])) if scaled else None,
    )


def change(one: Workload, chance: np.random.Generator) -> Pair:
    """Other pods, other requests, another autoscaler, a new workload or one that is gone."""
    factor = float(chance.choice([0.5, 0.75, 1.5, 2.0]))
    more = float(chance.integers(1, 6))
    afters = (
        replace(one, least=one.least + more, most=one.most + more),
        replace(one, cores=one.cores * factor),
        replace(one, memory_gib=one.memory_gib * factor),
        replace(one, cores=one.cores * factor, memory_gib=one.memory_gib * factor),
        replace(one, most=one.most + more, target=one.target or 0.7),
        None,
    )
    kind = int(chance.integers(len(afters) + 1))
    return (one, afters[kind]) if kind < len(afters) else (None, one)


def load_of(one: Workload, chance: np.random.Generator) -> np.ndarray:
    """Cores that a workload is busy with, in the course of a day."""
    hours = 2 * np.pi * (np.arange(STEPS) / STEPS + chance.random())
    day = 1 + chance.uniform(0.1, 0.6) * np.sin(hours) + chance.normal(0, 0.05, STEPS)
    if one.target is not None:
        mean = (one.least + (one.most - one.least) * chance.beta(1.3, 2.2)) * one.target
    else:
        mean = one.least * (chance.uniform(0.05, 0.6) if chance.random() < 0.75 else chance.uniform(0.5, 1.5))
    return np.asarray(mean * one.cores * np.clip(day, 0.05, None))


def truth(pair: Pair, rates: CloudRates, chance: np.random.Generator) -> float:
    """What the change costs an hour, in the mean of a day."""
    known = pair[0] or pair[1]
    if known is None:
        return 0.0
    load, memory = load_of(known, chance), known.memory_gib * chance.triangular(0.2, 0.7, 1.3)
    total = 0.0
    for sign, one in zip((-1, 1), pair, strict=True):
        if one is None:
            continue
        wanted = np.ceil(np.roll(load, 1) / (one.cores * one.target)) if one.target is not None else one.least
        pods = np.clip(wanted, one.least, one.most)
        cores, gib = np.maximum(pods * one.cores, load), pods * max(one.memory_gib, memory)
        total += sign * rates.price(float(np.mean(cores)), float(np.mean(gib + np.zeros(STEPS))))
    return total


def main() -> None:
    """Plant the changes, predict each, and count how often its days cost what was predicted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--days", type=int, default=20)
    options = parser.parse_args()
    chance = np.random.default_rng(options.seed)
    held = np.zeros((options.changes, options.days), dtype=bool)
    kinds: dict[str, list[float]] = {}
    for index in range(options.changes):
        pairs = [change(workload(chance), chance) for _ in range(chance.choice([1, 1, 2, 3]))]
        scaled = any(one is not None and one.target is not None for pair in pairs for one in pair)
        rates = CloudRates(
            cpu_core_hour=0.031611 * chance.uniform(0.7, 1.3), memory_gib_hour=0.004237 * chance.uniform(0.7, 1.3)
        )
        sides = [
            requested(manifests({f"w{n}": one for n, one in enumerate(side) if one is not None}))
            for side in zip(*pairs, strict=True)
        ]
        found = pairs_of(sides[0], sides[1])
        traits = request_change(found, np.random.default_rng(0).random((2000, len(found), CHANCES))).traits()
        predicted = cloud_cost(traits, rates)
        if predicted is None:
            raise SystemExit("a change without a cost")
        low, high = predicted.per_hour.low, predicted.per_hour.high
        slack = 1e-9 * max(abs(low), abs(high))
        for day in range(options.days):
            true = sum(truth(pair, rates, chance) for pair in pairs)
            held[index, day] = low - slack <= true <= high + slack
        kinds.setdefault("autoscaled" if scaled else "fixed", []).append(float(held[index].mean()))
    print("| what | n | in the 90 % range |\n|---|---|---|")
    print(f"| the first day of each change | {options.changes} | {100 * held[:, 0].mean():.0f} % |")
    print(f"| all days | {held.size} | {100 * held.mean():.1f} % |")
    for kind, shares in sorted(kinds.items()):
        print(f"| all days, {kind} | {len(shares) * options.days} | {100 * np.mean(shares):.1f} % |")


if __name__ == "__main__":
    main()
