"""The use case after a deployment: what did it do?

An `Analyst` fetches what the question needs, has each metric judged in a worker process, and puts them together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from math import isfinite

import numpy as np

from afdp_exporter.detectors.noise import noise_level
from afdp_exporter.impact import Finding
from afdp_exporter.impact.assembly import ShorterWindow, assemble_impact, surviving_shifts
from afdp_exporter.impact.causal_chain import CausalPaths, respond_within, stages
from afdp_exporter.impact.common_cause import sample_controls
from afdp_exporter.impact.confounders import joint_candidates
from afdp_exporter.impact.context import AnalysisContext
from afdp_exporter.impact.looks import LONGEST_WINDOW, judged_window, shorter_windows
from afdp_exporter.impact.multiple_testing import control_fdr
from afdp_exporter.impact.recovery import Recovery, recovery
from afdp_exporter.impact.verdict import shift_of, unknown_shift
from afdp_exporter.model import Attribution, Deployment, Impact, Look, Metric, Series, Shift, Trajectory, Window
from afdp_exporter.store import Store
from afdp_exporter.store.reading import StoreReader
from afdp_exporter.watching.evidence import Cause, MetricData, MonitoringConfig, QueryObserver, gather
from afdp_exporter.watching.judging import CaseJudge

_MOST_OWN = 200  # earlier and later deployments of the service that an analysis knows: those nearest to its own
_MOST_AROUND = 100  # ... and of all services: among more that are as near, nobody could tell whose doing a change is


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
class AnalysisInput:
    """All that `assess` needs to know."""

    case: AnalysisContext
    evidence: tuple[MetricData, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyst:
    """Answers looks by what is watched at that moment: `measure` several at once, `conclude` in the order of time."""

    watched: Callable[[], MonitoringConfig]
    reader: StoreReader
    observer: QueryObserver

    async def measure(self, look: Look, now: datetime) -> "PendingAnalysis":
        """The slow part of an answer, which needs no other deployment's.

        Raises SourceUnavailable when a source is away, EngineUnavailable when what judges is: then nothing is known,
        and the look has to be made later.
        """
        watched = self.watched()
        deployment = await self.reader.store.deployments.find(look.deployment_id)
        window = Window(start=deployment.started_at - watched.settings.history, end=min(now, look.due_at))
        evidence = await gather(deployment, window, watched=watched, observer=self.observer, now=now)
        skew = max((each.skew for each in evidence), key=abs, default=timedelta(0))
        window = replace(window, end=window.end + max(skew, timedelta(0)))
        question = question_of(
            deployment,
            evidence,
            others=await self._others(deployment, window),
            now=window.end,
            watched=watched,
            before=await self._before(look, window),
        )
        judged, courses, impact = await self.reader.compute.run(
            measure_and_draw, question, deadline=self.reader.deadline(), group=deployment.service
        )
        return PendingAnalysis(
            case=question.case,
            judged=judged,
            courses=courses,
            account=audit_record(question, window, judged),
            missing=missing(evidence),
            impact=impact,
        )

    async def _others(self, deployment: Deployment, window: Window) -> list[Deployment]:
        """The deployments around it: those of its own service and environment, and those of all nearest to it."""
        near, at = self.reader.store.deployments.nearest, deployment.ended_at
        target = (deployment.service, deployment.environment)
        own = await near(window.start, window.end, at=at, limit=_MOST_OWN, target=target)
        around = await near(window.start, window.end, at=at, limit=_MOST_AROUND)
        found = {each.id: each for each in (*own, *around)}.values()
        return sorted(found, key=lambda each: (each.started_at, each.id))

    async def _before(self, look: Look, window: Window) -> Impact | None:
        """What the last check found; None for a look that is made only after a later one."""
        known = await self.reader.store.results.impact(look.deployment_id)
        return known if known is not None and known.measured_at <= window.end else None

    async def conclude(self, pending: "PendingAnalysis") -> "AnalysisResult":
        """The impact in the light of what earlier deployments did, and the account of how it came about."""
        impact = pending.impact
        if impact is None:
            impact = await self.reader.read(beside_the_past, pending.judged, pending.case)
        return AnalysisResult(
            impact=impact,
            courses=pending.courses,
            account=pending.account,
            missing=pending.missing,
        )


async def beside_the_past(store: Store, judged: "MetricVerdict", case: AnalysisContext) -> Impact:
    """The impact of metrics that moved, in the light of what earlier deployments did."""
    near = {other.id for name in judged.joint for other in joint_candidates(case, name)} - {case.deployment.id}
    reports = await store.results.impacts(tuple(near))
    past = tuple(await store.history.measured(before=case.deployment.started_at))
    return combine(judged, replace(case, past=past, known_impacts=reports))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricVerdict:
    """The metrics, each judged by itself; `elsewhere` how those that moved beside the others did so at other services.

    `answers` holds the finding on each metric that has a series, and how long after the rollout its onset could come;
    `early` is the same for shorter stretches, the longest first, where the look reaches further. `recoveries` says what
    became since of each metric that moved for longer than a while, `joint` names those that moved after several
    deployments close together and were judged once for all of them, `incomplete` those of which too little was measured
    after the deployment to say that nothing is worse.
    """

    shifts: tuple[Shift, ...]
    elsewhere: Mapping[str, tuple[Shift, ...]]
    answers: Mapping[str, tuple[Finding, float | None]]
    early: tuple["MetricVerdict", ...] = ()
    recoveries: Mapping[str, Recovery] = field(default_factory=dict)
    joint: frozenset[str] = frozenset()
    incomplete: frozenset[str] = frozenset()

    @property
    def moved(self) -> bool:
        """Whether any metric did, by itself, now or in a shorter stretch."""
        return any(shift.moved for shift in self.shifts) or any(each.moved for each in self.early)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAnalysis:
    """A deployment whose metrics were judged; `impact` is None where it also depends on what earlier ones did."""

    case: AnalysisContext
    judged: MetricVerdict
    account: Mapping[str, object]
    courses: tuple[Trajectory, ...] = ()
    missing: tuple[Missing, ...] = ()
    impact: Impact | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisResult:
    """What a look found, the courses that show it, and the account of how it came about."""

    impact: Impact
    courses: tuple[Trajectory, ...]
    account: Mapping[str, object]
    missing: tuple[Missing, ...] = ()


def question_of(
    deployment: Deployment,
    evidence: tuple[MetricData, ...],
    *,
    others: Iterable[Deployment],
    now: datetime,
    watched: MonitoringConfig,
    before: Impact | None = None,
) -> AnalysisInput:
    """What is asked about a deployment: the `others` around it, the calendar, what was found `before`. Pure."""
    case = AnalysisContext(
        deployment=deployment,
        metrics=tuple(each.metric for each in evidence),
        step=min((each.step or watched.settings.step for each in evidence), default=watched.settings.step),
        now=now,
        others=tuple(other for other in others if other.id != deployment.id and watched.knows(other.service)),
        services=watched.services,
        per_service=frozenset(each.metric.name for each in evidence if each.per_service),
        rate_windows={each.metric.name: each.smoothed_over for each in evidence if each.smoothed_over is not None},
        calendar=tuple(event for event in watched.calendar if event.concerns(deployment.service)),
        previous=before,
        clock_skew=max((each.skew for each in evidence), key=abs, default=timedelta(0)),
        zone=watched.zone,
        settings=watched.settings.impact,
    )
    return AnalysisInput(case=case, evidence=evidence)


def assess(question: AnalysisInput) -> Impact:
    """Answer the question: each metric by itself, then all together. Pure."""
    return combine(measure(question), question.case)


def measure(question: AnalysisInput) -> MetricVerdict:
    """Judge each metric by itself, those that may follow others after them; `past` plays no part in it. Pure.

    What is judged ends at the next deployment of the service, and where a metric was back.
    """
    case = judged_window(question.case)
    evidence = tuple(each.until(case.now) for each in question.evidence)
    scatter = {each.metric.name: _scatter(each.series, case) for each in evidence if each.series is not None}
    judged = _weigh(case, evidence, scatter)
    early = tuple(
        _weigh(each, tuple(one.until(each.now) for one in evidence), scatter, briefly=True)
        for each in shorter_windows(case)
    )
    judged = _jointly(replace(judged, early=early), question)
    recoveries = _recoveries(judged, question)
    return replace(_until_back(judged, recoveries, case, evidence), recoveries=recoveries)


def _jointly(judged: MetricVerdict, question: AnalysisInput) -> MetricVerdict:
    """The metrics that moved after several deployments close together, as seen from all of them alike.

    The report of each then rests on the same finding.
    """
    case, joint = question.case, dict[str, Shift]()
    for each in question.evidence:
        together = joint_candidates(case, each.metric.name)
        if len(together) < 2 or each.series is None:
            continue
        first, ended = together[0], max(one.ended_at for one in together)
        as_one = replace(case, deployment=replace(first, finished_at=ended), now=min(case.now, ended + LONGEST_WINDOW))
        until = each.until(as_one.now)
        if until.series is not None:
            finding = CaseJudge(as_one).near([until])[each.metric.name]
            if finding.verdict.moved:
                joint[each.metric.name] = shift_of(finding, each.metric, each.series.warnings)
    shifts = tuple(joint.get(shift.metric, shift) for shift in judged.shifts)
    return replace(judged, shifts=shifts, joint=frozenset(joint))


def _until_back(
    judged: MetricVerdict, recoveries: Mapping[str, Recovery], case: AnalysisContext, evidence: Sequence[MetricData]
) -> MetricVerdict:
    """The metrics that were back within the stretch, each judged anew up to then: its mean is not that of after it."""
    short, known = dict[str, MetricData](), dict[str, tuple[Metric, tuple[str, ...]]]()
    for each in evidence:
        back = recoveries.get(each.metric.name)
        if back is None or back.at is None or back.at >= case.now or each.series is None:
            continue
        if each.metric.name not in judged.joint:  # its finding is that of all deployments close together
            short[each.metric.name] = each.until(back.at - timedelta.resolution)
            known[each.metric.name] = each.metric, each.series.warnings
    judging, windows = CaseJudge(case), {name: judged.answers[name][1] for name in short}
    found = judging.late(short, judging.near([*short.values()]), windows)
    again = {name: answer for name, answer in found.items() if answer[0].verdict.moved}
    shifts = tuple(
        replace(shift_of(again[shift.metric][0], *known[shift.metric]), scatter=shift.scatter)
        if shift.metric in again
        else shift
        for shift in judged.shifts
    )
    return replace(judged, shifts=shifts, answers={**judged.answers, **again})


def _recoveries(judged: MetricVerdict, question: AnalysisInput) -> dict[str, Recovery]:
    """What became since of each metric that moved and did not come back at once, by this look or by the last one."""
    case, found = question.case, {}
    before = {shift.metric: shift for shift in (case.previous.shifts if case.previous else ())}
    for each in question.evidence:
        shift = _lasting(each.metric.name, judged, before)
        if each.series is None or shift is None or shift.change is None:
            continue
        known = recovery(
            each.series,
            onset=shift.onset or case.deployment.started_at,
            change=shift.change,
            layer=each.metric.layer,
            context=case,
            step=each.step or case.step,
        )
        if known is not None:
            found[each.metric.name] = known
    return found


def _lasting(metric: str, judged: MetricVerdict, before: Mapping[str, Shift]) -> Shift | None:
    """The lasting shift of a metric that the longest stretch shows, or that the last check found."""
    shown = (shift for each in (judged, *judged.early) for shift in each.shifts if shift.metric == metric)
    known = before.get(metric)
    found = known if known is not None and known.state is not None and known.state.found else None
    moved = (shift for shift in (*shown, found) if shift is not None and shift.moved)
    return next((shift for shift in moved if shift.verdict is not Attribution.TRANSIENT), None)


def measure_and_draw(question: AnalysisInput) -> tuple[MetricVerdict, tuple[Trajectory, ...], Impact | None]:
    """As `measure`, with each metric as it was measured around the deployment, beside what was to be expected.

    With the impact, too, where nothing moved: then the past explains nothing. Pure.
    """
    judged = measure(question)
    seen = [each for each in question.evidence if each.series is not None]
    courses = CaseJudge(question.case).drawn(seen, judged.answers)
    impact = None if judged.moved else combine(judged, question.case)
    return judged, courses, impact


def combine(judged: MetricVerdict, case: AnalysisContext) -> Impact:
    """The impact of all metrics together, beside what earlier deployments did and the last check found. Pure."""
    case = replace(case, control_shifts=judged.elsewhere, judged_jointly=judged.joint, incomplete=judged.incomplete)
    early = [
        ShorterWindow(
            after=sooner.now - sooner.deployment.ended_at,
            shifts=surviving_shifts(
                each.shifts, replace(sooner, control_shifts=each.elsewhere, judged_jointly=frozenset())
            ).shifts,
        )
        for each, sooner in zip(judged.early, shorter_windows(judged_window(case)), strict=True)
    ]
    return assemble_impact(judged.shifts, case, early, judged.recoveries)


def missing(evidence: Iterable[MetricData]) -> tuple[Missing, ...]:
    """The metrics that are worth judging again: what could not be asked, and primary ones whose samples come late."""
    return tuple(
        Missing(
            each.metric.name, each.problem or "its newest samples have not come yet",
            away=each.cause is Cause.AWAY, late=each.late,
        )
        for each in evidence
        if each.cause in {Cause.AWAY, Cause.FAILED} or (each.late is not None and each.metric.primary)
    )  # fmt: skip


def audit_record(question: AnalysisInput, window: Window, judged: MetricVerdict) -> Mapping[str, object]:
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


def _scatter(series: Series, case: AnalysisContext) -> float | None:
    """How far the values of a series strayed before the deployment."""
    return noise_level(series.values[series.times < case.deployment.started_at.timestamp()])


def _weigh(
    case: AnalysisContext,
    gathered: Sequence[MetricData],
    scatter: Mapping[str, float | None],
    *,
    briefly: bool = False,
) -> MetricVerdict:
    shifts = list[Shift]()
    judging, paths = CaseJudge(case, briefly=briefly), CausalPaths(case.metrics, case.services)
    evidence = {each.metric.name: each for each in gathered}
    near = judging.near([each for each in gathered if each.series is not None])
    answers: dict[str, tuple[Finding, float | None]] = {}
    incomplete = set[str]()
    for stage in stages(case.metrics):
        windows = {metric.name: respond_within(metric, shifts, case, paths) for metric in stage if metric.name in near}
        late = judging.late(evidence, near, windows)
        for metric in stage:
            fetched = evidence[metric.name]
            if fetched.series is None:
                shifts.append(unknown_shift(metric, fetched.problem or "nothing was fetched"))
                continue
            if (within := respond_within(metric, shifts, case, paths)) != windows[metric.name]:
                late |= judging.late(evidence, near, {metric.name: within})  # it follows one of its own stage
            answers[metric.name] = late[metric.name]
            shift = shift_of(answers[metric.name][0], metric, fetched.series.warnings)
            if (lacking := judging.lacking(shift, fetched)) is not None:
                incomplete.add(metric.name)
                also = replace(shift, reason=f"{shift.reason}; {lacking}")
                shift = also if shift.moved else unknown_shift(metric, lacking)
            shifts.append(replace(shift, scatter=scatter[metric.name]))
    moved = [shift for shift in control_fdr(shifts, case.settings.false_discovery_ratio) if shift.moved]
    watched = dict.fromkeys(service for shift in moved for service in evidence[shift.metric].peers)
    asked = [shift for shift in moved if evidence[shift.metric].peers]
    heard = sample_controls(asked, watched, partial(judging.witnesses, evidence), case.step)
    elsewhere = {service: tuple(each[service] for each in heard if service in each) for service in watched}
    return MetricVerdict(shifts=tuple(shifts), elsewhere=elsewhere, answers=answers, incomplete=frozenset(incomplete))
