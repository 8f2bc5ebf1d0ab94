"""Deployments, their history and what was found of them, in memory."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import TypeAdapter

from afdp_exporter.errors import NotFound, StoreError
from afdp_exporter.model import (
    Announcement,
    CommitChange,
    Deployment,
    Impact,
    Look,
    MeasuredDeployment,
    MeasuredSummary,
    Outcome,
    Prediction,
    ScoredPrediction,
    Trajectory,
)
from afdp_exporter.store import Amendment, Announced, Arrival, Assemble, Overview, Page, Recorded
from afdp_exporter.store.described import described_by, undescribed, united
from afdp_exporter.store.exactness import check_storable, refuse_unstorable
from afdp_exporter.store.follow_ups import PREDICTION
from afdp_exporter.store.memory.data import EPOCH, Data, check_look, place
from afdp_exporter.store.nearness import nearest_to

_announcement = TypeAdapter(Announcement)


class MemoryDeployments:
    """A `DeploymentStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    async def record(self, deployment: Deployment, looks: tuple[Look, ...], *, key: str | None = None) -> Recorded:
        self._data.check_held()
        check_storable(deployment)
        data = self._data
        known = data.deployments.get(data.keys.get(key or "", deployment.id))
        if known is None:
            data.put(deployment)
            data.plan(looks)
        stored = known or deployment
        if key is not None:
            data.keys.setdefault(key, stored.id)
        return Recorded(deployment=stored, created=known is None)

    async def amend(self, deployment_id: str, change: Callable[[Deployment], Amendment]) -> Deployment:
        self._data.check_held()
        amendment = change(await self.find(deployment_id))
        check_storable(amendment.deployment)
        for look in amendment.looks or ():
            check_look(look)
        self._data.put(amendment.deployment)
        if amendment.looks is not None:
            self._data.plan_anew(deployment_id, amendment.looks)
        return amendment.deployment

    async def apply_announcement(
        self, thread: str, announcement: Announcement, received_at: datetime, assemble: Assemble
    ) -> Announced:
        self._data.check_held()
        data = self._data

        def stored(deployment_id: str) -> Deployment | None:
            found = data.deployments.get(deployment_id)
            return None if found is None else undescribed(found, data.commits.get(found.commit or ""))

        timed = replace(announcement, at=announcement.at or received_at)
        check_storable(timed)
        before = data.arrivals.get(thread, {})
        known = before.get(timed.event)
        arrival = Arrival(timed, received_at) if known is None else replace(known, announcement=timed)
        new = known is None or _precedence(timed) < _precedence(known.announcement)
        if known is not None and not new:
            arrival = known
        after = dict(sorted({**before, timed.event: arrival}.items()))
        assembled = assemble(stored, arrival.announcement, tuple(before.values()), tuple(after.values()))
        was_there = assembled.deployment_id in data.deployments
        described = [
            replace(each, deployment=described_by(each.deployment, data.commits.get(each.deployment.commit or "")))
            for each in assembled.amendments
        ]
        for amendment in described:
            check_storable(amendment.deployment)
        for amendment in described:
            data.put(amendment.deployment)
            if amendment.looks is not None:
                data.plan_anew(amendment.deployment.id, amendment.looks)
        held = dict(after)
        for event in (*assembled.forgotten, *((timed.event,) if new and not assembled.keep else ())):
            held.pop(event, None)
        for event, earlier in assembled.earlier.items():
            held[event] = replace(held[event], earlier=earlier)
        data.arrivals[thread] = held
        found = data.deployments.get(assembled.deployment_id or "")
        return Announced(deployment=found, created=found is not None and not was_there, changed=new and assembled.keep)

    async def save_commit_change(self, change: CommitChange) -> list[Deployment]:
        self._data.check_held()
        check_storable(change)
        known = self._data.commits.get(change.commit)
        whole = change if known is None else united(known, change)
        if whole == known:
            return []
        self._data.commits[change.commit] = whole
        described = [
            described_by(undescribed(each, known), whole)
            for each in self._data.deployments.values()
            if each.commit == change.commit
        ]
        for deployment in described:
            self._data.put(deployment)
        return described

    async def find(self, deployment_id: str) -> Deployment:
        found = self._data.deployments.get(deployment_id)
        if found is None:
            raise NotFound(f"there is no deployment {deployment_id!a}")
        return found

    async def page(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        since: datetime | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        found = _of(self._data.deployments.values(), service, environment)
        shown, leads_on = self._data.page(
            (each for each in found if since is None or each.started_at >= since), cursor, limit
        )
        return Page(deployments=tuple(shown), cursor=leads_on)

    async def overlapping(self, start: datetime, end: datetime) -> list[Deployment]:
        found = (
            each
            for each in self._data.deployments.values()
            if each.started_at <= end and each.ended_at >= start and not each.planned
        )
        return sorted(found, key=place)

    async def nearest(
        self, start: datetime, end: datetime, *, at: datetime, limit: int, target: tuple[str, str] | None = None
    ) -> list[Deployment]:
        touching = await self.overlapping(start, end)
        found = [each for each in touching if target is None or (each.service, each.environment) == target]
        return nearest_to(found, (at - EPOCH) // timedelta(microseconds=1), limit, place)

    async def service_environments(self) -> list[tuple[str, str]]:
        return sorted({(each.service, each.environment) for each in self._data.deployments.values()})


class MemoryHistory:
    """A `HistoryStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    async def overview(
        self,
        *,
        service: str | None = None,
        environment: str | None = None,
        outcome: Outcome | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Overview:
        data = self._data
        found = _of(data.deployments.values(), service, environment)
        shown, leads_on = data.page(
            (each for each in found if outcome is None or data.outcome(each) == outcome), cursor, limit
        )
        return Overview(measured=tuple(data.measured(each) for each in shown), cursor=leads_on)

    async def measured(
        self, *, before: datetime, service: str | None = None, limit: int = 1000
    ) -> list[MeasuredDeployment]:
        found = [
            each
            for each in _of(self._data.deployments.values(), service, None)
            if each.id in self._data.impacts and each.ended_at < before
        ]
        newest = sorted(found, key=lambda each: (each.ended_at, each.id))[-limit:] if limit else []
        return [self._data.measured(each) for each in newest]

    async def index(self, *, before: datetime, limit: int) -> list[MeasuredSummary]:
        return [
            MeasuredSummary(
                deployment=each.deployment,
                measured_at=each.impact.measured_at,
                outcome=self._data.outcome(each.deployment),
            )
            for each in await self.measured(before=before, limit=limit)
            if each.impact is not None
        ]

    async def of(self, deployment_ids: Sequence[str]) -> list[MeasuredDeployment]:
        known = self._data.deployments
        return [self._data.measured(known[each]) for each in deployment_ids if each in known]

    async def recent(self, per_service: int, outcomes: Collection[Outcome] | None = None) -> list[MeasuredDeployment]:
        places: dict[tuple[str, str], list[Deployment]] = {}
        for each in sorted(self._data.deployments.values(), key=place, reverse=True):
            places.setdefault((each.service, each.environment), []).append(each)
        newest = (each for place in sorted(places) for each in places[place][:per_service])
        return [self._data.measured(each) for each in newest if not outcomes or self._data.outcome(each) in outcomes]

    async def under_way(self, at: datetime, since: datetime, *, limit: int) -> int:
        before = [each for each in self._data.deployments.values() if each.started_at < at and not each.planned]
        newest = sorted(before, key=place)[-limit:]
        return sum(
            (each.finished_at or at) > at or (each.finished_at is None and each.started_at > since) for each in newest
        )

    async def scored_predictions(self, service: str, limit: int = 200) -> list[ScoredPrediction]:
        found = [
            ScoredPrediction(
                prediction=self._data.predictions[each.id], deployment=each, impact=self._data.impacts[each.id]
            )
            for each in _of(self._data.deployments.values(), service, None)
            if each.id in self._data.predictions and each.id in self._data.impacts
        ]
        return sorted(found, key=lambda each: each.deployment.ended_at, reverse=True)[:limit]


class MemoryResults:
    """A `ResultStore`."""

    def __init__(self, data: Data) -> None:
        self._data = data

    async def impact(self, deployment_id: str) -> Impact | None:
        return self._data.impacts.get(deployment_id)

    async def impacts(self, deployment_ids: Sequence[str]) -> dict[str, Impact]:
        return {each: self._data.impacts[each] for each in deployment_ids if each in self._data.impacts}

    async def trajectories(self, deployment_id: str) -> tuple[Trajectory, ...]:
        return self._data.courses.get(deployment_id, ())

    async def trajectories_of(self, metrics: Mapping[str, str]) -> dict[str, Trajectory]:
        return {
            deployment_id: course
            for deployment_id, metric in metrics.items()
            for course in self._data.courses.get(deployment_id, ())
            if course.metric == metric
        }

    async def forget_courses(self, before: datetime) -> int:
        self._data.check_held()
        old = [each for each in self._data.courses if self._data.deployments[each].ended_at < before]
        return sum(len(self._data.courses.pop(each)) for each in old)

    async def predictions(self, deployment_ids: Sequence[str]) -> dict[str, Prediction]:
        return {each: self._data.predictions[each] for each in deployment_ids if each in self._data.predictions}

    async def save_prediction(self, prediction: Prediction) -> None:
        self._data.check_held()
        refuse_unstorable(prediction, f"the prediction of deployment {prediction.deployment_id!r}")
        if prediction.deployment_id not in self._data.deployments:
            raise StoreError("a prediction needs its deployment")
        if prediction.deployment_id not in self._data.impacts:
            self._data.predictions[prediction.deployment_id] = prediction
            self._data.append(PREDICTION, prediction.deployment_id)


def _of(deployments: Iterable[Deployment], service: str | None, environment: str | None) -> Iterable[Deployment]:
    return (
        each
        for each in deployments
        if (service is None or each.service == service) and (environment is None or each.environment == environment)
    )


def _precedence(announcement: Announcement) -> tuple[bool, datetime | None, bytes]:
    """Of an event reported in two ways that counts which has a state, then what its sender's clock has first."""
    return announcement.status is None, announcement.at, _announcement.dump_json(announcement, exclude_none=True)
