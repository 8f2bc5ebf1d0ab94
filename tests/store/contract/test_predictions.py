"""What every store promises of predictions."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from afdp_exporter.errors import StoreError
from afdp_exporter.model import Deployment, Estimate, Impact, Look, LookState
from afdp_exporter.store import Store
from stored import prediction


async def test_a_prediction_can_be_replaced_until_something_is_measured(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
) -> None:
    await store.deployments.record(deployment(), (look(),))
    for risk in (0.25, 0.5):
        await store.results.save_prediction(prediction("d1", risk))
    assert await store.history.scored_predictions("checkout") == []
    await store.looks.finish(look(state=LookState.DONE), impact())
    await store.results.save_prediction(prediction("d1", 0.75))
    assert (await store.results.predictions(("d1", "d2")))["d1"] == prediction("d1", 0.5)
    assert [change.kind for change in await store.changes.since(0)].count("prediction") == 2
    (scored,) = await store.history.scored_predictions("checkout")
    assert (scored.prediction, scored.impact) == (prediction("d1", 0.5), impact())
    assert await store.history.scored_predictions("search") == []


async def test_the_newest_scored_predictions_of_a_service_come_first(
    store: Store,
    deployment: Callable[..., Deployment],
    look: Callable[..., Look],
    impact: Callable[..., Impact],
) -> None:
    for number in range(3):
        name, start = f"d{number}", deployment().started_at + timedelta(hours=number)
        await store.deployments.record(deployment(name, started_at=start), (look(name),))
        await store.results.save_prediction(prediction(name))
        await store.looks.finish(look(name, state=LookState.DONE), impact(name))
    found = await store.history.scored_predictions("checkout", 2)
    assert [each.deployment.id for each in found] == ["d2", "d1"]


async def test_a_prediction_that_cannot_be_kept_is_refused(store: Store, deployment: Callable[..., Deployment]) -> None:
    with pytest.raises(StoreError):
        await store.results.save_prediction(prediction("nobody"))
    await store.deployments.record(deployment(), ())
    with pytest.raises(StoreError, match=r"risk\.median is not a finite number"):
        await store.results.save_prediction(
            replace(prediction("d1"), risk=Estimate(median=float("nan"), low=0.0, high=1.0))
        )
