"""Which looks are due: read from the store, so that a restart loses nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import ClassVar, Protocol, TypeAlias

import structlog

from afdp_exporter.errors import AFDPError, SourceUnavailable
from afdp_exporter.model import Deployment, Impact, Look, LookState, Status
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.store import Store
from afdp_exporter.watching.analysis import Answer
from afdp_exporter.watching.rounds import retry_after

log = structlog.get_logger(__name__)

_LEASE = timedelta(minutes=5)
_TRIES = 3  # of a look whose analysis fails; a source that is away is asked for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long after its end a deployment is looked at."""

    __pydantic_config__: ClassVar = STRICT

    looks: tuple[Duration, ...] = (
        timedelta(minutes=2),
        timedelta(minutes=5),
        timedelta(minutes=10),
        timedelta(minutes=15),
        timedelta(minutes=30),
        timedelta(minutes=60),
        timedelta(hours=24),
    )

    def __post_init__(self) -> None:
        if not self.looks or any(after <= timedelta(0) for after in self.looks):
            raise ValueError("at least one look is needed, each longer than 0s")


def plan(deployment: Deployment, schedule: Schedule, now: datetime) -> tuple[Look, ...]:
    """The looks at a deployment. Of those that lie in the past already only the latest is taken: it sees the most."""
    if deployment.planned:
        return ()
    looks = [
        Look(deployment_id=deployment.id, after=after, due_at=deployment.ended_at + after)
        for after in sorted(set(schedule.looks))
    ]
    past = [look for look in looks if look.due_at <= now]
    return tuple(past[-1:] + [look for look in looks if look.due_at > now])


def plan_anew(before: Deployment, after: Deployment, schedule: Schedule, now: datetime) -> tuple[Look, ...] | None:
    """The looks at a deployment that has changed; None where they stay as they are."""
    if before.planned and after.status is Status.CANCELLED:
        return ()  # it never happened
    same = before.planned is after.planned and before.ended_at == after.ended_at
    return None if same else plan(after, schedule, now)


Analyse: TypeAlias = Callable[[Look, datetime], Awaitable[Answer]]


class Observer(Protocol):
    """Who wants to know how the looks go."""

    def looked(self, verdict: str, seconds: float) -> None:
        """A look has its answer; `failed` when it never will."""

    def measured(self, impact: Impact) -> None:
        """What a deployment did is stored: show it."""


class Watcher:
    """Takes due looks from the store, has them answered, keeps the answers; a few at once."""

    def __init__(
        self, *, store: Store, analyse: Analyse, observer: Observer, clock: Callable[[], datetime], at_once: int
    ) -> None:
        self._store = store
        self._analyse = analyse
        self._observer = observer
        self._clock = clock
        self._at_once = at_once

    async def work(self) -> bool:
        """Answer the looks that are due now; False when there were none."""
        looks = await self._store.claim_looks(self._clock(), limit=self._at_once, lease=_LEASE)
        async with asyncio.TaskGroup() as group:
            for look in looks:
                group.create_task(self._answer(look))
        return bool(looks)

    async def _answer(self, look: Look) -> None:
        started = asyncio.get_running_loop().time()
        try:
            answer = await self._analyse(look, self._clock())
            await answered(look, answer, self._store, now=self._clock())
        except SourceUnavailable as error:
            log.warning("source is away, the look waits", deployment=look.deployment_id, error=str(error))
            await self._store.postpone_look(look, self._clock() + retry_after(look.attempts), str(error))
            return
        except Exception as error:  # noqa: BLE001 - the outermost loop: one look that fails must not stop the others
            now = self._clock()
            if not await failed(look, error, self._store, now=now, retry_at=now + retry_after(0)):
                self._observer.looked("failed", asyncio.get_running_loop().time() - started)
            return
        self._observer.measured(answer.impact)
        self._observer.looked(answer.impact.verdict, asyncio.get_running_loop().time() - started)


async def answered(look: Look, answer: Answer, store: Store, *, now: datetime) -> None:
    """Keep what a look found."""
    outcome = answer.impact.outcome
    done = replace(look, state=LookState.DONE, done_at=now, outcome=outcome, account=answer.account)
    await store.finish_look(done, answer.impact, answer.courses)


async def failed(look: Look, error: Exception, store: Store, *, now: datetime, retry_at: datetime) -> bool:
    """Keep that an analysis failed; whether the look is tried again."""
    expected = isinstance(error, AFDPError)
    log.error("look failed", deployment=look.deployment_id, error=str(error), exc_info=None if expected else error)
    reason = str(error) if expected else f"internal error: {type(error).__name__}"
    if look.attempts + 1 < _TRIES:
        await store.postpone_look(look, retry_at, reason)
        return True
    await store.finish_look(replace(look, state=LookState.FAILED, done_at=now, reason=reason), None)
    return False
