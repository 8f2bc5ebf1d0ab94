"""What is expected is kept before anything is measured, shown while it lies ahead, and scored afterwards."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from afdp_exporter.metrics.outlook import Outlook
from afdp_exporter.model import (
    Attribution,
    Basis,
    Deployment,
    Estimate,
    Forecast,
    Foretold,
    Impact,
    Layer,
    Look,
    LookState,
    Outcome,
    Prediction,
    Shift,
    Status,
    Windows,
)
from afdp_exporter.patterns import score
from afdp_exporter.planning.foresight import Foresight
from afdp_exporter.planning.planner import Planner, surroundings, with_skill
from afdp_exporter.planning.plans import Plans
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.workers import Workers

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def deployment(name: str = "d1", status: Status = Status.STARTED, start: datetime = NOW) -> Deployment:
    return Deployment(
        id=name, service="api", environment="production", started_at=start, status=status, received_at=start
    )


def prediction(name: str, risk: float, low: float, high: float) -> Prediction:
    return Prediction(
        deployment_id=name,
        basis=Basis.SERVICE,
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


def foretold(name: str, risk: float, outcome: Outcome, change: float) -> Foretold:
    return Foretold(
        prediction=prediction(name, risk, -1, 1), deployment=deployment(name), impact=impact(name, outcome, change)
    )


class Told(Outlook):
    """An audience that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = asyncio.Event()
        self.knows_the_hours = asyncio.Event()

    def predicted(self, deployment: Deployment, prediction: Prediction) -> None:
        super().predicted(deployment, prediction)
        self.heard.set()

    def ranked(self, environment: str, windows: Windows) -> None:
        super().ranked(environment, windows)
        self.knows_the_hours.set()

    def value(self, name: str) -> float | None:
        """What the gauge says of the service."""
        samples = [sample for family in self.collect() for sample in family.samples if sample.name == name]
        return next((sample.value for sample in samples if sample.labels == {"service": "api"}), None)

    def names(self) -> set[str]:
        return {family.name for family in self.collect()}


def foresight(store: SQLiteStore, workers: Workers, audience: Outlook) -> Foresight:
    planner = Planner(store=store, workers=workers)
    return Foresight(planner=planner, store=store, audience=audience, plans=Plans, clock=lambda: NOW)


async def test_a_running_deployment_is_foretold_and_no_longer_shown_once_it_is_over(
    store: SQLiteStore, workers: Workers
) -> None:
    audience = Told()
    seeing = foresight(store, workers, audience)
    await store.record(deployment(), ())
    running = asyncio.create_task(seeing.run())
    async with asyncio.timeout(60):
        await audience.heard.wait()
    assert "afdp_predicted_failure_ratio" in audience.names()
    seeing.told(deployment(status=Status.SUCCEEDED))
    assert "afdp_predicted_failure_ratio" not in audience.names()
    running.cancel()


async def test_what_is_told_long_after_the_fact_is_not_foretold(store: SQLiteStore, workers: Workers) -> None:
    audience = Told()
    seeing = foresight(store, workers, audience)
    seeing.told(deployment(start=NOW - 2 * HOUR, status=Status.SUCCEEDED))
    assert not seeing._waiting


async def test_after_a_start_the_hours_are_ranked_although_nothing_new_is_told(
    store: SQLiteStore, workers: Workers
) -> None:
    audience = Told()
    await store.record(deployment(status=Status.SUCCEEDED, start=NOW - 5 * HOUR), ())
    running = asyncio.create_task(foresight(store, workers, audience).run())
    async with asyncio.timeout(60):
        await audience.knows_the_hours.wait()
    assert "afdp_deploy_now_risk_ratio" in audience.names()
    running.cancel()


async def test_the_coming_hours_are_ranked_for_each_service(store: SQLiteStore, workers: Workers) -> None:
    audience = Told()
    await store.record(deployment(), ())
    await foresight(store, workers, audience).refresh()
    assert "afdp_deploy_now_risk_ratio" in audience.names()


async def test_a_prediction_is_kept_until_something_is_measured_and_then_no_more_changed(store: SQLiteStore) -> None:
    look = Look(deployment_id="d1", after=HOUR, due_at=NOW + HOUR)
    await store.record(deployment(), (look,))
    await store.foretell(prediction("d1", 0.9, -1, 1))
    await store.foretell(prediction("d1", 0.2, -1, 1))
    assert await store.came_true("api") == []
    (taken,) = await store.claim_looks(NOW + HOUR, limit=1, lease=HOUR)
    await store.finish_look(replace(taken, state=LookState.DONE), impact("d1", Outcome.SUCCESS, 0.5))
    await store.foretell(prediction("d1", 0.0, 0, 0))
    (told,) = await store.came_true("api")
    assert told.prediction == prediction("d1", 0.2, -1, 1)
    assert told.impact.outcome is Outcome.SUCCESS


async def test_the_moment_of_a_planned_deployment_holds_what_is_under_way_elsewhere(store: SQLiteStore) -> None:
    await store.record(replace(deployment("other", start=NOW - timedelta(minutes=5)), service="web"), ())
    await store.record(deployment("next", Status.PLANNED, start=NOW), ())
    around = await surroundings(store, deployment("next", Status.PLANNED, start=NOW))
    assert [each.deployment.id for each in around] == ["other"]


async def test_how_well_predictions_came_true_is_shown_once_they_did(store: SQLiteStore, workers: Workers) -> None:
    audience = Told()
    for name, risk, outcome, change in (("d1", 0.9, Outcome.FAILURE, 0.5), ("d2", 0.2, Outcome.SUCCESS, 3.0)):
        await store.record(deployment(name, Status.PLANNED), (Look(deployment_id=name, after=HOUR, due_at=NOW),))
        await store.foretell(prediction(name, risk, -1, 1))
        assert audience.value("afdp_prediction_brier_score") is None
        (taken,) = await store.claim_looks(NOW, limit=1, lease=HOUR)
        await store.finish_look(replace(taken, state=LookState.DONE), impact(name, outcome, change))
    await foresight(store, workers, audience).refresh()
    assert audience.value("afdp_prediction_coverage_ratio") == 0.5
    assert audience.value("afdp_prediction_brier_score") == pytest.approx((0.1**2 + 0.2**2) / 2)
    assert audience.value("afdp_predictions_scored") == 2


def test_a_score_tells_how_far_the_risks_were_off_and_how_many_ranges_held() -> None:
    told = [
        foretold("a", 0.8, Outcome.FAILURE, 0.5),
        foretold("b", 0.1, Outcome.SUCCESS, 3.0),
        foretold("c", 0.5, Outcome.UNKNOWN, 0.0),
    ]
    found = score("api", told)
    assert found is not None
    assert (found.n, found.ranges, found.covered) == (2, 2, 0.5)
    assert found.brier == pytest.approx((0.2**2 + 0.1**2) / 2)
    assert score("api", told[2:]) is None


def test_a_human_has_the_last_word_on_what_happened() -> None:
    told = foretold("a", 1.0, Outcome.SUCCESS, 0.5)
    corrected = replace(told, deployment=replace(told.deployment, labelled_outcome=Outcome.FAILURE))
    found = score("api", [corrected])
    assert found is not None
    assert found.brier == 0


async def test_a_deployment_that_is_told_again_and_again_is_predicted_once(
    store: SQLiteStore, workers: Workers
) -> None:
    seeing = foresight(store, workers, Told())
    for name in ("d1", "d2", "d1", "d1"):
        seeing.told(deployment(name))
    assert [await seeing._next(), await seeing._next()] == ["d1", "d2"]
    assert not seeing._waiting


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
