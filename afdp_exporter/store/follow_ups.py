"""Which jobs follow from a change of a deployment; each store enqueues them in the transaction of the change. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from afdp_exporter.model import Deployment, Look
from afdp_exporter.store import Job, NewJob

CHECK = "check"
DECIDE = "decide"
NOTICE = "notice"
PREDICT = "predict"

DEPLOYMENT, IMPACT, EVENT = "deployment", "impact", "event"
ACTION, APPROVAL, PREDICTION, ROLLOUT = "action", "approval", "prediction", "rollout"
FALSE_ALARMS = "false_alarms"
"""The kinds of changes."""

AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HISTORY = timedelta(days=1)  # what was longer past when it came in is history, from which nothing follows


def check(look: Look, service: str) -> NewJob:
    """The job of an open look."""
    return NewJob(kind=CHECK, key=check_key(look), due_at=look.due_at, lane=service)


def check_key(look: Look) -> str:
    """What the job of a look is known by."""
    return f"{look.deployment_id}/{look.after // _MICROSECOND}"


def look_of_key(key: str) -> tuple[str, timedelta]:
    """The deployment of a look, and how long after its end it is."""
    deployment_id, after_us = key.rsplit("/", 1)
    return deployment_id, timedelta(microseconds=int(after_us))


def notice(receiver: str, deployment_id: str) -> NewJob:
    """The job to notify a receiver of a deployment."""
    return NewJob(kind=NOTICE, key=f"{receiver}/{deployment_id}", due_at=AT_ONCE, lane=receiver)


def deployment_of_notice(job: Job) -> str:
    """The id of the deployment that a receiver, the job's lane, is to be notified of."""
    return job.key.removeprefix(f"{job.lane}/")


def jobs_after(change: str, deployment: Deployment, receivers: Iterable[str]) -> tuple[NewJob, ...]:
    """What follows from a change of this kind: receivers hear of it, it is predicted, it is decided what is done."""
    if deployment.received_at - deployment.started_at >= _HISTORY:
        return ()
    notices = tuple(notice(receiver, deployment.id) for receiver in receivers) if change in {DEPLOYMENT, IMPACT} else ()
    kind = PREDICT if change == DEPLOYMENT else DECIDE
    return (*notices, NewJob(kind=kind, key=deployment.id, due_at=AT_ONCE, lane=deployment.service))
