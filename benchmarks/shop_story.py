"""The story of the demo's shop, from measurements without error: risks, patterns and windows over several seeds.

    python benchmarks/shop_story.py [--worlds 8] [--seed 300]

Each deployment is predicted from those before it, beside scikit-learn's logistic regression and gradient boosting on
the same columns and cases.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from planted_shop import END, shop_cases
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from afdp_exporter.demo import shop
from afdp_exporter.model import Pattern, PatternKind, TrainingExample
from afdp_exporter.patterns import fit, mine, predict, rank_windows
from afdp_exporter.patterns.features.encoding import learn_columns
from afdp_exporter.patterns.features.extraction import TROUBLE, example_features

FIRST = 8  # predictions before are of the prior alone
NULLS = {"strategy", "hour", "actor", "in_flight", "hours_since_last", "traits.reviewers"}


def happened(cases: Sequence[TrainingExample]) -> np.ndarray:
    """Whether trouble followed (n,)."""
    return np.array([case.decision.outcome in TROUBLE for case in cases], dtype=float)


def risks(cases: Sequence[TrainingExample], place: int) -> dict[str, float]:
    """What each learner says of one case from those before it."""
    past, case = cases[:place], cases[place]
    home, came = case.deployment, happened(past)
    model = fit(past, service=home.service, team=home.team, now=home.started_at)
    found = {"ours": predict(model, home, case.context).risk.median, "base rate": float(came.mean())}
    rows = [example_features(each) for each in past]
    encoder = learn_columns(rows)
    table, row = encoder.encode(rows), encoder.encode([example_features(case)])
    spread = np.where(table.std(axis=0) > 0, table.std(axis=0), 1.0)
    for name, learner in (
        ("logistic regression", LogisticRegression(C=0.1, max_iter=500)),
        ("gradient boosting", GradientBoostingClassifier(random_state=0)),
    ):
        fitted = learner.fit(table / spread, came) if 0 < came.sum() < came.size else None
        found[name] = float(fitted.predict_proba(row / spread)[0, 1]) if fitted else float(came.mean())
    return found


def stated(patterns: Sequence[Pattern]) -> dict[str, bool]:
    """Which of the laws are stated, and whether a trait without a law is stated as a pattern."""
    traits = [({each.trait for each in one.conditions}, one) for one in patterns]
    values = [{str(each.value) for each in one.conditions} for one in patterns]
    return {
        "minor versions": any("minor" in each for each in values),
        "migrations on Mondays": any(
            "weekday" in names and names & {"traits.table_rows", "change_types"} for names, _ in traits
        ),
        "a trait without law": any(one.kind is PatternKind.PATTERN and names & NULLS for names, one in traits),
    }


def windows(cases: Sequence[TrainingExample]) -> list[float]:
    """By service, how much lower the best hour's risk is than the median hour's, where a best one is named."""
    found = []
    for service in (shop.API, shop.CHECKOUT, shop.WORKER):
        ranked = rank_windows(fit(cases, service=service, team=None, now=END), now=END, zone=END.tzinfo)
        if ranked.best:
            middle = float(np.median([slot.risk.median for slot in ranked.slots]))
            found.append(middle - ranked.slots[0].risk.median)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=300)
    given = parser.parse_args()
    scores, found, gaps = defaultdict(list), defaultdict(int), []
    for seed in range(given.seed, given.seed + given.worlds):
        cases = shop_cases(seed)
        came = happened(cases)
        for place in range(FIRST, len(cases)):
            for name, risk in risks(cases, place).items():
                scores[name].append((risk - came[place]) ** 2)
        for name, one in stated(mine(cases)).items():
            found[name] += one
        gaps += windows(cases)
    base = float(np.mean(scores["base rate"]))
    for name, errors in scores.items():
        brier = float(np.mean(errors))
        print(f"{name:22s} Brier {brier:.4f}, {100 * (1 - brier / base):.0f} % of the way from the base rate")
    for name, count in found.items():
        print(f"{name}: stated in {count} of {given.worlds}")
    print(f"windows named: {len(gaps)} of {3 * given.worlds}, largest gap {100 * max(gaps, default=0.0):.0f} points")


if __name__ == "__main__":
    main()
