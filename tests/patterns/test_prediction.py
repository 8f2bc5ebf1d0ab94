"""A planned deployment: what is said of it, and on what evidence."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import FrameType

import numpy as np
import pytest
from planted_worlds import LATENCY, START, World, world
from threadpoolctl import ThreadpoolController

from afdp_exporter.model import (
    ChangeType,
    Context,
    Cost,
    Deployment,
    Estimate,
    Outcome,
    PoolingLevel,
    Prediction,
    Status,
    TrainingExample,
)
from afdp_exporter.patterns.features.extraction import features_of
from afdp_exporter.patterns.models.training import fit
from afdp_exporter.patterns.prediction import impute, predict

pytestmark = pytest.mark.many_worlds

AFTER = START + timedelta(days=900)


def planned(world: World, **changes: object) -> Deployment:
    return replace(world.cases[-1].deployment, id="next", status=Status.PLANNED, **changes)


def foretell(world: World, n: int) -> Prediction:
    """What was known of a world's case number `n` from those before it."""
    case = world.cases[n]
    deployment = case.deployment
    model = fit(world.cases[:n], service=deployment.service, team=deployment.team, now=deployment.started_at)
    return predict(model, deployment, case.context)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_with_next_to_no_history_the_answer_is_a_prior_and_says_so(steady: World, n: int) -> None:
    case = steady.cases[0]
    harmful = [each for each in steady.cases if each.impact.outcome is Outcome.DEGRADATION]
    model = fit(harmful[:n], service="checkout", team=None, now=harmful[2].impact.measured_at)
    answer = predict(model, case.deployment, replace(case.context, levels={LATENCY: 0.2}))
    assert (answer.basis, answer.n) == (PoolingLevel.COLD, 0)
    assert "prior" in answer.warnings[0]
    assert answer.risk.low < 0.1 < answer.risk.median < 0.2 < answer.risk.high
    assert answer.metrics[LATENCY].low < 0 < answer.metrics[LATENCY].high
    assert answer.cost is None


def test_nothing_measured_later_enters_a_prediction(two_part: World) -> None:
    before = foretell(two_part, 120)
    later = [replace(case, impact=replace(case.impact, shifts=(), costs=())) for case in two_part.cases[120:]]
    changed = replace(two_part, cases=two_part.cases[:120] + later)
    case, now = two_part.cases[120], two_part.cases[120].deployment.started_at
    model = fit(changed.cases, service=case.deployment.service, team=case.deployment.team, now=now)
    assert predict(model, case.deployment, case.context) == before


def test_a_service_without_history_borrows_from_its_team_then_from_all(steady: World) -> None:
    now = AFTER
    assert fit(steady.cases, service="new", team="shop", now=now).basis is PoolingLevel.TEAM
    assert fit(steady.cases, service="new", team="unheard-of", now=now).basis is PoolingLevel.GLOBAL


def test_a_new_service_learns_from_a_few_cases_of_two_teams(steady: World) -> None:
    few = [
        replace(case, deployment=replace(case.deployment, service=f"of {team}", team=team))
        for case, team in zip(steady.cases[:4], ["shop", "search", "shop", "search"], strict=True)
    ]
    assert fit(few, service="new", team="shop", now=AFTER).n == 4


def test_a_dangerous_change_is_riskier_than_a_harmless_one(two_part: World) -> None:
    effects = two_part.law.odds
    assert effects["database"] > 0
    model = fit(two_part.cases, service="service-0", team="shop", now=AFTER)
    context = two_part.cases[-1].context
    code = predict(model, planned(two_part, change_types=(ChangeType.CODE,), traits={}), context)
    database = predict(
        model, planned(two_part, change_types=(ChangeType.DATABASE,), traits={"table_rows": 2e7}), context
    )
    assert database.risk.median > 1.5 * code.risk.median


def test_what_only_ever_degraded_is_hardly_expected_to_fail(two_part: World) -> None:
    def milder(case: TrainingExample) -> TrainingExample:
        outcome = Outcome.DEGRADATION if case.impact.outcome is Outcome.FAILURE else case.impact.outcome
        return replace(case, impact=replace(case.impact, outcome=outcome))

    mild = replace(two_part, cases=[milder(case) for case in two_part.cases])
    harsh, gentle = foretell(two_part, 200), foretell(mild, 200)
    assert gentle.risk.median == pytest.approx(harsh.risk.median)
    assert gentle.failure.median < 0.5 * harsh.failure.median
    assert gentle.failure.median < 0.25 * gentle.risk.median


def test_similar_deployments_say_why_they_are_similar(two_part: World) -> None:
    answer = foretell(two_part, 200)
    assert answer.similar
    ratios = [one.similarity_ratio for one in answer.similar]
    assert ratios == sorted(ratios, reverse=True)
    assert all(one.why for one in answer.similar)
    said = " ".join(" ".join(one.why) for one in answer.similar)
    assert "_" not in said


def test_trouble_after_similar_deployments_is_predicted_as_a_range_of_cost(two_part: World) -> None:
    case = next(case for case, acting in zip(two_part.cases, two_part.truth, strict=True) if acting["database"])
    bad = [replace(case, deployment=replace(case.deployment, id=f"same-{k}")) for k in range(4)]
    costs = [1000.0, 1200.0, 1350.0, 1500.0]
    bad = [
        replace(
            one,
            impact=replace(
                one.impact,
                outcome=Outcome.DEGRADATION,
                costs=(Cost(currency="USD", per_hour=Estimate(low=cost, median=cost, high=cost)),),
            ),
        )
        for one, cost in zip(bad, costs, strict=True)
    ]
    model = fit(bad, service=case.deployment.service, team=None, now=AFTER)
    answer = predict(model, case.deployment, case.context)
    evidence, foretold = answer.warnings[0].split("; ")
    assert evidence == "Similar deployments cost $1,000 to $1,500 an hour (n = 4)"
    assert foretold.startswith("this one is predicted to cost $1,")


@pytest.mark.parametrize("n", [3, 8, 9, 25, 120])
def test_every_range_is_in_order(steady: World, n: int) -> None:
    answer = foretell(steady, n)
    ranges = [answer.risk, answer.failure, *answer.metrics.values()]
    assert all(one.low <= one.median <= one.high for one in ranges)
    assert answer.failure.median <= answer.risk.median


def test_an_unknown_trait_of_a_planned_deployment_is_no_fault(steady: World) -> None:
    model = fit(steady.cases, service="service-0", team="shop", now=AFTER)
    odd = planned(steady, traits={"never_seen": "x", "table_rows": float("inf")})
    assert 0 < predict(model, odd, Context(at=START)).risk.median < 1


def test_no_cost_is_predicted_far_beyond_what_was_ever_seen() -> None:
    dear = world(5003, 120, "steady")
    amounts = np.random.default_rng(5).choice([2.0, 7.0, 2400.0], size=120)
    cases = [
        replace(
            case,
            impact=replace(
                case.impact,
                costs=(Cost(currency="USD", per_hour=Estimate(low=cost, median=cost, high=cost)),),
            ),
        )
        for case, cost in zip(dear.cases, amounts.tolist(), strict=True)
    ]
    model = fit(cases, service="service-0", team="shop", now=AFTER)
    answer = predict(model, planned(dear), dear.cases[-1].context)
    assert answer.cost is not None
    assert answer.cost.per_hour.high <= 3 * 2400


def test_a_prediction_wakes_no_threads_for_its_small_matrices(steady: World) -> None:
    """Threads that wait for each other take ten times the CPU, in the process that answers."""
    case = steady.cases[60]
    model = fit(steady.cases[:60], service=case.deployment.service, team=case.deployment.team, now=AFTER)
    libraries, threads = ThreadpoolController(), list[int]()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "/patterns/models/" in frame.f_code.co_filename:
            threads.extend(each["num_threads"] for each in libraries.info() if each["user_api"] == "blas")

    with libraries.limit(limits=2, user_api="blas"):
        sys.setprofile(count)
        try:
            predict(model, case.deployment, case.context)
        finally:
            sys.setprofile(None)
    assert len(threads) > 20
    assert set(threads[2:]) == {1}


def test_a_migration_of_which_no_size_is_reported_may_have_any_that_migrations_of_its_service_had() -> None:
    """Other deployments have no such size; they differ from it in chance traits less often than the migrations do."""
    wider = list[float]()
    for seed in range(40, 44):
        one = world(seed, 210)
        first = one.cases[150].deployment
        model = fit(one.cases[:150], service=first.service, team=first.team, now=first.started_at)
        for case in one.cases[150:]:
            whole = case.deployment
            if (whole.service, whole.change_types) != (first.service, (ChangeType.DATABASE,)):
                continue
            partly = replace(
                whole, traits={name: value for name, value in whole.traits.items() if name != "table_rows"}
            )
            known = features_of(partly, case.context, salt=model.salt)
            assert all("traits.table_rows" in each for each in impute(model, known).traits)
            with_size, without = (predict(model, each, case.context).risk for each in (whole, partly))
            wider.append((without.high - without.low) - (with_size.high - with_size.low))
    assert len(wider) > 10
    assert np.mean(wider) > 0.03


def risk_of_sizes(one: World, name: str, hurt: Callable[[float], bool]) -> tuple[float, float]:
    """The risk of a small and of a large change, learned from 12 cases of which `hurt` tells the troubled ones."""
    first = one.cases[0]

    def change(size: float) -> Deployment:
        return replace(first.deployment, change_types=(), actor=None, strategy=None, traits={name: size})

    cases = [
        replace(
            case,
            deployment=replace(change(size), id=case.deployment.id),
            context=first.context,
            impact=replace(case.impact, outcome=Outcome.DEGRADATION if hurt(size) else Outcome.SUCCESS, shifts=()),
        )
        for case, size in zip(one.cases[:12], np.geomspace(1.0, 300.0, 12).tolist(), strict=True)
    ]
    model = fit(cases, service=first.deployment.service, team=first.deployment.team, now=AFTER)
    small, large = (predict(model, change(size), first.context).risk.median for size in (2.0, 200.0))
    return small, large


def test_a_larger_change_is_riskier_until_cases_say_otherwise(steady: World) -> None:
    small, large = risk_of_sizes(steady, "files_changed", lambda _: False)
    assert 1.2 < large / small < 3.0
    small, large = risk_of_sizes(steady, "fish", lambda _: False)
    assert large == pytest.approx(small, rel=0.1)
    small, large = risk_of_sizes(steady, "files_changed", lambda size: size < 12)
    assert small > 2.0 * large
