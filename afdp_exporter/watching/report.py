"""A deployment and what it did, as the API words it."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from afdp_exporter.model import (
    Attribution,
    CalendarEntryKind,
    ChangeType,
    Cost,
    Deployment,
    Impact,
    Layer,
    Look,
    LookState,
    MeasuredDeployment,
    Outcome,
    SeenBefore,
    Shift,
    ShiftState,
    Status,
    Strategy,
    Trajectory,
    Worse,
)
from afdp_exporter.responses import Count, MoneyResponse, Number, Ratio, Response, Seconds, Time
from afdp_exporter.wording.times import format_time

_ENDED = {LookState.DONE, LookState.FAILED, LookState.SKIPPED}


class DeploymentResponse(Response):
    """A deployment under the names of the API."""

    id: str
    service: str
    environment: str
    version: str | None
    previous_version: str | None
    started_at: Time
    finished_at: Time | None
    status: Status
    actor: str | None
    team: str | None
    change_types: tuple[ChangeType, ...]
    strategy: Strategy | None
    traffic_ratio: Number
    url: str | None
    commit: str | None
    description: str | None
    traits: Annotated[dict[str, bool | int | float | str], Field(description="Facts to learn from.")]
    labels: dict[str, str]
    labelled_outcome: Annotated[Outcome | None, Field(description="A human's word.")]
    note: str | None
    received_at: Time
    received_from: Annotated[str, Field(description="The kind of its sender.")]


class EventResponse(Response):
    """What is no deployment and yet special about a time."""

    id: str
    name: str
    kind: CalendarEntryKind
    start: Time
    end: Time | None
    services: tuple[str, ...]
    description: str | None
    url: str | None
    told_at: Time
    received_from: str


class UsualResponse(Response):
    """What followed `count` of the `compared` earlier deployments of this service alike, and this one as well.

    `change` of the impact is what went beyond it. No duration where the value starts again with each deployment.
    """

    count: Count
    compared: Count
    change: Number
    duration_seconds: Annotated[Seconds | None, Field(validation_alias="duration")]


class ImpactResponse(Response):
    """What one metric did, in its own unit, and whose doing it was."""

    metric: str
    layer: Layer
    verdict: Attribution
    reason: Annotated[str, Field(description="A sentence.")]
    worse: Worse
    harmful: bool | None
    primary: Annotated[bool, Field(description="Whether it counts for the outcome.")]
    onset: Time | None
    onset_low: Time | None
    onset_high: Time | None
    before: Number
    after: Number
    change: Number
    low: Number
    high: Number
    change_ratio: Number
    p_value: Ratio
    attribution_ratio: Ratio
    usual: UsualResponse | None
    minimum_detectable_effect: Annotated[
        Number,
        Field(
            description="The smallest lasting change that four checks of five would find, in the metric's own unit. "
            "null where that is not known: nothing was measured, or the history hardly varies."
        ),
    ]
    shape: str | None
    duration_seconds: Annotated[Seconds | None, Field(validation_alias="duration")]
    recovered_at: Time | None
    state: Annotated[
        ShiftState | None,
        Field(
            description="Where the finding stands over the checks; null where no check found anything. `recovered_at` "
            "says when it was back at its level, `ended_by` which deployment came before it was back, `reason` why it "
            "was withdrawn."
        ),
    ]
    as_of: Time | None
    ended_by: Annotated[
        str | None,
        Field(
            description="The next deployment of the service, where that replaced the change or brought the metric back."
        ),
    ]
    worth: Annotated[Number, Field(description="The smallest change that matters, in the metric's own unit.")]
    ruled_out: Annotated[
        bool | None,
        Field(
            description="Whether a harmful change as large as `worth` is ruled out; null where it moved, was not "
            "measured or is explained."
        ),
    ]


class HarmResponse(Response):
    """Whether the harm of a deployment goes on, over those of its primary metrics that are worse."""

    state: ShiftState
    metrics: tuple[str, ...]
    since: Time | None
    over_at: Time | None
    as_of: Time | None
    ended_by: str | None


class StepResponse(Response):
    """One step of the sequence in which things happened."""

    from_: Annotated[str, Field(validation_alias="cause", serialization_alias="from")]
    to: Annotated[str, Field(validation_alias="effect")]
    lag_seconds: Annotated[Seconds, Field(validation_alias="lag")]
    together: Annotated[bool, Field(description="The order cannot be told.")]
    seen_before: Count
    sentence: str


class CostResponse(Response):
    """What a deployment costs in one currency."""

    currency: str
    per_hour: MoneyResponse
    total: Annotated[MoneyResponse | None, Field(description="So far, or in all once it is over.")]
    duration_seconds: Seconds | None
    ended: bool
    as_of: Time | None
    metrics: tuple[str, ...]


class RivalResponse(Response):
    """Another deployment that may share the blame."""

    deployment_id: str
    service: str
    started_at: Time
    share_ratio: Ratio


class LookResponse(Response):
    """One planned glance at a deployment, some time after its end."""

    after_seconds: Annotated[Seconds, Field(validation_alias="after")]
    due_at: Time
    state: LookState
    attempts: Count
    done_at: Time | None
    outcome: Outcome | None
    reason: str | None
    account: Annotated[dict[str, Any], Field(description="How the answer came about.")]


class SeenBeforeResponse(Response):
    """Earlier deployments after which the same thing happened, newest first."""

    count: Count
    deployments: Annotated[tuple[str, ...], Field(validation_alias="deployment_ids")]
    scope: Literal["service", "team", "all"]


class MeasuredReport(Response):
    """A deployment and what is known by now of what it did."""

    deployment: DeploymentResponse
    outcome: Outcome
    outcome_reason: str
    outcome_source: Annotated[
        Literal["human", "rollback", "rule"] | None,
        Field(
            description="human where somebody labelled it, rollback where its sender or a remedy shows that it failed, "
            "else rule; null as long as nothing is known."
        ),
    ]
    measured_at: Time | None
    harm: HarmResponse | None
    impacts: tuple[ImpactResponse, ...]
    sequence: tuple[StepResponse, ...]
    cost_per_hour: Annotated[MoneyResponse | None, Field(description="In the first currency.")]
    costs: tuple[CostResponse, ...]
    rivals: tuple[RivalResponse, ...]
    seen_before: SeenBeforeResponse
    story: Annotated[tuple[str, ...], Field(description="Sentences.")]
    looks: tuple[LookResponse, ...]


class LevelResponse(Response):
    """The mean over the stretch that was judged, as measured and as expected without the deployment."""

    start: Time
    end: Time
    measured: float
    expected: float
    low: float
    high: float


class PointResponse(Response):
    """One instant of a series; nine of ten single values were to lie between `low` and `high`."""

    time: Time
    measured: Annotated[Number, Field(description="null where nothing was measured")]
    expected: Annotated[Number, Field(description="null before the deployment")]
    low: Number
    high: Number


class CourseResponse(Response):
    """One metric around a deployment."""

    metric: str
    verdict: Attribution | None
    onset: Time | None
    recovered_at: Time | None
    step_seconds: float
    level: Annotated[LevelResponse | None, Field(description="null where nothing could be judged")]
    points: tuple[PointResponse, ...]


class CoursesResponse(Response):
    """What each metric did around a deployment, beside what was to be expected without it."""

    deployment_id: str
    started_at: Time
    finished_at: Time | None
    measured_at: Time | None
    series: tuple[CourseResponse, ...]


def report_of(deployment: Deployment, impact: Impact | None, looks: Sequence[Look]) -> MeasuredReport:
    """The whole report. As long as nothing is measured, the outcome is unknown and the story says what is awaited."""
    measured = MeasuredDeployment(deployment=deployment, impact=impact)
    decision, known = measured.decision, measured.known
    costs = [_cost(cost) for cost in impact.costs] if impact else []
    return MeasuredReport(
        deployment=deployment,
        outcome=decision.outcome,
        outcome_reason=decision.reason if known else _awaited(deployment, looks),
        outcome_source=decision.label_source if known else None,
        measured_at=impact.measured_at if impact else None,
        harm=impact.harm if impact else None,
        impacts=impact.shifts if impact else (),
        sequence=impact.links if impact else (),
        cost_per_hour=costs[0].per_hour if costs else None,
        costs=costs,
        rivals=impact.rivals if impact else (),
        seen_before=impact.seen_before if impact else SeenBefore(),
        story=impact.story if impact else (_awaited(deployment, looks),),
        looks=looks,
    )


def courses_of(deployment: Deployment, impact: Impact | None, courses: Iterable[Trajectory]) -> CoursesResponse:
    """What each metric did around a deployment, point by point, beside what was to be expected without it."""
    shifts = {shift.metric: shift for shift in impact.shifts} if impact else {}
    return CoursesResponse(
        deployment_id=deployment.id,
        started_at=deployment.started_at,
        finished_at=deployment.finished_at,
        measured_at=impact.measured_at if impact else None,
        series=[_course(course, shifts.get(course.metric)) for course in courses],
    )


def _course(course: Trajectory, shift: Shift | None) -> CourseResponse:
    first = len(course.measured) - len(course.expected)
    points = []
    for index, measured in enumerate(course.measured):
        expected = course.expected[index - first] if index >= first else None
        points.append(
            PointResponse(
                time=course.start + index * course.step,
                measured=measured,
                expected=expected,
                low=None if expected is None else expected - course.below,
                high=None if expected is None else expected + course.above,
            )
        )
    return CourseResponse(
        metric=course.metric,
        verdict=shift.verdict if shift else None,
        onset=shift.onset if shift else None,
        recovered_at=shift.recovered_at if shift else None,
        step_seconds=course.step.total_seconds(),
        level=course.level,
        points=points,
    )


def _cost(cost: Cost) -> CostResponse:
    return CostResponse(
        currency=cost.currency,
        per_hour=MoneyResponse.of(cost.per_hour, cost.currency),
        total=MoneyResponse.of(cost.total, cost.currency),
        duration_seconds=cost.duration,
        ended=cost.ended,
        as_of=cost.as_of,
        metrics=cost.metrics,
    )


def _awaited(deployment: Deployment, looks: Sequence[Look]) -> str:
    if deployment.planned:
        return f"{deployment.name} is planned for {format_time(deployment.started_at)}; it is measured once it is done."
    failed = [look for look in looks if look.state is LookState.FAILED]
    ahead = [look for look in looks if look.state not in _ENDED]
    if ahead:
        first = ahead[0]
        why = f" It waits: {first.reason}." if first.state is LookState.WAITING and first.reason else ""
        return f"Nothing is known of {deployment.name} yet: the first look is due at {format_time(first.due_at)}.{why}"
    if failed:
        return f"Nothing is known of {deployment.name}: its looks failed, the last one with: {failed[-1].reason}."
    return f"Nothing is known of {deployment.name}: no look at it is planned."
