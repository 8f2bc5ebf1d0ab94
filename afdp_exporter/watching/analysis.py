"""The use case after a deployment: what did it do?

An `Analyst` fetches what the question needs, has each metric judged in a worker process, and puts them together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import isfinite
from typing import Any

import numpy as np

from afdp_exporter.detectors.scatter import usual_scatter
from afdp_exporter.impact import Finding, judge
from afdp_exporter.impact.case import Case
from afdp_exporter.impact.conclusion import Early, conclude, standing
from afdp_exporter.impact.course import course
from afdp_exporter.impact.family import settle
from afdp_exporter.impact.gaps import missing_after
from afdp_exporter.impact.horizons import LONGEST, as_judged, earlier
from afdp_exporter.impact.peers import common_course
from afdp_exporter.impact.recovery import Recovery, recovery
from afdp_exporter.impact.rivals import row
from afdp_exporter.impact.sequence import respond_within, stages
from afdp_exporter.impact.shift import shift_of, unknown_shift
from afdp_exporter.impact.shock import hear_witnesses
from afdp_exporter.model import Attribution, Course, Deployment, Impact, Look, Series, Shift, Window
from afdp_exporter.store import Store
from afdp_exporter.watching.evidence import Cause, Evidence, Observer, Watched, gather
from afdp_exporter.workers import Workers


@dataclass(frozen=True, slots=True)
class Missing:
    """A metric of which more may be known later: `away` where its source answers nothing at all.

    `late` is how long to wait for samples that are on their way.
    """

    metric: str
    reason: str
    away: bool
    late: timedelta | None = None


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
        evidence = await gather(deployment, window, watched=watched, observer=self.observer, now=now)
        skew = max((each.skew for each in evidence), key=abs, default=timedelta(0))
        window = replace(window, end=window.end + max(skew, timedelta(0)))
        others = await self.store.between(window.start, window.end)
        question = question_of(
            deployment,
            evidence,
            others=others,
            now=window.end,
            watched=watched,
            before=await self._before(look, window),
        )
        judged, courses = await self.workers.run(weigh_and_draw, question, deadline=watched.settings.deadline)
        told = account(question, window, judged)
        return Weighed(case=question.case, judged=judged, courses=courses, account=told, missing=missing(evidence))

    async def _before(self, look: Look, window: Window) -> Impact | None:
        """What the last check found; None for a look that is made only after a later one."""
        known = await self.store.impact(look.deployment_id)
        return known if known is not None and known.measured_at <= window.end else None

    async def conclude(self, weighed: "Weighed") -> "Answer":
        """The impact in the light of what earlier deployments did, and the account of how it came about."""
        case = weighed.case
        if weighed.judged.moved:  # else the past explains nothing
            near = {other.id for name in weighed.judged.joint for other in row(case, name)} - {case.deployment.id}
            reports = await self.store.impacts(tuple(near))
            past = tuple(await self.store.history(before=case.deployment.started_at))
            case = replace(case, past=past, reports=reports)
        return Answer(
            impact=together(weighed.judged, case),
            courses=weighed.courses,
            account=weighed.account,
            missing=weighed.missing,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The metrics, each judged by itself; `elsewhere` how those that moved beside the others did so at other services.

    `answers` holds the finding on each metric that has a series, and how long after the rollout its onset could come;
    `early` is the same for shorter stretches, the longest first, where the look reaches further. `recoveries` says what
    became since of each metric that moved for longer than a while, `joint` names those that moved after several
    deployments close together and were judged once for all of them.
    """

    shifts: tuple[Shift, ...]
    elsewhere: Mapping[str, tuple[Shift, ...]]
    answers: Mapping[str, tuple[Finding, float | None]]
    early: tuple["Judged", ...] = ()
    recoveries: Mapping[str, Recovery] = field(default_factory=dict)
    joint: frozenset[str] = frozenset()

    @property
    def moved(self) -> bool:
        """Whether any metric did, by itself, now or in a shorter stretch."""
        return any(shift.moved for shift in self.shifts) or any(each.moved for each in self.early)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A deployment whose metrics were judged: what is left is to put them together."""

    case: Case
    judged: Judged
    account: Mapping[str, object]
    courses: tuple[Course, ...] = ()
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a look found, the courses that show it, and the account of how it came about."""

    impact: Impact
    courses: tuple[Course, ...]
    account: Mapping[str, object]
    missing: tuple[Missing, ...] = ()


def question_of(
    deployment: Deployment,
    evidence: tuple[Evidence, ...],
    *,
    others: Iterable[Deployment],
    now: datetime,
    watched: Watched,
    before: Impact | None = None,
) -> Question:
    """What is asked about a deployment: the `others` around it, the calendar, what was found `before`. Pure."""
    case = Case(
        deployment=deployment,
        metrics=tuple(each.metric for each in evidence),
        step=min((each.step or watched.settings.step for each in evidence), default=watched.settings.step),
        now=now,
        others=tuple(other for other in others if other.id != deployment.id and watched.knows(other.service)),
        services=watched.services,
        per_service=frozenset(each.metric.name for each in evidence if each.per_service),
        smoothed={each.metric.name: each.smoothed_over for each in evidence if each.smoothed_over is not None},
        calendar=tuple(event for event in watched.calendar if event.concerns(deployment.service)),
        before=before,
        skew=max((each.skew for each in evidence), key=abs, default=timedelta(0)),
        zone=watched.zone,
        settings=watched.settings.impact,
    )
    return Question(case=case, evidence=evidence)


def assess(question: Question) -> Impact:
    """Answer the question: each metric by itself, then all together. Pure."""
    return together(weigh(question), question.case)


def weigh(question: Question) -> Judged:
    """Judge each metric by itself, those that may follow others after them; `past` plays no part in it. Pure.

    What is judged ends at the next deployment of the service, and where a metric was back.
    """
    case = as_judged(question.case)
    evidence = tuple(each.until(case.now) for each in question.evidence)
    judged = _weigh(case, evidence)
    early = tuple(_weigh(each, tuple(one.until(each.now) for one in evidence)) for each in earlier(case))
    judged = _jointly(replace(judged, early=early), question)
    recoveries = _recoveries(judged, question)
    return replace(_until_back(judged, recoveries, case, evidence), recoveries=recoveries)


def _jointly(judged: Judged, question: Question) -> Judged:
    """The metrics that moved after several deployments close together, as seen from all of them alike.

    The report of each then rests on the same finding.
    """
    case, joint = question.case, dict[str, Shift]()
    for each in question.evidence:
        together = row(case, each.metric.name)
        if len(together) < 2 or each.series is None:
            continue
        first, ended = together[0], max(one.ended_at for one in together)
        as_one = replace(case, deployment=replace(first, finished_at=ended), now=min(case.now, ended + LONGEST))
        until = each.until(as_one.now)
        if until.series is not None:
            finding, _ = _Asking(as_one).judged(until, until.series, within=None)
            if finding.verdict.moved:
                joint[each.metric.name] = shift_of(finding, each.metric, each.series.warnings)
    shifts = tuple(joint.get(shift.metric, shift) for shift in judged.shifts)
    return replace(judged, shifts=shifts, joint=frozenset(joint))


def _until_back(judged: Judged, recoveries: Mapping[str, Recovery], case: Case, evidence: Sequence[Evidence]) -> Judged:
    """The metrics that were back within the stretch, each judged anew up to then: its mean is not that of after it."""
    asking, again = _Asking(case), dict[str, tuple[Finding, float | None]]()
    shifts = {shift.metric: shift for shift in judged.shifts}
    for each in evidence:
        back = recoveries.get(each.metric.name)
        if back is None or back.at is None or back.at >= case.now or each.series is None:
            continue
        if each.metric.name in judged.joint:
            continue  # its finding is that of all deployments close together
        short = each.until(back.at - timedelta.resolution)
        if short.series is None:
            continue
        answer = asking.judged(short, short.series, within=judged.answers[each.metric.name][1])
        if answer[0].verdict.moved:
            again[each.metric.name] = answer
            known = shift_of(answer[0], each.metric, each.series.warnings)
            shifts[each.metric.name] = replace(known, scatter=shifts[each.metric.name].scatter)
    return replace(judged, shifts=tuple(shifts.values()), answers={**judged.answers, **again})


def _recoveries(judged: Judged, question: Question) -> dict[str, Recovery]:
    """What became since of each metric that moved and did not come back at once, by this look or by the last one."""
    case, found = question.case, {}
    before = {shift.metric: shift for shift in (case.before.shifts if case.before else ())}
    for each in question.evidence:
        shift = _lasting(each.metric.name, judged, before)
        if each.series is None or shift is None or shift.change is None:
            continue
        known = recovery(
            each.series,
            onset=shift.onset or case.deployment.started_at,
            change=shift.change,
            layer=each.metric.layer,
            case=case,
            step=each.step or case.step,
        )
        if known is not None:
            found[each.metric.name] = known
    return found


def _lasting(metric: str, judged: Judged, before: Mapping[str, Shift]) -> Shift | None:
    """The lasting shift of a metric that the longest stretch shows, or that the last check found."""
    shown = (shift for each in (judged, *judged.early) for shift in each.shifts if shift.metric == metric)
    known = before.get(metric)
    found = known if known is not None and known.state is not None and known.state.found else None
    moved = (shift for shift in (*shown, found) if shift is not None and shift.moved)
    return next((shift for shift in moved if shift.verdict is not Attribution.TRANSIENT), None)


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
    """The impact of all metrics together, beside what earlier deployments did and the last check found. Pure."""
    case = replace(case, elsewhere=judged.elsewhere, joint=judged.joint)
    early = [
        Early(
            after=sooner.now - sooner.deployment.ended_at,
            shifts=standing(each.shifts, replace(sooner, elsewhere=each.elsewhere, joint=frozenset())).shifts,
        )
        for each, sooner in zip(judged.early, earlier(as_judged(case)), strict=True)
    ]
    return conclude(judged.shifts, case, early, judged.recoveries)


def missing(evidence: Iterable[Evidence]) -> tuple[Missing, ...]:
    """The metrics that are worth asking again: what could not be asked, and primary ones whose samples come late."""
    return tuple(
        Missing(
            each.metric.name, each.problem or "its newest samples have not come yet",
            away=each.cause is Cause.AWAY, late=each.late,
        )
        for each in evidence
        if each.cause in {Cause.AWAY, Cause.FAILED} or (each.late is not None and each.metric.primary)
    )  # fmt: skip


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
                "notes": [] if each.series is None else list(each.series.notes),
                "problem": each.problem,
                "newest": None if each.series is None else _newest(each.series),
                "judged": _figures(judged.answers.get(each.metric.name)),
            }
            for each in question.evidence
        },
        "deployments_in_history": len(question.case.others),
    }


def _newest(series: Series) -> str | None:
    """When the newest sample is of."""
    known = series.times[np.isfinite(series.values)]
    return datetime.fromtimestamp(float(known[-1]), UTC).isoformat() if len(known) else None


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
        shift = asking.as_far_as_measured(
            shift_of(answers[metric.name][0], metric, told.series.warnings), told, told.series
        )
        shifts.append(replace(shift, scatter=asking.scatter(told.series)))
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
        self._deployed, self._until = case.deployment.started_at, case.now
        self._deployed_at = self._deployed.timestamp()
        self._alike = {
            "deployed_at": self._deployed_at,
            "finished_at": case.deployment.ended_at.timestamp(),
            "earlier_deployments": case.earlier,
            "time_zone": case.zone,
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
        window = evidence.rate_window
        told = {
            "worse": evidence.metric.worse,
            "rate_window": None if window is None else window.total_seconds(),
            **self.of(evidence),
        }
        near = judge(series.times, series.values, **told)
        if within is not None and not near.attributed:
            late = judge(series.times, series.values, respond_within=within, **told)
            if late.attributed or (late.verdict.moved and not near.verdict.moved):
                return late, within
        return near, None

    def as_far_as_measured(self, shift: Shift, evidence: Evidence, series: Series) -> Shift:
        """The shift, unknown where too little was measured after the deployment to say that there is none."""
        if shift.moved or shift.verdict not in {Attribution.NO_EFFECT, Attribution.INCONCLUSIVE}:
            return shift
        if shift.verdict is Attribution.INCONCLUSIVE and shift.change is None:
            return shift
        step = evidence.step or self._step
        reason = missing_after(series.times, series.values, self._deployed, self._until, step)
        return shift if reason is None else unknown_shift(evidence.metric, reason)

    def scatter(self, series: Series) -> float | None:
        """How far the values of a series strayed before the deployment."""
        return usual_scatter(series.values[series.times < self._deployed_at])

    def witness(self, evidence: Evidence, service: str) -> Shift | None:
        """What another service's series of a metric did; None where it has none."""
        series = evidence.peers.get(service)
        if series is None:
            return None
        finding, _ = self.judged(replace(evidence, series=series, control=None, peers={}), series, within=None)
        return shift_of(finding, evidence.metric, series.warnings)
