"""How far predictions, patterns and windows can be trusted, on worlds whose law is known.

    python benchmarks/prediction.py --worlds 60 --seed 700000

Every figure is a mean over worlds that were used for no decision about the method; choose another `--seed` for others.
The oracle knows the planted law and nothing of chance; scikit-learn's logistic regression and gradient boosting learn
from the same cases and columns.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
from commits import slope
from planted_worlds import EFFECTS, LATENCY, NULLS, SESSIONS, World, acting_traits, world
from scipy.stats import rankdata
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from afdp_exporter.model import (
    CalendarEntry,
    CalendarEntryKind,
    Context,
    Deployment,
    Estimate,
    Pattern,
    PatternKind,
    TrainingExample,
)
from afdp_exporter.patterns import fit, mine, predict, rank_windows
from afdp_exporter.patterns.features.extraction import TROUBLE, example_features
from afdp_exporter.patterns.mining.targets import mining_targets
from afdp_exporter.patterns.models import targets
from afdp_exporter.patterns.models.hurdle import risk_estimate
from afdp_exporter.patterns.models.score_test import nuisance, score_test
from afdp_exporter.patterns.models.training import Model, group_of

SIZES = {"3 to 8": (3, 5, 8), "9 to 18": (9, 12, 15), "19 to 59": (19, 30), "60 to 300": (60, 150, 300)}
FRESH = 330
LEARNED = (15, 40, 150)
"""Cases from which the risk is learned."""
HIGH = 0.6
"""Of the risks above it, at least half should come."""
NAMES = {
    "database": ("change_types", "database"),
    "monday": ("weekday", "Monday"),
    "sale": ("event", "sale"),
    "rows": ("traits.table_rows", None),
}


@dataclass
class Tally:
    """Everything counted, by figure: one entry a world or a case."""

    counted: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, *values: float) -> None:
        self.counted[name].extend(values)

    def mean(self, name: str) -> float:
        return float(np.mean(self.counted[name])) if self.counted[name] else float("nan")


def learn(history: Sequence[TrainingExample], case: TrainingExample) -> Model:
    deployment = case.deployment
    return fit(history, service=deployment.service, team=deployment.team, now=deployment.started_at)


def coverage(one: World, tally: Tally) -> None:
    """Whether what then happened lay inside the ranges, for growing histories."""
    spread = {name: float(np.nanstd(targets.changes(one.cases, name).values)) for name in (LATENCY, SESSIONS)}
    dollars = float(np.nanstd(targets.costs(one.cases, "USD").values))
    for bucket, sizes in SIZES.items():
        for n in sizes:
            first = one.cases[n]
            model = learn(one.cases[:n], first)
            same = [case for case in one.cases[n : n + 60] if case.deployment.service == first.deployment.service]
            for case in same[:20]:
                answer = predict(model, case.deployment, case.context)
                happened = {name: targets.changes([case], name).values[0] for name in (LATENCY, SESSIONS)}
                for name, reach in answer.metrics.items():
                    tally.add(f"cover {bucket}", reach.low <= happened[name] <= reach.high)
                    tally.add(f"width {bucket}", (reach.high - reach.low) / spread[name])
                if answer.cost is not None:
                    value = targets.cost_of(case, "USD")
                    name = "cover cost that moved" if value else "cover cost of nothing"
                    tally.add(name, answer.cost.per_hour.low <= value <= answer.cost.per_hour.high)
                    if one.law.family != "two-part":
                        reach = answer.cost.per_hour
                        tally.add(f"cover {bucket}", reach.low <= value <= reach.high)
                        tally.add(f"width {bucket}", (reach.high - reach.low) / dollars)


def risk(one: World, n: int, tally: Tally) -> None:
    """Ranking, what gating catches, and the Brier score, for an oracle and for the base rate too."""
    fresh = list(range(n, n + FRESH))
    happened = np.array([one.cases[place].impact.outcome in TROUBLE for place in fresh], dtype=float)
    if not 0 < happened.sum() < happened.size:
        return
    models = {name: learn(one.cases[:n], _at_home(one.cases[n], name)) for name in one.law.services}
    found = [_risk(models[one.cases[place].deployment.service], one.cases[place]) for place in fresh]
    law = np.array([one.law.risk(one.truth[place], one.cases[place].deployment.service) for place in fresh])
    tally.add(f"risk held {n}", *(each.low <= true <= each.high for each, true in zip(found, law, strict=True)))
    tally.add(f"risk width {n}", *(each.high - each.low for each in found))
    said = {
        "ours": np.array([each.median for each in found]),
        "oracle": law,
        "base": np.full(FRESH, np.mean([case.impact.outcome in TROUBLE for case in one.cases[:n]])),
        **_others(models[one.cases[n].deployment.service], one, n),
    }
    for who, values in said.items():
        tally.add(f"brier {n} {who}", float(np.mean((values - happened) ** 2)))
        if who != "base":
            tally.add(f"auc {n} {who}", auc(values, happened))
        for share in (0.1, 0.5):
            tally.add(f"caught {share} {n} {who}", caught(values, happened, share))
        tally.add(f"said {n} {who}", *values)
    tally.add(f"came {n}", *happened)


def _others(model: Model, one: World, n: int) -> dict[str, np.ndarray]:
    """What scikit-learn's learners say of the fresh cases, from the columns that ours knows at home."""
    rows = model.design.rows([example_features(case) for case in one.cases], [group_of(case) for case in one.cases])
    came = np.array([case.impact.outcome in TROUBLE for case in one.cases[:n]], dtype=float)
    spread = np.where(rows[:n].std(axis=0) > 0, rows[:n].std(axis=0), 1.0)
    learners: Mapping[str, LogisticRegression | GradientBoostingClassifier] = {
        "regression": LogisticRegression(C=0.1, max_iter=500),
        "boosting": GradientBoostingClassifier(random_state=0),
    }
    if not 0 < came.sum() < n:
        return {name: np.full(FRESH, came.mean()) for name in learners}
    rows = rows / spread
    return {
        name: learner.fit(rows[:n], came).predict_proba(rows[n : n + FRESH])[:, 1] for name, learner in learners.items()
    }


def unreported(one: World, n: int, tally: Tally) -> None:
    """How much nearer to the service's own rate a risk is, and how much wider its range, where a field is left out."""
    model = learn(one.cases[:n], one.cases[n])
    home = one.cases[n].deployment.service
    own = [case.impact.outcome in TROUBLE for case in one.cases[:n] if case.deployment.service == home]
    for case in [case for case in one.cases[n:] if case.deployment.service == home][:20]:
        whole = predict(model, case.deployment, case.context).risk
        for name in ("change_types", "strategy", "actor", *sorted(case.deployment.traits), "all"):
            less = predict(model, _without(case, name), case.context).risk
            tally.add("nearer", abs(whole.median - np.mean(own)) - abs(less.median - np.mean(own)))
            tally.add(f"wider without {name}", (less.high - less.low) - (whole.high - whole.low))
        tally.add("off the rate", less.median - float(np.mean(own)))


def _without(case: TrainingExample, name: str) -> Deployment:
    """The deployment without one of its fields, or without `all`."""
    traits = {key: value for key, value in case.deployment.traits.items() if name not in {key, "all"}}
    absent = {"change_types": (), "strategy": None, "actor": None}
    changes = {key: value for key, value in absent.items() if name in {key, "all"}}
    return replace(case.deployment, traits=traits, **changes)


def _at_home(case: TrainingExample, service: str) -> TrainingExample:
    return replace(case, deployment=replace(case.deployment, service=service))


def _risk(model: Model, case: TrainingExample) -> Estimate:
    row = model.design.rows([example_features(case)], [group_of(case)])
    return risk_estimate(model.trouble.log_odds(row), np.ones(1))


def auc(values: np.ndarray, happened: np.ndarray) -> float:
    """The chance that a troubled case ranks above another one."""
    bad = happened.sum()
    return float((rankdata(values)[happened == 1].sum() - bad * (bad + 1) / 2) / (bad * (happened.size - bad)))


def caught(values: np.ndarray, happened: np.ndarray, share: float) -> float:
    """The share of trouble among the riskiest `share` of cases."""
    gated = np.argsort(-values, kind="stable")[: int(share * values.size)]
    return float(happened[gated].sum() / happened.sum())


def patterns(one: World, n: int, tally: Tally) -> None:
    """What was found of what was planted, what was claimed of what does nothing, and the multipliers.

    Only database migrations have rows, so that a pattern about large tables speaks for them too.
    """
    short = World(law=one.law, cases=one.cases[:n], truth=one.truth[:n], calendar=one.calendar, planted=one.planted)
    found = [pattern for pattern in mine(short.cases) if pattern.kind is PatternKind.PATTERN]
    claimed = {_key(condition.trait, condition.value, condition.op) for one in found for condition in one.conditions}
    for name in EFFECTS:
        planted = name in one.law.size or name in one.law.odds
        if not planted or sum(acting[name] != 0 for acting in short.truth) < 15:
            continue
        stated = NAMES[name] in claimed or (name == "database" and NAMES["rows"] in claimed)
        tally.add("found", stated)
        tally.add(f"found {one.law.family}", stated)
        tally.add("found visible" if _visible(short, name) else "found invisible", stated)
    tally.add("null claimed", any(_is_null(pattern) for pattern in found))
    for name, true in one.planted.items():
        for pattern in found:
            if pattern.target == "cost_per_hour" and _is_alone(pattern, name) and pattern.multiplier is not None:
                tally.add(f"multiplier {one.law.family}", pattern.multiplier.median / true)
                tally.add("multiplier", abs(pattern.multiplier.median / true - 1.0))


def _visible(one: World, name: str) -> bool:
    """Whether a test that knows where to look, and all else that acts, sees the effect at p < 0.001."""
    names = sorted({case.deployment.service for case in one.cases})
    services = [[float(case.deployment.service == other) for other in names] for case in one.cases]
    acting = [other for other in EFFECTS if other != name and (other in one.law.size or other in one.law.odds)]
    column = np.array([[row[name]] for row in one.truth])
    rows = zip(services, one.truth, strict=True)
    others = np.array([service + [row[other] for other in acting] for service, row in rows])
    tests = (
        score_test(aim.scores(aim.figures[aim.known]), column[aim.known], nuisance(others[aim.known])).p[0]
        for aim in mining_targets(one.cases)
    )
    return min(tests, default=1.0) < 0.001


def _key(trait: str, value: object, op: str) -> tuple[str, object]:
    return trait, value if op in {"=", "has"} else None


def _is_null(pattern: Pattern) -> bool:
    return pattern.target == SESSIONS or any(condition.trait in NULLS for condition in pattern.conditions)


def _is_alone(pattern: Pattern, name: str) -> bool:
    first = pattern.conditions[0]
    return len(pattern.conditions) == 1 and _key(first.trait, first.value, first.op) == NAMES[name]


def windows(one: World, n: int, tally: Tally) -> None:
    """How much worse the named hour is than the best one, in parts of the way to the worst."""
    now = one.cases[n].deployment.started_at
    model = learn(one.cases[:n], one.cases[n])
    sale = CalendarEntry(
        name="next", kind=CalendarEntryKind.SALE, start=now + timedelta(days=2), end=now + timedelta(days=4)
    )
    answer = rank_windows(model, now=now, zone=now.tzinfo or one.cases[0].context.at.tzinfo, calendar=(sale,))
    usual = [case for case in one.cases[:n] if case.deployment.service == model.home.service][-20:]
    losses = {slot.start: _loss(one, usual, slot.start, sale) for slot in answer.slots}
    best, worst = min(losses.values()), max(losses.values())
    if worst > 1.05 * best:
        tally.add("regret", (losses[answer.slots[0].start] - best) / (worst - best))


def _loss(one: World, usual: Iterable[TrainingExample], start: object, sale: CalendarEntry) -> float:
    on = (sale,) if sale.start <= start <= sale.end else ()
    contexts = [(case, Context(at=start, occasions=on)) for case in usual]
    return float(
        np.mean(
            [one.law.mean_cost(acting_traits(case.deployment, at), case.deployment.service) for case, at in contexts]
        )
    )


def run(worlds: int, seed: int) -> Tally:
    """Measure everything on `worlds` worlds from `seed` on."""
    tally = Tally()
    sizes = np.random.default_rng(seed).integers(40, 301, size=worlds)
    for number in range(worlds):
        one = world(seed + number, 300 + 60)
        coverage(one, tally)
        for n in LEARNED:
            risk(world(seed + number, n + FRESH), n, tally)
        unreported(one, 150, tally)
        patterns(one, int(sizes[number]), tally)
        windows(one, max(int(sizes[number]), 100), tally)
    return tally


def reach(tally: Tally, name: str, chance: float) -> float:
    """How far of the way from chance to the oracle."""
    return (tally.mean(f"{name} ours") - chance) / (tally.mean(f"{name} oracle") - chance)


def verdicts(tally: Tally) -> list[tuple[str, str, str, bool]]:
    """Figure, target, what was measured, and whether it passes."""
    lines = []
    for bucket in SIZES:
        value = tally.mean(f"cover {bucket}")
        lines.append((f"90 % intervals cover, n {bucket}", "86 to 94 %", f"{100 * value:.1f} %", 0.86 <= value <= 0.94))
    value = reach(tally, "auc 150", 0.5)
    lines.append(("AUC at n = 150, of the way to the oracle", ">= 80 %", f"{100 * value:.0f} %", value >= 0.8))
    for share in (0.1, 0.5):
        value = reach(tally, f"caught {share} 150", share)
        text = f"caught when the riskiest {100 * share:.0f} % are gated, of the way"
        lines.append((text, ">= 80 %", f"{100 * value:.0f} %", value >= 0.8))
    for n, target in ((150, 0.5), (15, 0.0)):
        base = tally.mean(f"brier {n} base")
        value = (base - tally.mean(f"brier {n} ours")) / (base - tally.mean(f"brier {n} oracle"))
        text = f"Brier score at n = {n}, of the way from the base rate"
        lines.append((text, f">= {100 * target:.0f} %", f"{100 * value:.0f} %", value >= target))
    for n in LEARNED:
        value = slope(np.array(tally.counted[f"said {n} ours"]), np.array(tally.counted[f"came {n}"]))
        text = f"calibration slope at n = {n}"
        lines.append((text, "0.8 to 1.25", f"{value:.2f}", 0.8 <= value <= 1.25))
    for n in LEARNED:
        value = tally.mean(f"risk held {n}")
        text = f"90 % ranges of the risk hold the law's, n = {n}"
        lines.append((text, "86 to 94 %", f"{100 * value:.1f} %", 0.86 <= value <= 0.94))
    said = np.concatenate([tally.counted[f"said {n} ours"] for n in LEARNED])
    value = float(np.concatenate([tally.counted[f"came {n}"] for n in LEARNED])[said > HIGH].mean())
    lines.append(("of the risks above 60 %, came", ">= 50 %", f"{100 * value:.0f} %", value >= 0.5))
    for name in sorted(each for each in tally.counted if each.startswith("wider without ")):
        value = tally.mean(name)
        text = f"range of the risk {name}, points"
        lines.append((text, "> 0", f"{100 * value:.1f}", value > 0))
    value = tally.mean("off the rate")
    lines.append(
        ("risk with nothing reported off the rate, points", "-5 to 5", f"{100 * value:.1f}", abs(value) < 0.03)
    )
    value = tally.mean("found")
    lines.append(("planted patterns with 15 cases found", ">= 80 %", f"{100 * value:.0f} %", value >= 0.8))
    value = tally.mean("null claimed")
    lines.append(("worlds in which a trait without effect is claimed", "<= 5 %", f"{100 * value:.1f} %", value <= 0.05))
    value = float(np.median(tally.counted["multiplier"]))
    lines.append(("multipliers off by, median", "<= 30 %", f"{100 * value:.0f} %", value <= 0.3))
    value = tally.mean("regret")
    lines.append(("regret of the best window, of the spread", "<= 10 %", f"{100 * value:.1f} %", value <= 0.1))
    return lines


def details(tally: Tally) -> list[str]:
    """What stands behind the table."""
    within = np.mean(np.array(tally.counted["multiplier"]) <= 0.3)
    lines = [
        f"multipliers within 30 %: {100 * within:.0f} % of {len(tally.counted['multiplier'])}",
        f"cost intervals cover what cost something: {100 * tally.mean('cover cost that moved'):.1f} %",
        f"cost intervals cover what cost nothing: {100 * tally.mean('cover cost of nothing'):.1f} %",
        f"windows judged: {len(tally.counted['regret'])}",
    ]
    lines += [
        f"mean width in standard deviations of the figure, n {name}: {tally.mean(f'width {name}'):.2f}"
        for name in SIZES
    ]
    lines += [
        f"mean width of the risk's range, n = {n}: {100 * tally.mean(f'risk width {n}'):.1f} points" for n in LEARNED
    ]
    for n in LEARNED:
        scores = ", ".join(
            f"{who} {tally.mean(f'brier {n} {who}'):.4f}"
            for who in ("ours", "regression", "boosting", "base", "oracle")
        )
        lines.append(f"Brier score at n = {n}: {scores}")
    ranked = ", ".join(
        f"{who} {tally.mean(f'auc 150 {who}'):.3f}" for who in ("ours", "regression", "boosting", "oracle")
    )
    lines.append(f"AUC at n = 150: {ranked}")
    parts = [name for name in sorted(tally.counted) if name.startswith(("found ", "multiplier "))]
    return lines + [f"{name}: {tally.mean(name):.2f} (n = {len(tally.counted[name])})" for name in parts]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=700_000)
    given = parser.parse_args()
    started = time.process_time()
    tally = run(given.worlds, given.seed)
    for figure, target, measured, passed in verdicts(tally):
        print(f"{figure:58s} {target:12s} {measured:>8s}  {'pass' if passed else 'SHORT'}")
    print("\n".join(details(tally)))
    print(f"{given.worlds} worlds from seed {given.seed}, {time.process_time() - started:.0f} s of CPU")


if __name__ == "__main__":
    main()
