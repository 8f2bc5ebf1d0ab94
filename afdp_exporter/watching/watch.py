"""When a deployment is looked at, and how a look is answered: a job, so that a restart loses nothing."""

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Annotated, ClassVar, Protocol, TypeAlias

import structlog
from pydantic import Field

from afdp_exporter.errors import AFDPError, EngineUnavailable, SourceUnavailable
from afdp_exporter.jobs import Next, Settled, backoff
from afdp_exporter.model import Attribution, Deployment, Impact, Look, LookState, Status
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.store import Job, Store
from afdp_exporter.watching.analysis import AnalysisResult

log = structlog.get_logger(__name__)

_TRIES = 3  # of a look whose analysis fails; a source that is away is asked for ever
_QUERY_TRIES = 4  # of a look of which a query fails that has a source which answers others: a minute and three quarters


_JUDGED = 4  # steps after the rollout: with fewer points nothing can be judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long after its end a deployment is looked at; while harm goes on, `active_every` so long, too.

    The latter ends `active_until` so long after the deployment's end, with the harm reported as of then.
    """

    __pydantic_config__: ClassVar = STRICT

    looks: tuple[Duration, ...] = (
        timedelta(minutes=2),
        timedelta(minutes=5),
        timedelta(minutes=10),
        timedelta(minutes=15),
        timedelta(minutes=30),
        timedelta(minutes=60),
        timedelta(hours=4),
        timedelta(hours=24),
    )
    active_every: Annotated[Duration, Field(ge=timedelta(minutes=1))] = timedelta(hours=1)
    active_until: Duration = timedelta(days=7)

    def __post_init__(self) -> None:
        if not self.looks or any(after <= timedelta(0) for after in self.looks):
            raise ValueError("at least one look is needed, each longer than 0s")

    def at_steps_of(self, step: timedelta) -> "Schedule":
        """The same without looks that come too early to judge series in such steps: they wait until they can."""
        return replace(self, looks=tuple(sorted({max(after, _JUDGED * step) for after in self.looks})))


def schedule_looks(deployment: Deployment, schedule: Schedule, now: datetime) -> tuple[Look, ...]:
    """The looks at a deployment. Of those that lie in the past already only the latest is taken: it sees the most."""
    if deployment.planned:
        return ()
    looks = [
        Look(deployment_id=deployment.id, after=after, due_at=deployment.ended_at + after)
        for after in sorted(set(schedule.looks))
    ]
    past = bisect_right(looks, now, key=attrgetter("due_at"))
    return tuple(looks[max(past - 1, 0) :])


def reschedule_looks(
    before: Deployment, after: Deployment, schedule: Schedule, now: datetime
) -> tuple[Look, ...] | None:
    """The looks at a deployment that has changed; None where they stay as they are."""
    if before.planned and after.status is Status.CANCELLED:
        return ()  # it never happened
    same = before.planned is after.planned and before.ended_at == after.ended_at
    return None if same else schedule_looks(after, schedule, now)


def next_while_active(look: Look, impact: Impact, schedule: Schedule, now: datetime) -> tuple[Look, ...]:
    """The look that follows on this one since harm goes on; none where a planned one comes as soon, or it is too late.

    Those that were missed meanwhile are not made up for.
    """
    if impact.harm is None or not impact.harm.active:
        return ()
    missed = max((now - look.due_at) // schedule.active_every, 1)
    after = min(look.after + missed * schedule.active_every, schedule.active_until)
    planned = (each for each in schedule.looks if look.after < each)
    if after <= look.after or min(planned, default=after + timedelta.resolution) <= after:
        return ()
    return (Look(deployment_id=look.deployment_id, after=after, due_at=look.due_at + (after - look.after)),)


Analyse: TypeAlias = Callable[[Look, datetime], Awaitable[AnalysisResult]]

FollowUp: TypeAlias = Callable[[Look, datetime], Awaitable[tuple[Look, ...]]]
"""The looks at other deployments that the answer of a look calls for; they are planned as it is kept, or not at all."""


class LookObserver(Protocol):
    """Who wants to know how the looks go."""

    def looked(self, deployment_id: str, verdict: str, seconds: float) -> None:
        """A look at a deployment has its answer; `failed` when it never will."""


class _TooEarly(Exception):
    """A look is not due."""


class AnalysisWorker:
    """Answers the looks that are jobs, and keeps the answers."""

    def __init__(
        self,
        *,
        store: Store,
        analyse: Analyse,
        schedule: Callable[[], Schedule],
        observer: LookObserver,
        clock: Callable[[], datetime],
        follow_up: FollowUp,
    ) -> None:
        self._store = store
        self._schedule = schedule
        self._analyse = analyse
        self._observer = observer
        self._clock = clock
        self._follow_up = follow_up

    async def answer(self, job: Job) -> Next:
        """Answer a look, or let it wait; what is kept of it is kept together with the end of the job."""
        look = await self._store.looks.of_job(job)
        if look is None:
            return None
        started = asyncio.get_running_loop().time()
        try:
            answer = await self._analyse(look, self._due(look))
            now = self._due(look)
            wait = _what_to_wait_for(answer, look.attempts)
            if wait is not None:
                await self._keep_waiting(job, look, answer, wait)
                return Settled.SETTLED
            rivals = await rivals_again(look, answer.impact, self._store)
            beside = (*rivals, *await self._follow_up(look, now))
            await record_answer(look, answer, self._store, schedule=self._schedule(), now=now, beside=beside, job=job)
        except _TooEarly:
            return look.due_at
        except (SourceUnavailable, EngineUnavailable) as error:
            log.warning("what a look needs is away, it waits", deployment=look.deployment_id, error=str(error))
            until = max(self._clock() + backoff(look.attempts), look.due_at)
            await self._store.looks.postpone(look, until, str(error), job=job)
            return Settled.SETTLED
        except Exception as error:  # noqa: BLE001 - one look that fails has to end, or to be tried again
            now = self._clock()
            retry_at = max(now + backoff(0), look.due_at)
            if not await record_failure(look, error, self._store, now=now, retry_at=retry_at, job=job):
                self._observer.looked(look.deployment_id, "failed", asyncio.get_running_loop().time() - started)
            return Settled.SETTLED
        seconds = asyncio.get_running_loop().time() - started
        self._observer.looked(look.deployment_id, answer.impact.verdict, seconds)
        return Settled.SETTLED

    def _due(self, look: Look) -> datetime:
        """The time by now. Raises _TooEarly where the clock was set back to before the look is due."""
        now = self._clock()
        if now < look.due_at:
            raise _TooEarly
        return now

    async def _keep_waiting(self, job: Job, look: Look, answer: AnalysisResult, wait: str) -> None:
        """Let a look wait for what is missing. Its answer so far is kept unless it knows less than the last."""
        log.warning("a metric cannot be asked, the look waits", deployment=look.deployment_id, error=wait)
        before = await self._store.results.impact(look.deployment_id)
        shifts = before.shifts if before is not None else ()
        known = {each.metric for each in shifts if each.verdict is not Attribution.INCONCLUSIVE}
        unknown = {each.metric for each in answer.impact.shifts if each.verdict is Attribution.INCONCLUSIVE}
        kept = known.isdisjoint(unknown & {each.metric for each in answer.missing})
        found, drawn = (answer.impact, answer.courses) if kept else (None, ())
        late = [each.late for each in answer.missing if each.late is not None and not each.away]
        until = max(self._clock() + (max(late) if late else backoff(look.attempts)), look.due_at)
        await self._store.looks.postpone(look, until, wait, found, drawn, job=job)


def _what_to_wait_for(answer: AnalysisResult, attempts: int) -> str | None:
    """Why a look is worth another try: a source is away, samples come late, or a query has not failed often enough."""
    missing = answer.missing
    waited = [each for each in missing if each.away or each.late is not None or attempts + 1 < _QUERY_TRIES]
    return f"{waited[0].metric}: {waited[0].reason}" if waited else None


async def rivals_again(look: Look, impact: Impact, store: Store) -> tuple[Look, ...]:
    """The looks that bring the reports of rivals in line with this one, as of the same time; none where they are."""
    ids = tuple(rival.deployment_id for rival in impact.rivals)
    known = await store.results.impacts(ids) if ids else {}
    found = []
    for rival in ids:
        ended = (await store.deployments.find(rival)).ended_at
        report = known.get(rival)
        if ended < look.due_at and (report is None or report.measured_at < look.due_at):
            found.append(Look(deployment_id=rival, after=look.due_at - ended, due_at=look.due_at))
    return tuple(found)


async def record_answer(
    look: Look,
    answer: AnalysisResult,
    store: Store,
    *,
    schedule: Schedule,
    now: datetime,
    beside: Sequence[Look] = (),
    job: Job | None = None,
) -> None:
    """Keep what a look found, and plan the next one where harm goes on, and those at the deployments `beside` it."""
    outcome = answer.impact.outcome
    done = replace(look, state=LookState.DONE, done_at=now, outcome=outcome, account=answer.account)
    again = (*next_while_active(look, answer.impact, schedule, now), *beside)
    await store.looks.finish(done, answer.impact, answer.courses, again, job=job)


async def record_failure(
    look: Look, error: Exception, store: Store, *, now: datetime, retry_at: datetime, job: Job | None = None
) -> bool:
    """Keep that an analysis failed; whether the look is tried again."""
    expected = isinstance(error, AFDPError)
    log.error("look failed", deployment=look.deployment_id, error=str(error), exc_info=None if expected else error)
    reason = str(error) if expected else f"internal error: {type(error).__name__}"
    if look.attempts + 1 < _TRIES or now < look.due_at:
        await store.looks.postpone(look, retry_at, reason, job=job)
        return True
    await store.looks.finish(replace(look, state=LookState.FAILED, done_at=now, reason=reason), None, job=job)
    return False
