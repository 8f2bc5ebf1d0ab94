"""CPU of one judgement beside changepoint detection alone, on a week at 5 minutes and a day at 1 minute.

    python benchmarks/attribution_speed.py [--n 200] [--turns 7] [--otava PYTHON]
    python benchmarks/attribution_speed.py --check

Each is given the same series, one method after the other, in one run; the quickest of so many turns counts.
`judge_together` is given ten checks of forty series.
With `--check` the whole check of a deployment instead: a week at 1 minute and an hour more, of a service with six
earlier deployments.
apache-otava has needs of its own: `PYTHON` is the interpreter of an environment that has it (`pip install
apache-otava`).
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import ruptures
from attribution_cases import DAY, Case, cases, generate

import afdp_exporter.worker_preload  # noqa: F401 - as in a worker
from afdp_exporter.impact import ObservedSeries, Rollout, judge, judge_together
from afdp_exporter.model import Deployment, Layer, Metric, Series, Window
from afdp_exporter.sources import grid
from afdp_exporter.watching.analysis import AnalysisInput, measure_and_draw, question_of
from afdp_exporter.watching.evidence import AnalysisSettings, MetricData, MonitoringConfig

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


def check(seed: int, metrics: int, moved: int) -> AnalysisInput:
    """What a check asks about so many metrics, of which some moved at the deployment."""
    chance, at = np.random.default_rng(seed), datetime(2026, 3, 10, 10, tzinfo=UTC)
    window = Window(start=at - timedelta(days=7), end=at + timedelta(hours=1))
    times = grid(window, AnalysisSettings().step)
    evidence = []
    for number in range(metrics):
        noise = np.convolve(chance.normal(size=times.size + 9), 0.7 ** np.arange(10), mode="valid")
        season = 10 * (number % 2) * np.sin(2 * np.pi * times / DAY)
        values = 100 + season + noise + 8 * (number < moved) * (times >= at.timestamp())
        metric = Metric(name=f"m{number}", layer=tuple(Layer)[number % 4], query=f'm{number}{{service="$service"}}')
        series = Series(metric=metric.name, labels={}, times=times, values=values)
        evidence.append(MetricData(metric=metric, series=series, per_service=True))

    def deployed(days: int) -> Deployment:
        started = at - timedelta(days=days, hours=days)
        return Deployment(
            id=f"d{days}", service="api", environment="production", started_at=started, received_at=started
        )

    watched = MonitoringConfig(sources={}, metrics=tuple(each.metric for each in evidence))
    others = [deployed(days) for days in range(1, 7)]
    return question_of(deployed(0), tuple(evidence), others=others, now=window.end, watched=watched)


def checks(seed: int) -> None:
    """Print the CPU of a check, the quickest of five."""
    print("| metrics | of them moved | CPU (s) |\n|---|---|---|")
    for metrics, moved in ((20, 0), (20, 4), (40, 0), (40, 8)):
        question, found = check(seed, metrics, moved), []
        for _ in range(5):
            begun = time.process_time()
            measure_and_draw(question)
            found.append(time.process_time() - begun)
        print(f"| {metrics} | {moved} | {min(found):.3f} |")


def kernel(length: int) -> Callable[[Case], None]:
    """KernelCPD rbf alone on the last values."""

    def detect(case: Case) -> None:
        values = case.values[-length:, None]
        apart = np.median((values - values.T)[np.triu_indices(len(values), 1)] ** 2)
        model = ruptures.KernelCPD(kernel="rbf", min_size=3, params={"gamma": 1.0 / max(float(apart), 1e-12)})
        model.fit(values).predict(pen=float(np.log(len(values))))

    return detect


def spent(methods: dict[str, Callable[[Case], None]], made: list[Case], turns: int) -> dict[str, list[float]]:
    """Milliseconds of CPU of each method on each case, in its quickest turn."""
    found = {name: [float("inf")] * len(made) for name in methods}
    for _ in range(turns):
        for name, method in methods.items():
            for place, case in enumerate(made):
                begun = time.process_time()
                method(case)
                found[name][place] = min(found[name][place], 1000 * (time.process_time() - begun))
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
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--otava", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        checks(given.seed)
        return
    print(
        "| series | method | CPU, median (ms) | 95th percentile (ms) | of KernelCPD, last 300 |\n|---|---|---|---|---|"
    )
    for label, step, history in (("a week at 5 minutes", 300.0, "8d"), ("a day at 1 minute", 60.0, "24h")):
        series = [one for one in generate(given.seed) if one.step == step]
        found = [c for kind in ("placebo", "shift") for c in cases(series, given.seed, kind, 4 * given.n)]
        made = [c for c in found if c.history == history][: given.n]
        ours(made[0])
        methods = {"judge": ours, "KernelCPD rbf, last 300": kernel(300), "KernelCPD rbf, last 1,500": kernel(1500)}
        measured = spent(methods, made, given.turns)
        compared = np.median(measured["KernelCPD rbf, last 300"])
        measured["judge_together, one of forty"] = forty(given.seed, step, DAY * (8 if history == "8d" else 1), 10)
        if given.otava:
            measured["apache-otava"] = otava(given.otava, made)
        for name, times in measured.items():
            middle = np.median(times)
            print(f"| {label} | {name} | {middle:.2f} | {np.quantile(times, 0.95):.2f} | {middle / compared:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
