"""Tells receivers what has happened: what is to be told is a row in the store, sent until it has arrived."""

import hashlib
from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from afdp_exporter.errors import DeliveryError, NotFound
from afdp_exporter.external import NOT_KNOWN, External
from afdp_exporter.impact.story import headline
from afdp_exporter.model import Deployment, DueNotice, Measured, Notice, Status
from afdp_exporter.notify import Receiver
from afdp_exporter.store import Store
from afdp_exporter.watching.rounds import drained, retry_after

log = structlog.get_logger(__name__)

_AT_ONCE = 100
_LONGEST_WAIT = 3600.0  # seconds, whatever a receiver asks for
_WORDS = {
    Status.PLANNED: "is planned",
    Status.STARTED: "is being deployed",
    Status.SUCCEEDED: "was deployed",
    Status.FAILED: "could not be deployed",
    Status.ROLLED_BACK: "was rolled back",
    Status.CANCELLED: "was cancelled",
}


class Observer(Protocol):
    """Who wants to know how the notices go."""

    def notified(self, receiver: str) -> None:
        """A notice has arrived."""

    def notification_failed(self, receiver: str, reason: str) -> None:
        """A notice has not arrived this time."""


class Dispatcher:
    """Sends due notices, one after another for each receiver; a receiver that is away is tried again for ever."""

    def __init__(
        self,
        *,
        store: Store,
        receivers: Callable[[], Mapping[str, Receiver]],
        observer: Observer,
        clock: Callable[[], datetime],
        external: External = NOT_KNOWN,
    ) -> None:
        self._external = external
        self._store = store
        self._receivers = receivers
        self._observer = observer
        self._clock = clock

    async def work(self) -> bool:
        """Send what is due, until nothing is; False when there was nothing. No receiver waits for another."""
        busy = set[str]()

        async def tell(name: str, notices: list[DueNotice]) -> None:
            try:
                await self._tell(name, notices)
            finally:
                busy.discard(name)

        async def take(_: int) -> list[Coroutine[None, None, None]]:
            due = await self._store.due_notices(self._clock(), limit=_AT_ONCE, without=busy)
            by_receiver = {name: [each for each in due if each.receiver == name] for name in {e.receiver for e in due}}
            busy.update(by_receiver)
            return [tell(name, notices) for name, notices in by_receiver.items()]

        return await drained(take)

    async def _tell(self, name: str, notices: list[DueNotice]) -> None:
        receiver = self._receivers().get(name)
        for due in notices:
            notice = await self._notice(due)
            digest = _digest(notice) if notice is not None else None
            if receiver is None or notice is None or digest == due.sent:
                await self._store.finish_notice(due, sent=due.sent)
                continue
            try:
                await _send(receiver, notice)
            except DeliveryError as error:
                self._observer.notification_failed(name, error.reason)
                if error.retry:
                    await self._postpone(due, error)
                    return
                log.error("notice refused", receiver=name, deployment=due.deployment_id, error=str(error))
                await self._store.finish_notice(due, sent=due.sent, reason=str(error))
            else:
                self._observer.notified(name)
                await self._store.finish_notice(due, sent=digest)

    async def _postpone(self, due: DueNotice, error: DeliveryError) -> None:
        log.warning("receiver is away, its notices wait", receiver=due.receiver, error=str(error))
        wait = max(retry_after(due.attempts), timedelta(seconds=min(error.wait or 0.0, _LONGEST_WAIT)))
        await self._store.postpone_notice(due, self._clock() + wait, str(error))

    async def _notice(self, due: DueNotice) -> Notice | None:
        try:
            deployment = await self._store.deployment(due.deployment_id)
        except NotFound:
            return None
        impact = await self._store.impact(due.deployment_id)
        measured = Measured(deployment=deployment, impact=impact)
        text = headline(measured) if measured.known else _announced(deployment)
        report = self._external.report(deployment.id)
        return Notice(deployment=deployment, impact=impact, headline=text, report_url=report)


async def _send(receiver: Receiver, notice: Notice) -> None:
    try:
        await receiver.send(notice)
    except DeliveryError:
        raise
    except Exception as error:
        log.exception("receiver failed", deployment=notice.deployment.id)
        raise DeliveryError("internal", f"internal error: {type(error).__name__}", retry=True) from error


def _announced(deployment: Deployment) -> str:
    return f"{deployment.name} ({deployment.started_at:%H:%M}) {_WORDS[deployment.status]}; nothing is measured yet"


def _digest(notice: Notice) -> str:
    """Of what a receiver may show: looks that find nothing new are not told again."""
    outcome = notice.measured.decision if notice.measured.known else None
    return hashlib.sha256(repr((notice.deployment, notice.headline, outcome, notice.report_url)).encode()).hexdigest()
