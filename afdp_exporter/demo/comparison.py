"""What was measured, held against what was planted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from afdp_exporter.demo.effects import Effect, Shape
from afdp_exporter.demo.shop import STEP
from afdp_exporter.demo.world import World
from afdp_exporter.model import Deployment, Estimate, Impact, Shift
from afdp_exporter.wording.metrics import display_name, format_change
from afdp_exporter.wording.numbers import format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One planted effect in words beside its measurement; `inside` is None where there is no range to lie in."""

    metric: str
    planted: str
    measured: str
    inside: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How many deployments do something and how many of them were found; how many do nothing and were blamed.

    `held` of the `ranges` that were measured hold what was planted.
    """

    effective: int
    found: int
    harmless: int
    blamed: int
    ranges: int
    held: int


def compare(deployment: Deployment, effects: Iterable[Effect], impact: Impact) -> tuple[Comparison, ...]:
    """Each effect on what is watched for the deployment beside the shift of its metric, in order of the onsets."""
    shifts = {shift.metric: shift for shift in impact.shifts}
    watched = [effect for effect in effects if effect.service in (None, deployment.service)]
    return tuple(
        _compared(effect, shifts[effect.metric])
        for effect in sorted(watched, key=lambda effect: effect.onset)
        if effect.metric in shifts
    )


def score(world: World, impacts: Mapping[str, Impact]) -> Score:
    """Over all deployments with an impact, by primary metrics: found is one of whose planted metrics any moved."""
    planted = {name: {effect.metric for effect in world.effects(name)} for name in impacts}
    moved = {name: _moved(impact) for name, impact in impacts.items()}
    effective = [name for name in impacts if planted[name]]
    harmless = [name for name in impacts if not planted[name]]
    deployments = {deployment.id: deployment for deployment in world.deployments}
    compared = [row for name in effective for row in compare(deployments[name], world.effects(name), impacts[name])]
    return Score(
        effective=len(effective),
        found=sum(1 for name in effective if moved[name] & planted[name]),
        harmless=len(harmless),
        blamed=sum(1 for name in harmless if moved[name]),
        ranges=sum(row.inside is not None for row in compared),
        held=sum(bool(row.inside) for row in compared),
    )


def _compared(effect: Effect, shift: Shift) -> Comparison:
    before = shift.before
    size = _size(effect, shift)
    planted = format_change(effect.metric, Estimate(low=size, median=size, high=size), before)
    if effect.shape is not Shape.LEVEL and effect.duration:
        planted += f" for {format_duration(effect.duration)}"
    metric = display_name(effect.metric)
    if not shift.moved or shift.change is None or shift.low is None or shift.high is None:
        return Comparison(metric=metric, planted=planted, measured=shift.verdict.replace("_", " "))
    measured = format_change(effect.metric, Estimate(low=shift.low, median=shift.change, high=shift.high), before)
    if shift.duration is not None and shift.recovered_at is not None:
        measured += f" for {format_duration(shift.duration)}"
    inside = shift.low <= size <= shift.high
    return Comparison(metric=metric, planted=planted, measured=measured, inside=inside)


def _size(effect: Effect, shift: Shift) -> float:
    """The planted size; of what came and went its mean over the stretch that was measured, which has no single one."""
    if shift.onset is None or shift.recovered_at is None:
        return effect.size
    during = np.arange(shift.onset.timestamp(), shift.recovered_at.timestamp(), STEP.total_seconds())
    return float(effect.course(during).mean()) if during.size else effect.size


def _moved(impact: Impact) -> set[str]:
    return {shift.metric for shift in impact.shifts if shift.primary and shift.moved}
