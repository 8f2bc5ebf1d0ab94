"""What is expected is kept before anything is measured, shown while it lies ahead, and scored afterwards."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from afdp_exporter.compute import ComputePool
from afdp_exporter.metrics.predictions import Outlook
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Estimate,
    Forecast,
    Impact,
    Layer,
    Look,
    LookState,
    Outcome,
    PoolingLevel,
    Prediction,
    ScoredPrediction,
    Shift,
    Status,
    Windows,
)
from afdp_exporter.patterns import score
from afdp_exporter.planning.planner import Planner, surroundings, with_skill
from afdp_exporter.planning.plans import Plans
from afdp_exporter.planning.refresher import PredictionRefresher
from afdp_exporter.store.follow_ups import PREDICTION
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.store.sqlite import SQLiteStore
from looking import claim_looks

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def deployment(name: str = "d1", status: Status = Status.STARTED, start: datetime = NOW) -> Deployment:
    return Deployment(
        id=name, service="api", environment="production", started_at=start, status=status, received_at=start
    )


def prediction(name: str, risk: float, low: float, high: float) -> Prediction:
    return Prediction(
        deployment_id=name,
        basis=PoolingLevel.SERVICE,
        n=20,
        risk=Estimate(low=risk / 2, median=risk, high=min(1.0, 2 * risk)),
        failure=Estimate(low=0.0, median=risk / 4, high=risk),
        metrics={"latency_seconds": Forecast(low=low, median=(low + high) / 2, high=high)},
    )


def impact(name: str, outcome: Outcome, change: float) -> Impact:
    shift = Shift(
        metric="latency_seconds", layer=Layer.TECHNICAL, verdict=Attribution.NO_EFFECT, reason="", change=change
    )
    return Impact(
        deployment_id=name, measured_at=NOW + HOUR, shifts=(shift,), outcome=outcome, outcome_reason="planted"
    )


def foretold(name: str, risk: float, outcome: Outcome, change: float) -> ScoredPrediction:
    return ScoredPrediction(
        prediction=prediction(name, risk, -1, 1), deployment=deployment(name), impact=impact(name, outcome, change)
    )


class Parsed(Outlook):
    """An audience that can be waited for."""

    def __init__(self) -> None:
        super().__init__(25_000, lambda _: None)
        self.knows_the_hours = asyncio.Event()

    def ranked(self, environment: str, windows: Windows) -> None:
        super().ranked(environment, windows)
        self.knows_the_hours.set()

    def value(self, name: str) -> float | None:
        """What the gauge says of the service."""
        samples = [sample for family in self.collect() for sample in family.samples if sample.name == name]
        return next((sample.value for sample in samples if sample.labels == {"service": "api"}), None)

    def names(self) -> set[str]:
        return {family.name for family in self.collect()}


def refresher(store: SQLiteStore, compute: ComputePool, audience: Outlook) -> PredictionRefresher:
    planner = Planner(StoreReader(store, compute, lambda: timedelta(minutes=1)))
    return PredictionRefresher(planner=planner, store=store, audience=audience, plans=Plans, clock=lambda: NOW)


async def test_a_running_deployment_is_predicted_for_all_who_follow(store: SQLiteStore, compute: ComputePool) -> None:
    await store.deployments.record(deployment(), ())
    before = await store.changes.last()
    await refresher(store, compute, Parsed()).predict("d1")
    assert set(await store.results.predictions(("d1", "d2"))) == {"d1"}
    assert [change.id for change in await store.changes.since(before) if change.kind == PREDICTION] == ["d1"]


async def test_what_is_reported_long_after_the_fact_is_not_predicted(store: SQLiteStore, compute: ComputePool) -> None:
    late = deployment(start=NOW - 2 * HOUR, status=Status.SUCCEEDED)
    await store.deployments.record(late, (Look(deployment_id=late.id, after=HOUR, due_at=NOW),))
    await refresher(store, compute, Parsed()).predict(late.id)
    (taken,) = await claim_looks(store, NOW, limit=1, lease=HOUR)
    await store.looks.finish(replace(taken, state=LookState.DONE), impact(late.id, Outcome.SUCCESS, 0.5))
    assert await store.history.scored_predictions(late.service) == []


async def test_the_coming_hours_are_ranked_for_each_service(store: SQLiteStore, compute: ComputePool) -> None:
    audience = Parsed()
    await store.deployments.record(deployment(), ())
    await refresher(store, compute, audience).refresh()
    assert "afdp_deploy_now_risk_ratio" in audience.names()


async def test_a_prediction_is_kept_until_something_is_measured_and_then_no_more_changed(store: SQLiteStore) -> None:
    look = Look(deployment_id="d1", after=HOUR, due_at=NOW + HOUR)
    await store.deployments.record(deployment(), (look,))
    await store.results.save_prediction(prediction("d1", 0.9, -1, 1))
    await store.results.save_prediction(prediction("d1", 0.2, -1, 1))
    assert await store.history.scored_predictions("api") == []
    (taken,) = await claim_looks(store, NOW + HOUR, limit=1, lease=HOUR)
    await store.looks.finish(replace(taken, state=LookState.DONE), impact("d1", Outcome.SUCCESS, 0.5))
    await store.results.save_prediction(prediction("d1", 0.0, 0, 0))
    (scored,) = await store.history.scored_predictions("api")
    assert scored.prediction == prediction("d1", 0.2, -1, 1)
    assert scored.impact.outcome is Outcome.SUCCESS


async def test_the_moment_of_a_planned_deployment_holds_what_is_under_way_elsewhere(store: SQLiteStore) -> None:
    await store.deployments.record(replace(deployment("other", start=NOW - timedelta(minutes=5)), service="web"), ())
    await store.deployments.record(deployment("next", Status.PLANNED, start=NOW), ())
    around = await surroundings(store, deployment("next", Status.PLANNED, start=NOW))
    assert (around.own, around.in_flight) == ([], 1)


async def test_how_well_predictions_came_true_is_shown_once_they_did(store: SQLiteStore, compute: ComputePool) -> None:
    audience = Parsed()
    for name, risk, outcome, change in (("d1", 0.9, Outcome.FAILURE, 0.5), ("d2", 0.2, Outcome.SUCCESS, 3.0)):
        await store.deployments.record(
            deployment(name, Status.PLANNED), (Look(deployment_id=name, after=HOUR, due_at=NOW),)
        )
        await store.results.save_prediction(prediction(name, risk, -1, 1))
        assert audience.value("afdp_prediction_brier_score") is None
        (taken,) = await claim_looks(store, NOW, limit=1, lease=HOUR)
        await store.looks.finish(replace(taken, state=LookState.DONE), impact(name, outcome, change))
    await refresher(store, compute, audience).refresh()
    assert audience.value("afdp_prediction_coverage_ratio") == 0.5
    assert audience.value("afdp_prediction_brier_score") == pytest.approx((0.1**2 + 0.2**2) / 2)
    assert audience.value("afdp_predictions_scored") == 2


def test_a_score_shows_how_far_the_risks_were_off_and_how_many_ranges_held() -> None:
    scored = [
        foretold("a", 0.8, Outcome.FAILURE, 0.5),
        foretold("b", 0.1, Outcome.SUCCESS, 3.0),
        foretold("c", 0.5, Outcome.UNKNOWN, 0.0),
    ]
    found = score("api", scored)
    assert found is not None
    assert (found.n, found.ranges, found.covered) == (2, 2, 0.5)
    assert found.brier == pytest.approx((0.2**2 + 0.1**2) / 2)
    assert score("api", scored[2:]) is None


def test_a_human_has_the_last_word_on_what_happened() -> None:
    scored = foretold("a", 1.0, Outcome.SUCCESS, 0.5)
    corrected = replace(scored, deployment=replace(scored.deployment, labelled_outcome=Outcome.FAILURE))
    found = score("api", [corrected])
    assert found is not None
    assert found.brier == 0


def test_predictions_no_better_than_the_services_rate_say_so_with_that_rate() -> None:
    outcomes = [Outcome.DEGRADATION if number % 4 == 0 else Outcome.SUCCESS for number in range(40)]
    useless = score("api", [foretold(f"d{n}", 0.25, each, 0.0) for n, each in enumerate(outcomes)])
    sharp = score("api", [foretold(f"d{n}", 0.05 + 0.85 * (n % 4 == 0), each, 0.0) for n, each in enumerate(outcomes)])
    assert useless is not None
    assert sharp is not None
    assert not useless.better_than_the_rate
    assert sharp.skill is not None
    assert sharp.skill.low > 0.6
    assert [(one.n, one.happened) for one in sharp.reliability] == [(30, 0.0), (10, 1.0)]
    planned = prediction("d1", 0.4, -1, 1)
    assert with_skill(planned, sharp) == planned
    (warning,) = with_skill(planned, useless).warnings
    assert warning.endswith("no better than the service's rate so far: 25 % of 40 deployments degraded or failed")
