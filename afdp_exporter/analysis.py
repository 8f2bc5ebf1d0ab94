"""The use case after a deployment: what did it do?

An `Analyst` fetches what the question needs, has each metric judged in a worker process, and puts them together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from afdp_exporter.evidence import Evidence, Observer, Watched, gather
from afdp_exporter.impact import Finding, judge
from afdp_exporter.impact.case import Case
from afdp_exporter.impact.conclusion import conclude
from afdp_exporter.impact.peers import common_course
from afdp_exporter.impact.sequence import respond_within, stages
from afdp_exporter.impact.shift import shift_of, unknown_shift
from afdp_exporter.model import Impact, Look, Series, Shift, Window
from afdp_exporter.store import Store
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
        case = Case(
            deployment=deployment,
            metrics=tuple(each.metric for each in evidence),
            step=watched.settings.step,
            now=window.end,
            others=tuple(other for other in others if other.id != deployment.id),
            services=watched.services,
            calendar=watched.calendar,
            settings=watched.settings.impact,
        )
        question = Question(case=case, evidence=evidence)
        judged = await self.workers.run(weigh, question, deadline=watched.settings.deadline)
        return Weighed(case=case, judged=judged, account=account(question, window))

    async def conclude(self, weighed: "Weighed") -> tuple[Impact, Mapping[str, object]]:
        """The impact in the light of what earlier deployments did, and the account of how it came about."""
        case = weighed.case
        if any(shift.moved for shift in weighed.judged.shifts):  # else the past explains nothing
            case = replace(case, past=tuple(await self.store.history(before=case.deployment.started_at)))
        return together(weighed.judged, case), weighed.account


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The metrics, each judged by itself; `elsewhere` how those that moved did so at other services."""

    shifts: tuple[Shift, ...]
    elsewhere: Mapping[str, tuple[Shift, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A deployment whose metrics were judged: what is left is to put them together."""

    case: Case
    judged: Judged
    account: Mapping[str, object]


def assess(question: Question) -> Impact:
    """Answer the question: each metric by itself, then all together. Pure."""
    return together(weigh(question), question.case)


def weigh(question: Question) -> Judged:
    """Judge each metric by itself, those that may follow others after them; `past` plays no part in it. Pure."""
    case, shifts = question.case, list[Shift]()
    evidence = {each.metric.name: each for each in question.evidence}
    for metric in (metric for stage in stages(case.metrics) for metric in stage):
        shifts.append(_judged(evidence[metric.name], case, within=respond_within(metric, shifts, case)))
    moved = {shift.metric for shift in shifts if shift.moved}
    elsewhere: dict[str, tuple[Shift, ...]] = {}
    for each in question.evidence:
        for service, series in each.peers.items() if each.metric.name in moved else ():
            witness = _judged(replace(each, series=series, control=None, peers={}), case, within=None)
            elsewhere[service] = (*elsewhere.get(service, ()), witness)
    return Judged(shifts=tuple(shifts), elsewhere=elsewhere)


def together(judged: Judged, case: Case) -> Impact:
    """The impact of all metrics together, in the light of what earlier deployments did. Pure."""
    return conclude(judged.shifts, replace(case, elsewhere=judged.elsewhere))


def account(question: Question, window: Window) -> Mapping[str, object]:
    """How an answer came about: the window, and what was fetched for each metric or why it was not."""
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
            }
            for each in question.evidence
        },
        "deployments_in_history": len(question.case.others),
    }


def _judged(evidence: Evidence, case: Case, *, within: float | None) -> Shift:
    """A metric that may follow others is asked twice: for an effect of its own first, then for a late one."""
    if evidence.series is None:
        return unknown_shift(evidence.metric, evidence.problem or "nothing was fetched")
    near = _finding(evidence, evidence.series, case, within=None)
    found = near
    if within is not None and not near.attributed:
        late = _finding(evidence, evidence.series, case, within=within)
        if late.attributed or (late.verdict.moved and not near.verdict.moved):
            found = late
    return shift_of(found, evidence.metric, evidence.series.warnings)


def _finding(evidence: Evidence, series: Series, case: Case, *, within: float | None) -> Finding:
    peers = [peer.values for peer in evidence.peers.values()]
    return judge(
        series.times,
        series.values,
        case.deployment.started_at.timestamp(),
        finished_at=case.deployment.ended_at.timestamp(),
        control=evidence.control.values if evidence.control else common_course(peers),
        earlier_deployments=case.earlier,
        worse=evidence.metric.worse,
        step=case.step.total_seconds(),
        respond_within=within,
    )
