"""Predictions end to end: series with planted effects -> backtest -> what was predicted of each deployment before it.

    python benchmarks/end_to_end.py --shops 4 [--demos 8] [--seed 1]

A generated shop has 14 weeks and 200 deployments that hurt with a chance that its law gives; the demo's shop has eight
weeks and about 65, whose law leaves nothing to chance. Beside the prediction stand the base rate of the deployments
before, scikit-learn's logistic regression and gradient boosting on the same features and outcomes, and the law.
"""

import argparse
import asyncio
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from commits import slope
from prediction import auc, caught
from scipy.special import expit
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from afdp_exporter import config
from afdp_exporter.commands.backtest import walk_recording
from afdp_exporter.demo import shop
from afdp_exporter.demo.effects import Effect, Shape
from afdp_exporter.demo.recording import write_recording
from afdp_exporter.demo.telemetry import SERVICES, telemetry
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.model import (
    CalendarEntry,
    ChangeType,
    Deployment,
    Impact,
    Outcome,
    Series,
    TrainingExample,
)
from afdp_exporter.patterns import deployment_context
from afdp_exporter.patterns.features.encoding import learn_columns
from afdp_exporter.patterns.features.extraction import example_features
from afdp_exporter.sources.recording import Recording

END = datetime(2026, 11, 23, 17, tzinfo=UTC)
WEEKS, COUNT, FIRST = 14, 200, 15
TROUBLE = {"degradation", "failure"}


def chance_of_trouble(deployment: Deployment, weights: np.ndarray) -> float:
    """The law of a generated shop: how likely a deployment hurts."""
    files = np.log10(float(deployment.traits["files_changed"]))
    acting = (
        1.0,
        float(ChangeType.DATABASE in deployment.change_types),
        files - 1.0,
        float("minor" in str(deployment.description)),
        float(deployment.started_at.weekday() == 0 and ChangeType.DATABASE in deployment.change_types),
    )
    return float(expit(weights @ acting))


def generated_shop(seed: int) -> tuple[World, np.ndarray]:
    """A shop of 14 weeks with 200 deployments, and the chance with which its law lets each hurt (200,)."""
    chance = np.random.default_rng(seed)
    start = END - timedelta(weeks=WEEKS)
    weights = np.array([-2.6, 1.0, 1.2, 0.8, 1.2]) * chance.uniform(0.7, 1.5, 5)
    weights[0] = -chance.uniform(2.2, 3.2)
    deployments = _deployments(start + timedelta(days=7), chance)
    law = np.array([chance_of_trouble(each, weights) for each in deployments])
    truth = tuple(
        effect
        for each, risk in zip(deployments, law, strict=True)
        if chance.random() < risk
        for effect in _harm(each, chance)
    )
    sale = CalendarEntry(
        name="none", kind=shop.sale(END).kind, start=start - timedelta(days=9), end=start - timedelta(days=8)
    )
    times = np.arange(start.timestamp(), END.timestamp() + 1, shop.STEP.total_seconds())
    series = tuple(_series(key, times, values, truth) for key, values in telemetry(times, sale, seed).items())
    return World(end=END, seed=seed, series=series, deployments=deployments, truth=truth, sale=sale), law


def _deployments(first: datetime, chance: np.random.Generator) -> tuple[Deployment, ...]:
    """Working days from 8:00 to 19:00, at least 90 minutes apart."""
    at: list[datetime] = []
    days = (END - first).days
    while len(at) < COUNT:
        when = first.replace(hour=0) + timedelta(
            days=int(chance.integers(days)), minutes=int(chance.integers(480, 1140))
        )
        if when < END - timedelta(hours=5) and all(abs(when - other) >= timedelta(minutes=90) for other in at):
            at.append(when)
    version = [1, 0, 0]
    found = []
    for number, when in enumerate(sorted(at)):
        before = ".".join(map(str, version))
        minor = chance.random() < 0.2
        version = [version[0], version[1] + 1, 0] if minor else [version[0], version[1], version[2] + 1]
        kinds = (ChangeType.CODE, ChangeType.CODE, ChangeType.CONFIG, ChangeType.DATABASE)
        found.append(
            Deployment(
                id=f"generated-{number}",
                service=shop.SERVICES[chance.integers(len(shop.SERVICES))].name,
                environment=shop.ENVIRONMENT,
                started_at=when,
                finished_at=when + timedelta(minutes=int(chance.integers(1, 6))),
                received_at=when,
                version=".".join(map(str, version)),
                previous_version=before,
                change_types=(kinds[chance.integers(len(kinds))],),
                description="minor" if minor else "patch",
                traits={
                    "files_changed": float(np.round(10 ** chance.uniform(0, 2.3))),
                    "reviewers": float(chance.integers(1, 4)),
                },
            )
        )
    return tuple(found)


def _harm(deployment: Deployment, chance: np.random.Generator) -> tuple[Effect, ...]:
    """Slower by 10 to 30 %, revenue down by 8 to 20 %, for one to eight hours."""
    lasts = timedelta(hours=float(chance.uniform(1, 8)))
    service, at = deployment.service, deployment.started_at
    slower = SERVICES[service].latency * float(chance.uniform(0.1, 0.3))
    lost = -8_000 * float(chance.uniform(0.08, 0.2))
    parts = ((shop.LATENCY, service, timedelta(0), slower), (shop.REVENUE, None, timedelta(minutes=5), lost))
    return tuple(
        Effect(
            deployment_id=deployment.id,
            metric=metric,
            service=label,
            shape=Shape.LEVEL,
            onset=at + later,
            size=size,
            duration=lasts,
        )
        for metric, label, later, size in parts
        if label or service != shop.WORKER
    )


def _series(key: tuple[str, str | None], times: np.ndarray, values: np.ndarray, truth: Sequence[Effect]) -> Series:
    metric, service = key
    own = [effect.course(times) for effect in truth if (effect.metric, effect.service) == key]
    touched = np.maximum(values + np.sum(own, axis=0), 0.0) if own else values
    return Series(metric=metric, labels={"service": service} if service else {}, times=times, values=touched)


def backtest(world: World) -> list[dict[str, Any]]:
    """The line that a backtest writes for each deployment of a world, in their order."""
    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_recording(world, folder)
        loaded = config.load(folder / "afdp.yml")
        asyncio.run(walk_recording(loaded, Recording(path=folder / "recording"), world.deployments, lines.append))
    return lines[:-1]


def examples(world: World, lines: Sequence[dict[str, Any]]) -> list[TrainingExample]:
    """The deployments with their moment and the outcome that was measured."""
    found: list[TrainingExample] = []
    for deployment, line in zip(world.deployments, lines, strict=True):
        context = deployment_context(
            deployment, earlier=[each.deployment for each in found], impacts={}, zone=UTC, calendar=(world.sale,)
        )
        impact = Impact(
            deployment_id=deployment.id,
            measured_at=deployment.ended_at + timedelta(hours=4),
            shifts=(),
            outcome=Outcome(line["report"]["outcome"] or "unknown"),
            outcome_reason="measured",
        )
        found.append(TrainingExample(deployment=deployment, context=context, impact=impact))
    return found


def risks(world: World) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What each learner said of the deployments from FIRST on, and which of them hurt."""
    lines = backtest(world)
    cases = examples(world, lines)
    hurt = {effect.deployment_id for effect in world.truth if not effect.undoes and _is_harmful(effect)}
    happened = np.array([each.id in hurt for each in world.deployments], dtype=float)
    rows = [example_features(case) for case in cases]
    measured = np.array([case.impact.outcome.value in TROUBLE for case in cases], dtype=float)
    known = np.array([case.impact.outcome is not Outcome.UNKNOWN for case in cases])
    said = defaultdict(list)
    for place in range(FIRST, len(cases)):
        said["ours"].append(lines[place]["prediction"]["risk_ratio"])
        said["base rate"].append(happened[:place].mean())
        past = np.flatnonzero(known[:place])
        encoder = learn_columns([rows[each] for each in past])
        table, row = encoder.encode([rows[each] for each in past]), encoder.encode([rows[place]])
        spread = np.where(table.std(axis=0) > 0, table.std(axis=0), 1.0)
        for name, learner in (
            ("logistic regression", LogisticRegression(C=0.1, max_iter=500)),
            ("gradient boosting", GradientBoostingClassifier(random_state=0)),
        ):
            came = measured[past]
            risk = float(came.mean()) if came.size else 0.0
            if 0 < came.sum() < came.size:
                risk = float(learner.fit(table / spread, came).predict_proba(row / spread)[0, 1])
            said[name].append(risk)
    return {name: np.array(values) for name, values in said.items()}, happened[FIRST:]


def _is_harmful(effect: Effect) -> bool:
    worse = {metric.name: metric.worse for metric in shop.METRICS}[effect.metric]
    return worse.value != "either" and (effect.size > 0) == (worse.value == "up")


def report(name: str, worlds: Sequence[tuple[dict[str, np.ndarray], np.ndarray]]) -> None:
    """Means over worlds; how far of the way from the base rate to the law where there is one."""
    for learner in worlds[0][0]:
        brier = np.mean([np.mean((said[learner] - came) ** 2) for said, came in worlds])
        ranked = np.mean([auc(said[learner], came) for said, came in worlds])
        gated = [np.mean([caught(said[learner], came, share) for said, came in worlds]) for share in (0.1, 0.5)]
        whole = np.concatenate([said[learner] for said, _ in worlds])
        bent = slope(whole, np.concatenate([came for _, came in worlds]))
        print(
            f"{name:10s} {learner:20s} Brier {brier:.4f}, AUC {ranked:.3f}, caught in the riskiest 10 and 50 % "
            f"{gated[0]:.2f} {gated[1]:.2f}, slope {bent:.2f}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shops", type=int, default=4)
    parser.add_argument("--demos", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    shops = []
    for seed in range(given.seed, given.seed + given.shops):
        world, law = generated_shop(seed)
        said, came = risks(world)
        shops.append(({**said, "law": law[FIRST:]}, came))
    if shops:
        report("shops", shops)
    demos = [
        risks(replace(world, series=tuple(_until(each, world.end) for each in world.series)))
        for world in (make_world(END, seed=seed) for seed in range(given.seed, given.seed + given.demos))
    ]
    if demos:
        report("demo", demos)


def _until(series: Series, end: datetime) -> Series:
    """A series without the day that the demo still has before it."""
    past = series.times <= end.timestamp()
    return replace(series, times=series.times[past], values=series.values[past])


if __name__ == "__main__":
    main()
