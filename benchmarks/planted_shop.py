"""The demo shop's deployments as cases measured without error: what its laws did, and nothing else."""

from datetime import UTC, datetime, timedelta

import numpy as np

from afdp_exporter.demo import shop
from afdp_exporter.demo.world import World, make_world
from afdp_exporter.model import (
    Attribution,
    Cost,
    Deployment,
    Estimate,
    Impact,
    MeasuredSummary,
    Outcome,
    Shift,
    TrainingExample,
)
from afdp_exporter.patterns import deployment_context

END = datetime(2026, 11, 23, 17, tzinfo=UTC)


def shop_cases(seed: int) -> list[TrainingExample]:
    """Eight weeks of the shop, oldest first: about 65 cases."""
    return cases_of(make_world(END, seed=seed), np.random.default_rng(seed))


def cases_of(world: World, noise: np.random.Generator) -> list[TrainingExample]:
    """The deployments of a world with what was planted; metrics that nothing moved have a little noise."""
    cases: list[TrainingExample] = []
    known: dict[str, MeasuredSummary] = {}
    for deployment in world.deployments:
        earlier = [case.deployment for case in cases]
        context = deployment_context(deployment, earlier=earlier, impacts=known, zone=UTC, calendar=(world.sale,))
        impact = _impact(world, deployment, noise)
        known[deployment.id] = MeasuredSummary(
            deployment=deployment, measured_at=impact.measured_at, outcome=impact.outcome
        )
        cases.append(TrainingExample(deployment=deployment, context=context, impact=impact))
    return cases


def _impact(world: World, deployment: Deployment, noise: np.random.Generator) -> Impact:
    sizes: dict[str, float] = {}
    for effect in world.effects(deployment.id):
        sizes[effect.metric] = sizes.get(effect.metric, 0.0) + effect.size
    shifts = tuple(
        Shift(
            metric=metric.name,
            layer=metric.layer,
            worse=metric.worse,
            verdict=Attribution.ATTRIBUTED if metric.name in sizes else Attribution.NO_EFFECT,
            reason="planted",
            change=sizes.get(metric.name, 0.01 * float(noise.normal())),
        )
        for metric in shop.METRICS
    )
    harmed = any(shift.moved and shift.harmful for shift in shifts)
    lost = sizes.get(shop.INFRA_COST, 0.0) - sizes.get(shop.REVENUE, 0.0)
    return Impact(
        deployment_id=deployment.id,
        measured_at=deployment.ended_at + timedelta(hours=1),
        shifts=shifts,
        outcome=Outcome.DEGRADATION if harmed else Outcome.SUCCESS,
        outcome_reason="planted",
        costs=(Cost(currency="USD", per_hour=Estimate(low=lost, median=lost, high=lost)),) if lost else (),
    )
