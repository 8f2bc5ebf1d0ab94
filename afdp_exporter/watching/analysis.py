"""The use case after a deployment: what did it do?

An `Analyst` fetches what the question needs, has each metric judged in a worker process, and puts them together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from math import isfinite
from typing import Any

from afdp_exporter.impact import Finding, judge
from afdp_exporter.impact.case import Case
from afdp_exporter.impact.conclusion import conclude, standing
from afdp_exporter.impact.course import course
from afdp_exporter.impact.family import settle
from afdp_exporter.impact.first_hour import first_hour
from afdp_exporter.impact.peers import common_course
from afdp_exporter.impact.sequence import respond_within, stages
from afdp_exporter.impact.shift import shift_of, unknown_shift
from afdp_exporter.impact.shock import hear_witnesses
from afdp_exporter.model import Course, Deployment, Impact, Look, Series, Shift, Window
from afdp_exporter.store import Store
from afdp_exporter.watching.evidence import Evidence, Observer, Watched, gather
from afdp_exporter.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """All that `assess` needs to know."""

    case: Case
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyst:
    """Answers looks by what is watched at that moment: `weigh` several at once, `conclude` in the order of time."""

    watched: Callable[[], Watched]
    store: Store
    workers: Workers
    observer: Observer

    async def weigh(self, look: Look, now: datetime) -> "Weighed":
        """The slow part of an answer, which needs no other deployment's.

        Raises SourceUnavailable when a source is away: then nothing is known, and the look has to be made later.
        """
        watched = self.watched()
        deployment = await self.store.deployment(look.deployment_id)
        window = Window(start=deployment.started_at - watched.settings.history, end=min(now, look.due_at))
        evidence = await gather(deployment, window, watched=watched, observer=self.observer)
        others = await self.store.between(window.start, window.end)
        question = question_of(deployment, evidence, others=others, now=window.end, watched=watched)
        judged, courses = await self.workers.run(weigh_and_draw, question, deadline=watched.settings.deadline)
        return Weighed(case=question.case, judged=judged, courses=courses, account=account(question, window, judged))

    async def conclude(self, weighed: "Weighed") -> "Answer":
        """The impact in the light of what earlier deployments did, and the account of how it came about."""
        case = weighed.case
        if weighed.judged.moved:  # else the past explains nothing
            case = replace(case, past=tuple(await self.store.history(before=case.deployment.started_at)))
        return Answer(impact=together(weighed.judged, case), courses=weighed.courses, account=weighed.account)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The metrics, each judged by itself; `elsewhere` how those that moved beside the others did so at other services.

    `answers` holds the finding on each metric that has a series, and how long after the rollout its onset could come;
    `early` is the same for the first hour alone, where the look reaches further.
    """

    shifts: tuple[Shift, ...]
    elsewhere: Mapping[str, tuple[Shift, ...]]
    answers: Mapping[str, tuple[Finding, float | None]]
    early: "Judged | None" = None

    @property
    def moved(self) -> bool:
        """Whether any metric did, by itself, now or in the first hour."""
        return any(shift.moved for shift in self.shifts) or (self.early is not None and self.early.moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A deployment whose metrics were judged: what is left is to put them together."""

    case: Case
    judged: Judged
    account: Mapping[str, object]
    courses: tuple[Course, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a look found, the courses that show it, and the account of how it came about."""

    impact: Impact
    courses: tuple[Course, ...]
    account: Mapping[str, object]


def question_of(
    deployment: Deployment,
    evidence: tuple[Evidence, ...],
    *,
    others: Iterable[Deployment],
    now: datetime,
    watched: Watched,
) -> Question:
    """What is asked about a deployment: with `others` around it, and what the calendar holds for its service. Pure."""
    case = Case(
        deployment=deployment,
        metrics=tuple(each.metric for each in evidence),
        step=min((each.step or watched.settings.step for each in evidence), default=watched.settings.step),
        now=now,
        others=tuple(other for other in others if other.id != deployment.id and watched.knows(other.service)),
        services=watched.services,
        calendar=tuple(event for event in watched.calendar if event.concerns(deployment.service)),
        settings=watched.settings.impact,
    )
    return Question(case=case, evidence=evidence)


def assess(question: Question) -> Impact:
    """Answer the question: each metric by itself, then all together. Pure."""
    return together(weigh(question), question.case)


def weigh(question: Question) -> Judged:
    """Judge each metric by itself, those that may follow others after them; `past` plays no part in it. Pure."""
    judged = _weigh(question.case, question.evidence)
    sooner = first_hour(question.case)
    if sooner is None:
        return judged
    return replace(judged, early=_weigh(sooner, tuple(each.until(sooner.now) for each in question.evidence)))


def weigh_and_draw(question: Question) -> tuple[Judged, tuple[Course, ...]]:
    """As `weigh`, with each metric as it was measured around the deployment, beside what was to be expected. Pure."""
    judged, courses = weigh(question), []
    asking = _Asking(question.case)
    for each in question.evidence:
        if each.series is not None:
            finding, within = judged.answers[each.metric.name]
            told = {**asking.of(each), "respond_within": within}
            courses.append(course(finding, each.metric.name, each.series.times, each.series.values, **told))
    return judged, tuple(drawn for drawn in courses if drawn is not None)


def together(judged: Judged, case: Case) -> Impact:
    """The impact of all metrics together, in the light of what earlier deployments did. Pure."""
    early, sooner = judged.early, first_hour(case)
    stood = standing(early.shifts, replace(sooner, elsewhere=early.elsewhere)).shifts if early and sooner else ()
    return conclude(judged.shifts, replace(case, elsewhere=judged.elsewhere), stood)


def account(question: Question, window: Window, judged: Judged) -> Mapping[str, object]:
    """How an answer came about: the window, what was fetched for each metric or why not, and what was made of it."""
    return {
        "window": {"start": window.start.isoformat(), "end": window.end.isoformat()},
        "step_seconds": question.case.step.total_seconds(),
        "metrics": {
            each.metric.name: {
                "points": 0 if each.series is None else each.series.measured,
                "control": "none" if each.control is None else "configured",
                "witnesses": sorted(each.peers),
                "warnings": [] if each.series is None else list(each.series.warnings),
                "problem": each.problem,
                "judged": _figures(judged.answers.get(each.metric.name)),
            }
            for each in question.evidence
        },
        "deployments_in_history": len(question.case.others),
    }


def _figures(answer: tuple[Finding, float | None] | None) -> Mapping[str, object]:
    if answer is None:
        return {}
    finding, _ = answer
    own = {"verdict": finding.verdict.value, "p_value": finding.p_value, "points_before": finding.n_history}
    figures = own | dict(finding.account)
    return {name: value for name, value in figures.items() if not isinstance(value, float) or isfinite(value)}


def _weigh(case: Case, gathered: Sequence[Evidence]) -> Judged:
    shifts = list[Shift]()
    asking = _Asking(case)
    evidence = {each.metric.name: each for each in gathered}
    answers: dict[str, tuple[Finding, float | None]] = {}
    for metric in (metric for stage in stages(case.metrics) for metric in stage):
        told = evidence[metric.name]
        if told.series is None:
            shifts.append(unknown_shift(metric, told.problem or "nothing was fetched"))
            continue
        answers[metric.name] = asking.judged(told, told.series, within=respond_within(metric, shifts, case))
        shifts.append(shift_of(answers[metric.name][0], metric, told.series.warnings))
    moved = [shift for shift in settle(shifts, case.settings.false_discovery_ratio) if shift.moved]
    watched = dict.fromkeys(service for shift in moved for service in evidence[shift.metric].peers)
    heard = [
        hear_witnesses(shift, watched, partial(asking.witness, evidence[shift.metric]), case.step)
        for shift in moved
        if evidence[shift.metric].peers
    ]
    elsewhere = {service: tuple(each[service] for each in heard if service in each) for service in watched}
    return Judged(shifts=tuple(shifts), elsewhere=elsewhere, answers=answers)


class _Asking:
    """The judgements of one case: what all series are asked alike is made ready once."""

    def __init__(self, case: Case) -> None:
        self._alike = {
            "deployed_at": case.deployment.started_at.timestamp(),
            "finished_at": case.deployment.ended_at.timestamp(),
            "earlier_deployments": case.earlier,
        }
        self._step = case.step

    def of(self, evidence: Evidence) -> dict[str, Any]:
        """What the judgement of a series and the drawing of its course are told."""
        peers = [peer.values for peer in evidence.peers.values()]
        return {
            **self._alike,
            "step": (evidence.step or self._step).total_seconds(),
            "control": evidence.control.values if evidence.control else common_course(peers),
        }

    def judged(self, evidence: Evidence, series: Series, *, within: float | None) -> tuple[Finding, float | None]:
        """A metric that may follow others is asked twice: for an effect of its own first, then for a late one."""
        told = {"worse": evidence.metric.worse, **self.of(evidence)}
        near = judge(series.times, series.values, **told)
        if within is not None and not near.attributed:
            late = judge(series.times, series.values, respond_within=within, **told)
            if late.attributed or (late.verdict.moved and not near.verdict.moved):
                return late, within
        return near, None

    def witness(self, evidence: Evidence, service: str) -> Shift | None:
        """What another service's series of a metric did; None where it has none."""
        series = evidence.peers.get(service)
        if series is None:
            return None
        finding, _ = self.judged(replace(evidence, series=series, control=None, peers={}), series, within=None)
        return shift_of(finding, evidence.metric, series.warnings)
