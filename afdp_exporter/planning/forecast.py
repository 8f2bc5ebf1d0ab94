"""History -> what it teaches -> what a planned deployment will do, and when is the best time for it. Pure."""

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from afdp_exporter.model import (
    Context,
    Deployment,
    Impact,
    MeasuredDeployment,
    MeasuredSummary,
    Pattern,
    Prediction,
    Status,
    TrainingExample,
    Windows,
    is_rollback,
)
from afdp_exporter.patterns import Model, deployment_context, fit, mine, predict, rank_windows
from afdp_exporter.patterns.features.extraction import RECENT, STILL_UNDER_WAY, KnownOutcomes
from afdp_exporter.patterns.models.training import GroupKey, training_set
from afdp_exporter.planning.plans import Calendar

MOST_NEARBY = 200
"""Of so many other deployments, those that started last, how many are under way is counted."""
_NEARBY = timedelta(days=1)  # what started earlier than that is not under way any more


def training_examples(history: Sequence[MeasuredDeployment], known: Calendar) -> tuple[TrainingExample, ...]:
    """Each measured deployment with the state that it met, oldest first. Pure."""
    return cases_of(_outlines(history), _impacts(history), known)


def _outlines(history: Sequence[MeasuredDeployment]) -> list[MeasuredSummary]:
    """The measured ones in short."""
    return [
        MeasuredSummary(deployment=each.deployment, measured_at=each.impact.measured_at, outcome=each.decision.outcome)
        for each in history
        if each.impact
    ]


def cases_of(
    past: Sequence[MeasuredSummary], impacts: Mapping[str, Impact], known: Calendar
) -> tuple[TrainingExample, ...]:
    """Those deployments of the past whose impact is given, each with the state that it met, oldest first. Pure.

    What was measured later enters no state.
    """
    ordered = sorted(past, key=lambda each: each.deployment.started_at)
    by_id = {each.deployment.id: each for each in ordered}
    same: dict[tuple[str, str], deque[Deployment]] = defaultdict(lambda: deque(maxlen=4 * RECENT))
    nearby: list[Deployment] = []
    found = []
    for each in ordered:
        deployment = each.deployment
        nearby = recent(nearby, deployment.started_at)
        own = same[deployment.service, deployment.environment]
        if deployment.id in impacts:
            context = _context(deployment, {other.id: other for other in (*own, *nearby)}.values(), by_id, known)
            rollback = is_rollback(deployment, own)
            found.append(
                TrainingExample(
                    deployment=deployment, context=context, impact=impacts[deployment.id], rollback=rollback
                )
            )
        own.append(deployment)
        nearby.append(deployment)
    return tuple(found)


def recent(others: Iterable[Deployment], at: datetime) -> list[Deployment]:
    """Of deployments in the order of their start those of which one may be under way at an instant. Pure."""
    since = at - STILL_UNDER_WAY
    return [each for each in others if each.ended_at >= since and at - each.started_at <= _NEARBY][-MOST_NEARBY:]


def learn(
    history: Sequence[MeasuredDeployment], known: Calendar, service: str, team: str | None, now: datetime
) -> Model:
    """What the history teaches about one service. Pure."""
    past, impacts = _outlines(history), _impacts(history)
    cases = cases_of(past, {name: impacts[name] for name in training_ids(past, service, team, now)}, known)
    return fit(cases, service=service, team=team, now=now)


def training_ids(past: Sequence[MeasuredSummary], service: str, team: str | None, now: datetime) -> list[str]:
    """The ids of those from which one service is learned: few of many. Pure."""
    measured = [each for each in past if each.measured_at <= now]
    return [each.deployment.id for each in training_set(measured, GroupKey(service, team))]


def patterns_of(history: Sequence[MeasuredDeployment], known: Calendar) -> tuple[Pattern, ...]:
    """What the history teaches about all services, in sentences. Pure; run by a worker."""
    return mine(training_examples(history, known))


def predict_deployment(
    model: Model,
    planned: Deployment,
    around: Sequence[MeasuredDeployment],
    known: Calendar,
    patterns: Sequence[Pattern],
    *,
    in_flight: int | None = None,
) -> Prediction:
    """What a planned deployment is expected to do; `around` are the newest deployments before it. Pure.

    `in_flight` is how many others are under way where these are not all in `around`.
    """
    past = {each.deployment.id: each for each in _outlines(around)}
    context = _context(planned, [each.deployment for each in around], past, known, in_flight)
    return predict(model, planned, context, patterns)


def predict_as_of_start(history: Sequence[MeasuredDeployment], deployment: Deployment, known: Calendar) -> Prediction:
    """What would have been predicted just before a deployment started, from what had been measured by then. Pure."""
    start = deployment.started_at
    past = [each for each in history if each.impact and each.impact.measured_at <= start]
    model = learn(past, known, deployment.service, deployment.team, start)
    return predict_deployment(model, as_planned(deployment), past, known, patterns_of(past, known))


def as_planned(deployment: Deployment) -> Deployment:
    """A deployment as its sender would have planned it: nothing of its end."""
    return replace(deployment, status=Status.PLANNED, finished_at=None, labelled_outcome=None, note=None)


def rank(
    model: Model,
    hours: int,
    known: Calendar,
    now: datetime,
    around: Sequence[MeasuredDeployment],
    *,
    delay_cost_per_hour: float = 0.0,
    in_flight: int | None = None,
) -> Windows:
    """The coming hours for the service that a model knows; `around` and `in_flight` as for a prediction. Pure."""
    usual = usual_of(model.home.service, around, now)
    past = {each.deployment.id: each for each in _outlines(around)}
    return rank_windows(
        model,
        now=now,
        zone=known.zone,
        hours=hours,
        calendar=known.occasions,
        holidays=known.holidays,
        state=_context(usual, [each.deployment for each in around], past, known, in_flight),
        delay_cost_per_hour=delay_cost_per_hour,
    )


def usual_of(service: str, around: Sequence[MeasuredDeployment], now: datetime) -> Deployment:
    """A planned deployment of a service of which nothing else is known, where its newest one went."""
    own = [each.deployment for each in around if each.deployment.service == service]
    newest = max(own, key=lambda each: each.started_at, default=None)
    return Deployment(
        id="usual",
        service=service,
        environment=newest.environment if newest else "production",
        status=Status.PLANNED,
        started_at=now,
        received_at=now,
    )


def _impacts(history: Sequence[MeasuredDeployment]) -> dict[str, Impact]:
    return {each.deployment.id: each.impact for each in history if each.impact}


def _context(
    deployment: Deployment,
    earlier: Iterable[Deployment],
    impacts: KnownOutcomes,
    known: Calendar,
    in_flight: int | None = None,
) -> Context:
    return deployment_context(
        deployment,
        earlier=list(earlier),
        impacts=impacts,
        zone=known.zone,
        calendar=known.occasions,
        holidays=known.holidays,
        in_flight=in_flight,
    )
