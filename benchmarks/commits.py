"""Predictions from few cases as they really are: commits of real projects that brought a bug or not, in order of time.

    python benchmarks/commits.py --file commits.csv [--draws 40] [--seed 1]

The file is a table of ApacheJIT (Keshavarz and Nagappan, MSR 2022): `project`, `buggy`, `author_date` and the measures
of each commit. A draw is a stretch of one project's history: so many commits to learn from, the next ones to predict,
beside scikit-learn's logistic regression on plain log numbers, gradient boosting and the base rate on the same commits.
"""

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from scipy.special import expit, logit
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from afdp_exporter.model import Deployment, Impact, MeasuredSummary, Outcome, TrainingExample
from afdp_exporter.patterns import deployment_context, fit, predict

SIZES, AHEAD = (15, 40, 150, 1000), 60
OTHER = {"project", "buggy", "author_date"}


def read(path: Path) -> dict[str, list[TrainingExample]]:
    """The commits of each project as cases, oldest first."""
    found: dict[str, list[TrainingExample]] = defaultdict(list)
    known: dict[str, MeasuredSummary] = {}
    with path.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            cases = found[row["project"]]
            at = datetime.fromtimestamp(int(row["author_date"]), UTC)
            deployment = Deployment(
                id=str(number),
                service=row["project"],
                environment="production",
                started_at=at,
                finished_at=at,
                received_at=at,
                traits={name: float(value) for name, value in row.items() if name not in OTHER},
            )
            context = deployment_context(
                deployment, earlier=[each.deployment for each in cases[-20:]], impacts=known, zone=UTC
            )
            outcome = Outcome.DEGRADATION if row["buggy"] == "1" else Outcome.SUCCESS
            measured_at = at + timedelta(hours=1)
            known[deployment.id] = MeasuredSummary(deployment=deployment, measured_at=measured_at, outcome=outcome)
            impact = Impact(
                deployment_id=deployment.id,
                measured_at=measured_at,
                shifts=(),
                outcome=outcome,
                outcome_reason="labelled",
            )
            cases.append(TrainingExample(deployment=deployment, context=context, impact=impact))
    return found


def happened(cases: Sequence[TrainingExample]) -> np.ndarray:
    """Which commits brought a bug (n,)."""
    return np.array([case.impact.outcome is Outcome.DEGRADATION for case in cases], dtype=float)


def risks(past: Sequence[TrainingExample], ahead: Sequence[TrainingExample]) -> dict[str, np.ndarray]:
    """What each learner says of the commits ahead."""
    home, came = past[0].deployment, happened(past)
    model = fit(past, service=home.service, team=None, now=past[-1].impact.measured_at)
    found = {
        "ours": np.array([predict(model, case.deployment, case.context).risk.median for case in ahead]),
        "base rate": np.full(len(ahead), came.mean()),
    }
    tables = [
        np.array([[np.log1p(abs(float(value))) for value in case.deployment.traits.values()] for case in cases])
        for cases in (past, ahead)
    ]
    centre, spread = tables[0].mean(axis=0), np.maximum(tables[0].std(axis=0), 1e-9)
    learners = {
        "logistic regression": LogisticRegression(C=0.1, max_iter=500),
        "boosting": GradientBoostingClassifier(random_state=0),
    }
    for name, learner in learners.items():
        found[name] = found["base rate"]
        if 0 < came.sum() < came.size:
            found[name] = learner.fit((tables[0] - centre) / spread, came).predict_proba((tables[1] - centre) / spread)[
                :, 1
            ]
    return found


def slope(said: np.ndarray, came: np.ndarray) -> float:
    """The slope of a logistic regression of what came on the log odds of what was said: 1 is calibrated."""
    odds = logit(np.clip(said, 1e-3, 1 - 1e-3))
    rows, weights = np.column_stack([np.ones_like(odds), odds]), np.zeros(2)
    for _ in range(30):
        chance = expit(rows @ weights)
        bend = rows.T @ (rows * (chance * (1 - chance))[:, None]) + 1e-6 * np.eye(2)
        weights = weights + np.linalg.solve(bend, rows.T @ (came - chance))
    return float(weights[1])


def doubt(said: Sequence[np.ndarray], came: Sequence[np.ndarray]) -> float:
    """The standard error of the slope, from draws drawn again: the cases of one draw are alike."""
    chance = np.random.default_rng(0)
    again = [chance.integers(len(said), size=len(said)) for _ in range(100)]
    slopes = [slope(*(np.concatenate([side[one] for one in draw]) for side in (said, came))) for draw in again]
    return float(np.std(slopes))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    projects = read(given.file)
    for size in SIZES:
        chance = np.random.default_rng(given.seed)
        long = sorted(name for name, cases in projects.items() if len(cases) >= size + AHEAD)
        said, came, brier = defaultdict(list), [], defaultdict(list)
        for _ in range(given.draws):
            cases = projects[long[chance.integers(len(long))]]
            start = int(chance.integers(0, len(cases) - size - AHEAD + 1))
            past, ahead = cases[start : start + size], cases[start + size : start + size + AHEAD]
            came.append(happened(ahead))
            for name, values in risks(past, ahead).items():
                said[name].append(values)
                brier[name].append(float(np.mean((values - came[-1]) ** 2)))
        every = np.concatenate(came)
        for name, values in said.items():
            whole = np.concatenate(values)
            high = whole > 0.6
            share = f"{every[high].mean():.2f} of {int(high.sum())}" if high.any() else "none"
            bent = f"slope {slope(whole, every):.2f} ({doubt(values, came):.2f})"
            print(
                f"n {size:4d} {name:20s} Brier {np.mean(brier[name]):.4f}, {bent}, risks above 60 % that came: {share}"
            )


if __name__ == "__main__":
    main()
