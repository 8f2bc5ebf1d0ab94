"""Informs receivers of what has happened: each notice is a job, done until it has arrived."""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from afdp_exporter.errors import DeliveryError, NotFound
from afdp_exporter.external import NOT_KNOWN, External
from afdp_exporter.impact.story import headline
from afdp_exporter.jobs import Next, Settled, backoff
from afdp_exporter.model import Deployment, MeasuredDeployment, Notification, Status
from afdp_exporter.notify import Receiver
from afdp_exporter.store import Job, Store
from afdp_exporter.store.follow_ups import deployment_of_notice
from afdp_exporter.wording.times import format_time

log = structlog.get_logger(__name__)

_LONGEST_WAIT = 3600.0  # seconds, whatever a receiver asks for
_DEFECT = "internal"
_WORDS = {
    Status.PLANNED: "is planned",
    Status.STARTED: "is being deployed",
    Status.SUCCEEDED: "was deployed",
    Status.FAILED: "could not be deployed",
    Status.ROLLED_BACK: "was rolled back",
    Status.CANCELLED: "was cancelled",
}


class DeliveryObserver(Protocol):
    """Who wants to know how the notices go."""

    def notified(self, receiver: str) -> None:
        """A notice has arrived."""

    def notification_failed(self, receiver: str, reason: str) -> None:
        """A notice has not arrived this time."""


class Notifier:
    """Sends the notices that are jobs; a receiver that is away is tried again for ever, and all of its notices wait."""

    def __init__(
        self,
        *,
        store: Store,
        receivers: Callable[[], Mapping[str, Receiver]],
        observer: DeliveryObserver,
        clock: Callable[[], datetime],
        external: External = NOT_KNOWN,
    ) -> None:
        self._external = external
        self._store = store
        self._receivers = receivers
        self._observer = observer
        self._clock = clock

    async def notify(self, job: Job) -> Next:
        """Send what a job says, unless the receiver has heard it; that is kept with the end of the job."""
        name, deployment_id = job.lane, deployment_of_notice(job)
        receiver = self._receivers().get(name)
        if receiver is None:
            return job.due_at  # of who knows it
        notice = await self._notice(deployment_id)
        if notice is None:
            return None
        digest = _digest(notice, appends=receiver.appends)
        sent = await self._store.notices.last_sent(name, deployment_id)
        if digest == sent:
            return None
        await self._store.notices.begin(job)
        try:
            await _send(receiver, notice)
        except DeliveryError as error:
            self._observer.notification_failed(name, error.reason)
            if error.retry:
                if error.unsent and sent is not None and receiver.appends:
                    await self._store.notices.restore(job, sent)
                await self._postpone(job, error)
            else:
                log.error("notice refused", receiver=name, deployment=deployment_id, error=str(error))
                await self._store.notices.finish(job, sent=sent, reason=str(error))
        else:
            self._observer.notified(name)
            await self._store.notices.finish(job, sent=digest)
        return Settled.SETTLED

    async def _postpone(self, job: Job, error: DeliveryError) -> None:
        """Try again later: all of the receiver's notices, unless it is our own defect, which may be of this one."""
        is_away = error.reason != _DEFECT
        if is_away:
            log.warning("receiver is away, its notices wait", receiver=job.lane, error=str(error))
        wait = max(backoff(job.attempts), timedelta(seconds=min(error.wait or 0.0, _LONGEST_WAIT)))
        await self._store.jobs.postpone(job, self._clock() + wait, str(error), whole_lane=is_away)

    async def _notice(self, deployment_id: str) -> Notification | None:
        try:
            deployment = await self._store.deployments.find(deployment_id)
        except NotFound:
            return None
        impact = await self._store.results.impact(deployment_id)
        measured = MeasuredDeployment(deployment=deployment, impact=impact)
        text = headline(measured) if measured.known else _announced(deployment)
        report = self._external.report(deployment.id)
        return Notification(deployment=deployment, impact=impact, headline=text, at=self._clock(), report_url=report)


async def _send(receiver: Receiver, notice: Notification) -> None:
    try:
        await receiver.send(notice)
    except DeliveryError:
        raise
    except Exception as error:
        log.exception("receiver failed", deployment=notice.deployment.id)
        raise DeliveryError(_DEFECT, f"internal error: {type(error).__name__}", retry=True) from error


def _announced(deployment: Deployment) -> str:
    began = format_time(deployment.started_at)
    return f"{deployment.name} ({began}) {_WORDS[deployment.status]}; nothing is measured yet"


def _digest(notice: Notification, *, appends: bool) -> str:
    """Of what a receiver may show: looks that find nothing new are not reported again."""
    outcome = notice.measured.decision if notice.measured.known else None
    shown: tuple[object, ...] = (notice.deployment, notice.headline, outcome, notice.report_url)
    if appends:
        harm = notice.impact.harm if notice.impact is not None else None
        shown = (notice.deployment.id, notice.deployment.status, outcome and outcome.outcome, harm and harm.state)
    return hashlib.sha256(repr(shown).encode()).hexdigest()
