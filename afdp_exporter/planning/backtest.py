"""The use case for the past: history walked in order of time, each deployment predicted and then measured.

Prequential (Dawid 1984): at every moment only what had been measured by then is learned from, and an analysis sees
series and deployments up to its own time only.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from afdp_exporter.compute import ComputePool
from afdp_exporter.impact.placebo_test import FalseAlarms
from afdp_exporter.model import (
    Deployment,
    Look,
    LookState,
    MeasuredDeployment,
    Pattern,
    Prediction,
    ScoredPrediction,
    Status,
    Window,
)
from afdp_exporter.patterns import Model
from afdp_exporter.planning.calibration import scoreboard_json
from afdp_exporter.planning.forecast import (
    as_planned,
    learn,
    patterns_of,
    predict_deployment,
    rank,
    recent,
    training_examples,
    usual_of,
)
from afdp_exporter.planning.outlook import PatternResponse, WindowsResponse, prediction_of
from afdp_exporter.planning.plans import Plans
from afdp_exporter.responses import number_json
from afdp_exporter.watching.analysis import PendingAnalysis, audit_record, combine, measure, question_of
from afdp_exporter.watching.evidence import MonitoringConfig, NullObserver, gather
from afdp_exporter.watching.placebo_runs import false_alarms_by_metric
from afdp_exporter.watching.report import DeploymentResponse, report_of
from afdp_exporter.watching.watch import Schedule, schedule_looks

Line: TypeAlias = Mapping[str, Any]

_DEADLINE = timedelta(minutes=10)  # of one analysis: nobody waits for it, and a busy machine must not end a long walk
_EARLY = timedelta(hours=1)  # the look from which deployments of the same day are learned from
_GROWN = 1.05  # patterns are mined anew when so many more deployments are measured
_WEEK = 168  # hours


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestData:
    """What is walked: the deployments, oldest first, and what is watched and known, up to `end`."""

    deployments: tuple[Deployment, ...]
    end: datetime
    watched: MonitoringConfig
    plans: Plans
    schedule: Schedule = Schedule()


async def walk(history: BacktestData, *, compute: ComputePool, report: Callable[[Line], None]) -> None:
    """Report a line for each deployment, in their order, and one for all of them. Raises SourceError, AnalysisError."""
    try:
        async with asyncio.TaskGroup() as group:
            await _Walk(history, compute).run(group, report)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


class _Walk:
    """What is known so far. The slow part of all looks runs ahead in the workers: nothing learned enters it."""

    def __init__(self, history: BacktestData, compute: ComputePool) -> None:
        self._history = history
        self._compute = compute
        self._starts = [each.started_at for each in history.deployments]
        self._longest = max((each.ended_at - each.started_at for each in history.deployments), default=timedelta(0))
        self._ahead = asyncio.Semaphore(2 * history.watched.settings.workers)
        self._looks = {each.id: _looks(each, history) for each in history.deployments}
        self._predictions: dict[str, Prediction] = {}
        self._measured: dict[str, MeasuredDeployment] = {}
        self._news: dict[str, int] = {}  # by service, how many impacts were measured so far
        self._models: dict[tuple[str, str | None], tuple[int, Model]] = {}
        self._patterns: tuple[int, tuple[Pattern, ...]] = (0, ())

    async def run(self, group: asyncio.TaskGroup, report: Callable[[Line], None]) -> None:
        """Everything that happened, in order: looks first where a deployment starts at the same moment."""
        deployments = self._history.deployments
        looks = sorted(
            ((each, place, look) for each in deployments for place, look in self._due(each)),
            key=lambda entry: (entry[2].due_at, entry[0].started_at, entry[0].id),
        )
        measuring = [group.create_task(self._judge(each, look)) for each, _, look in looks]
        moments = [(look.due_at, 0, number) for number, (_, _, look) in enumerate(looks)]
        moments += [(each.started_at, 1, number) for number, each in enumerate(deployments)]
        done = 0
        for _, starts, number in sorted(moments):
            if starts:
                await self._predict(deployments[number])
            else:
                each, place, look = looks[number]
                self._measure(each, place, look, await measuring[number])
            while done < len(deployments) and self._is_over(deployments[done]):
                report(self._line(deployments[done]))
                done += 1
        report(await self._last())

    def _due(self, deployment: Deployment) -> list[tuple[int, Look]]:
        looks = enumerate(self._looks[deployment.id])
        until = _made_until(deployment, self._history)
        return [(place, look) for place, look in looks if look.due_at <= until]

    def _is_over(self, deployment: Deployment) -> bool:
        done = all(self._looks[deployment.id][place].state is LookState.DONE for place, _ in self._due(deployment))
        return done and deployment.id in self._predictions

    async def _judge(self, deployment: Deployment, look: Look) -> PendingAnalysis:
        """The part of an analysis that needs nothing but series and the deployments around."""
        watched = self._history.watched
        async with self._ahead:
            window = Window(start=deployment.started_at - watched.settings.history, end=look.due_at)
            evidence = await gather(deployment, window, watched=watched, observer=NullObserver(), now=window.end)
            others = self._between(window)
            question = question_of(deployment, evidence, others=others, now=window.end, watched=watched)
            judged = await self._compute.run(
                measure, question, deadline=_DEADLINE, group=question.case.deployment.service
            )
        return PendingAnalysis(case=question.case, judged=judged, account=audit_record(question, window, judged))

    def _between(self, window: Window) -> list[Deployment]:
        """The deployments whose rollout touches the window, as they were known at its end."""
        first = bisect_right(self._starts, window.start - self._longest - timedelta.resolution)
        started = self._history.deployments[first : bisect_right(self._starts, window.end)]
        return [_as_of(each, window.end) for each in started if each.ended_at >= window.start]

    def _measure(self, deployment: Deployment, place: int, look: Look, pending: PendingAnalysis) -> None:
        past = tuple(self._known(before=deployment.started_at))
        known = self._measured.get(deployment.id)
        before = known.impact if known else None
        impact = combine(pending.judged, replace(pending.case, past=past, previous=before))
        done = replace(look, state=LookState.DONE, done_at=look.due_at, outcome=impact.outcome, account=pending.account)
        self._looks[deployment.id][place] = done
        self._measured[deployment.id] = MeasuredDeployment(deployment=deployment, impact=impact)
        self._news[deployment.service] = self._news.get(deployment.service, 0) + 1

    def _known(self, before: datetime) -> list[MeasuredDeployment]:
        """The newest measured deployments that ended before an instant, oldest first."""
        ended = [each for each in self._measured.values() if each.deployment.ended_at < before]
        ended.sort(key=lambda each: (each.deployment.ended_at, each.deployment.id))
        return ended[-self._history.plans.settings.cases :]

    async def _predict(self, deployment: Deployment) -> None:
        at = deployment.started_at
        planned = as_planned(deployment)
        known = self._known(before=at)
        model = await self._model(planned.service, self._history.plans.team_of(planned), known, at)
        patterns = await self._mined(known, at)
        around = self._around(planned, at)
        calendar = self._history.plans.calendar(at)
        self._predictions[deployment.id] = predict_deployment(model, planned, around, calendar, patterns)

    def _around(self, planned: Deployment, at: datetime) -> list[MeasuredDeployment]:
        """The deployments that make the moment: the service's own, and what may be under way elsewhere."""
        before = self._history.deployments[: bisect_right(self._starts, at)]
        running = {each.id for each in recent(before, at)}
        near = [each for each in before if each.service == planned.service or each.id in running]
        others = (_as_of(each, at) for each in near if each.id != planned.id)
        return [self._measured.get(each.id, MeasuredDeployment(deployment=each)) for each in others]

    async def _model(self, service: str, team: str | None, known: Sequence[MeasuredDeployment], at: datetime) -> Model:
        """What was learned for a service, learned anew when it was measured since, or taken from others' history."""
        news = self._news.get(service, 0) or -sum(self._news.values())
        learned_with, model = self._models.get((service, team), (None, None))
        if model is None or learned_with != news:
            arguments = (known, self._history.plans.calendar(at), service, team, at)
            model = await self._learned(learn, *arguments)
            self._models[service, team] = (news, model)
        return model

    async def _mined(self, known: Sequence[MeasuredDeployment], at: datetime) -> tuple[Pattern, ...]:
        n, patterns = self._patterns
        if len(known) > n * _GROWN:
            patterns = await self._learned(patterns_of, known, self._history.plans.calendar(at))
            self._patterns = (len(known), patterns)
        return patterns

    async def _learned(self, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - the function's own
        return await self._compute.run(function, *arguments, deadline=self._history.plans.settings.deadline)

    def _line(self, deployment: Deployment) -> Line:
        measured = self._measured.get(deployment.id)
        planned = DeploymentResponse.model_validate(as_planned(deployment))
        prediction = prediction_of(self._predictions[deployment.id], planned)
        report = report_of(deployment, measured.impact if measured else None, self._looks[deployment.id])
        return {
            "deployment": DeploymentResponse.model_validate(deployment).as_json(),
            "prediction": prediction.as_json(),
            "report": report.as_json(),
        }

    async def _last(self) -> Line:
        end, plans = self._history.end, self._history.plans
        known = self._known(before=end)
        calendar = plans.calendar(end)
        cases = training_examples(tuple(self._measured.values()), calendar)
        scored = [
            ScoredPrediction(
                prediction=self._predictions[case.deployment.id], deployment=case.deployment, impact=case.impact
            )
            for case in cases
        ]
        windows = {}
        for service in sorted({each.service for each in self._history.deployments}):
            model = await self._learned(learn, known, calendar, service, plans.teams.get(service), end)
            around = self._around(usual_of(service, (), end), end)
            delay = plans.settings.delay_cost_per_hour
            ranked = rank(model, _WEEK, calendar, end, around, delay_cost_per_hour=delay)
            windows[service] = WindowsResponse.model_validate(ranked).as_json()
        patterns = await self._learned(patterns_of, known, calendar)
        alarms = await self._false_alarms()
        return {
            "scoreboard": scoreboard_json(scored) | {"false_alarms": alarms},
            "patterns": [PatternResponse.model_validate(each).as_json() for each in patterns],
            "windows": windows,
        }

    async def _false_alarms(self) -> Line:
        """How many placebo deployments were blamed, for each metric and in all; null where none could be judged."""
        known, end = self._history.deployments, self._history.end
        places = sorted({(each.service, each.environment) for each in known})
        found = await false_alarms_by_metric(self._history.watched, places, known, compute=self._compute, now=end)
        every = FalseAlarms(count=sum(each.count for each in found.values()), n=sum(each.n for each in found.values()))
        by_metric = {name: _alarms_json(found[name]) for name in sorted(found)}
        return _alarms_json(every) | {"metrics": by_metric}


def _looks(deployment: Deployment, history: BacktestData) -> list[Look]:
    """An early look and the last one that is made, then those that would have come after it."""
    looks = schedule_looks(deployment, history.schedule, deployment.started_at)
    until = _made_until(deployment, history)
    made = [look for look in looks if look.due_at <= until]
    early = [look for look in made if look.after <= _EARLY]
    seen = [look for look in made if look.due_at <= history.end]
    chosen = {look.after: look for look in (*early[-1:], *seen[-1:])}
    return [*sorted(chosen.values(), key=lambda look: look.after), *(look for look in looks if look.due_at > until)]


def _made_until(deployment: Deployment, history: BacktestData) -> datetime:
    """Up to when looks are made: the end of the history, or the first hour of a deployment that it saw end.

    Series that stop within that hour are missing data, which the looks that lie before say nothing of.
    """
    return max(history.end, deployment.ended_at + _EARLY) if deployment.ended_at < history.end else history.end


def _as_of(deployment: Deployment, at: datetime) -> Deployment:
    """A deployment as it was known at a moment: how a rollout under way will end is not."""
    if deployment.ended_at <= at:
        return deployment
    return replace(deployment, status=Status.STARTED, finished_at=None)


def _alarms_json(alarms: FalseAlarms) -> dict[str, Any]:
    return {"count": alarms.count, "n": alarms.n, "ratio": number_json(alarms.ratio)}
