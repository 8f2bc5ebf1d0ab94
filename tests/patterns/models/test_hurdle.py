"""One event, one answer: risk, cost and metrics cannot contradict one another, and less known is less certain.

Whether a figure moves at all: a trait that decides it is believed on few cases, luck is taken for luck.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from functools import cache

import numpy as np
import pytest
from planted_worlds import LATENCY, World, world
from scipy.special import expit

from afdp_exporter.model import Attribution, ChangeType, Deployment, Floats, Prediction, TrainingExample
from afdp_exporter.patterns import fit, predict, rank_windows
from afdp_exporter.patterns.models.hurdle import risk_estimate
from afdp_exporter.patterns.models.logistic import LogOdds

pytestmark = pytest.mark.many_worlds

SEEN = 120


@pytest.fixture(scope="module")
def model(two_part: World):  # noqa: ANN201 - a model
    home = two_part.cases[SEEN].deployment
    cases = [replace(case, deployment=in_full(case.deployment)) for case in two_part.cases[:SEEN]]
    return fit(cases, service=home.service, team=home.team, now=home.started_at)


def in_full(deployment: Deployment) -> Deployment:
    """A deployment of a planted world with what its world leaves out, none of which does anything."""
    number = int(deployment.id.removeprefix("d"))
    previous = (f"1.{number - 1}.0", f"0.{number}.0", f"1.{number}.0")[number % 3]
    return replace(deployment, previous_version=previous, traffic_ratio=(0.05, 0.25, 1.0)[number // 3 % 3])


def later(world: World, service: str) -> list[TrainingExample]:
    return [case for case in world.cases[SEEN:] if case.deployment.service == service][:30]


def predicted(model, case: TrainingExample, **changes: object) -> Prediction:  # noqa: ANN001 - a model
    return predict(model, replace(in_full(case.deployment), **changes), case.context)


def test_what_only_trouble_moves_moves_as_often_as_there_is_trouble(two_part: World, model) -> None:  # noqa: ANN001
    for case in later(two_part, model.home.service):
        answer = predicted(model, case)
        assert answer.cost is not None
        for figure in (answer.cost.per_hour, answer.metrics[LATENCY]):
            assert figure.chance == pytest.approx(answer.risk.median, abs=0.1)
            assert figure.if_moved is not None
            assert figure.if_moved.low > 0
            assert (figure.median > 0.5 * figure.if_moved.median) is (figure.chance > 0.5) or 0.4 < figure.chance < 0.7


@pytest.mark.parametrize(
    "absent",
    [{"change_types": ()}, {"strategy": None}, {"actor": None}, {"previous_version": None}, {"traffic_ratio": None}]
    + [{"traits": name} for name in ("lines_changed", "reviewers", "region", "flagged", "build_minutes", "table_rows")],
    ids=str,
)
def test_what_is_not_known_is_averaged_over(two_part: World, model, absent: dict[str, object]) -> None:  # noqa: ANN001
    own = [case for case in two_part.cases[:SEEN] if case.deployment.service == model.home.service]
    usual = float(np.mean([case.decision.outcome.value != "success" for case in own]))
    apart, widths = [], []
    for case in later(two_part, model.home.service):
        changes = dict(absent)
        if "traits" in absent:
            changes = {"traits": {k: v for k, v in case.deployment.traits.items() if k != absent["traits"]}}
        whole, less = predicted(model, case), predicted(model, case, **changes)
        apart.append(abs(whole.risk.median - usual) - abs(less.risk.median - usual))
        widths.append((less.risk.high - less.risk.low) - (whole.risk.high - whole.risk.low))
    assert np.mean(apart) > -0.01
    assert np.mean(widths) > 0


def test_nothing_known_is_the_mean_over_what_is_usual_and_what_the_window_of_now_says(two_part: World, model) -> None:  # noqa: ANN001
    case = later(two_part, model.home.service)[0]
    now = case.deployment.started_at
    bare = replace(
        case.deployment,
        change_types=(),
        strategy=None,
        actor=None,
        version=None,
        previous_version=None,
        traits={},
        team=None,
    )
    answer = predict(model, bare, case.context)
    ranked = rank_windows(model, now=now, zone=UTC, calendar=two_part.calendar, state=case.context)
    assert ranked.now.risk.median == pytest.approx(answer.risk.median, abs=1e-9)
    assert (ranked.now.risk.low, ranked.now.risk.high) == pytest.approx((answer.risk.low, answer.risk.high), abs=1e-9)


KNOWN = 40
OFTEN = 0.3

drawn = cache(world)


def worlds() -> list[World]:
    return [drawn(seed, 140, "steady") for seed in range(6000, 6006)]


def moving(one: World, moves: Callable[[TrainingExample], bool]) -> list[TrainingExample]:
    """The same deployments, of which only these move latency."""
    return [_moved(case) if moves(case) else _still(case) for case in one.cases]


def _moved(case: TrainingExample) -> TrainingExample:
    return _latency(case, Attribution.ATTRIBUTED, 1.0)


def _still(case: TrainingExample) -> TrainingExample:
    return _latency(case, Attribution.NO_EFFECT, 0.0)


def _latency(case: TrainingExample, verdict: Attribution, factor: float) -> TrainingExample:
    shifts = tuple(
        replace(shift, verdict=verdict, change=factor * abs(shift.change or 0.0)) if shift.metric == LATENCY else shift
        for shift in case.impact.shifts
    )
    return replace(case, impact=replace(case.impact, shifts=shifts))


def chances(cases: list[TrainingExample]) -> Floats:
    """How likely each case after those seen is to move latency."""
    home = cases[KNOWN].deployment
    model = fit(cases[:KNOWN], service=home.service, team=home.team, now=home.started_at)
    expected = [predict(model, case.deployment, case.context).metrics[LATENCY] for case in cases[KNOWN:]]
    return np.array([each.chance for each in expected])


def is_migration(case: TrainingExample) -> bool:
    return ChangeType.DATABASE in case.deployment.change_types


def test_a_trait_without_which_nothing_ever_moved_need_not_be_hedged() -> None:
    after_migrations, after_others = [], []
    for one in worlds():
        cases = moving(one, is_migration)
        found, migrations = chances(cases), np.array([is_migration(case) for case in cases[KNOWN:]])
        after_migrations.append(found[migrations].mean())
        after_others.append(found[~migrations].mean())
    assert np.mean(after_migrations) > 0.85
    assert np.mean(after_others) < 0.12


def test_what_moves_by_luck_alone_is_laid_to_no_trait() -> None:
    off = []
    for number, one in enumerate(worlds()):
        luck = np.random.default_rng(number).random(len(one.cases)) < OFTEN
        lucky = {case.deployment.id for case, moved in zip(one.cases, luck, strict=True) if moved}
        found = chances(moving(one, lambda case, lucky=lucky: case.deployment.id in lucky))  # type: ignore[misc]
        off.append(np.mean((found - OFTEN) ** 2))
    assert np.sqrt(np.mean(off)) < 0.15


@pytest.mark.parametrize("n", [5, 10, 17, 40])
def test_the_one_case_that_ever_moved_makes_no_range_many_times_as_wide(n: int) -> None:
    cases = moving(drawn(6001, 140, "steady"), lambda case: case.deployment.id == "d3")[:n]
    moved = next(shift.change or 0.0 for shift in cases[3].impact.shifts if shift.metric == LATENCY)
    home = cases[-1].deployment
    model = fit(cases, service=home.service, team=home.team, now=cases[-1].impact.measured_at)
    expected = predict(model, home, cases[-1].context).metrics[LATENCY]
    assert max(-expected.low, expected.high) < 5 * moved


def test_the_range_of_a_risk_is_that_of_draws_from_all_that_it_may_be() -> None:
    rng = np.random.default_rng(21)
    means, sds = np.array([[-2.0, -1.0], [0.5, 1.0]]), rng.uniform(1.0, 6.0, (2, 2))
    odds = LogOdds(np.array([0.85, 0.15]), means, sds)
    weights = np.array([0.3, 0.7])
    learner = (rng.random(400_000) < odds.shares[1]).astype(int)
    row = (rng.random(400_000) < weights[1]).astype(int)
    spreads = np.sqrt(sds[learner, row] ** 2 + 0.4)
    drawn_risks = expit(means[learner, row] + spreads * rng.normal(size=400_000))
    found = risk_estimate(odds, weights, 0.4)
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn_risks, (0.05, 0.95)), abs=0.003)


def test_a_hypothesis_that_is_hardly_believed_hardly_widens_the_range_of_a_risk() -> None:
    means, sds = np.array([[-2.0], [-2.0]]), np.array([[0.5], [8.0]])
    alone, beside = (
        risk_estimate(LogOdds(np.array([1.0 - share, share]), means, sds), np.ones(1)) for share in (0.0, 0.04)
    )
    assert beside.high - beside.low < 1.2 * (alone.high - alone.low)
