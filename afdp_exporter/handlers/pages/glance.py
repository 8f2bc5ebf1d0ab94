"""The first lines of a report: what, since when, going on or over, cost, who, and the way back."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from afdp_exporter.executors import Way, way_for
from afdp_exporter.handlers.pages import filters
from afdp_exporter.model import ROLLBACK, Action, ActionState, Deployment, Look, LookState, MeasuredDeployment, Outcome
from afdp_exporter.wording.times import format_day_and_time

_RUNBOOK = "/runbooks/AFDPDeploymentImpact"
_PENDING = frozenset({LookState.DUE, LookState.WAITING, LookState.RUNNING})
_STATES = {
    ActionState.PROPOSED: "a rollback is proposed",
    ActionState.AWAITING_APPROVAL: "a rollback waits for approval",
    ActionState.CLAIMED: "a rollback is about to begin",
    ActionState.STARTED: "a rollback is under way",
    ActionState.ACCEPTED: "a rollback was accepted, and is not confirmed yet",
    ActionState.VERIFIED: "was rolled back",
    ActionState.NOT_EFFECTIVE: "was rolled back, and the metrics did not recover",
    ActionState.SKIPPED: "a rollback was skipped",
    ActionState.REFUSED: "a rollback was refused",
    ActionState.FAILED: "a rollback failed",
    ActionState.UNKNOWN: "a rollback began, and how it ended is not known: check the target",
}
_SOONEST, _LATEST = timedelta(seconds=15), timedelta(minutes=5)  # between two loads of a page that waits for a check


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A short line: what it is about, what it says, and where that leads; `path` is one of ours, `href` any other."""

    name: str
    text: str
    path: str | None = None
    href: str | None = None
    grave: bool = False


def lines(
    measured: MeasuredDeployment, actions: Sequence[Action], ways: Iterable[Way], pending: Sequence[Look]
) -> Iterator[Line]:
    """What somebody needs who was woken up by it, the most urgent first."""
    deployment, impact = measured.deployment, measured.impact
    if impact is not None:
        yield Line(name="What", text=filters.did(measured))
        yield Line(name="Since", text=format_day_and_time((impact.harm and impact.harm.since) or deployment.started_at))
    yield _now(measured, pending)
    for what, figure in filters.losses(measured):
        yield Line(name=what, text=figure)
    who = [deployment.actor, f"team {deployment.team}" if deployment.team else None]
    if any(who):
        yield Line(name="Deployed by", text=", ".join(filter(None, who)))
    if deployment.previous_version:
        yield Line(name="Previous version", text=deployment.previous_version)
    if deployment.commit:
        link = filters.web_address(deployment.url)
        yield Line(name="Commit", text=deployment.commit[:12], href=link)
    yield from _way_back(measured, actions, ways)
    for action in actions:
        if action.arithmetic:
            yield Line(name="Automation", text=action.arithmetic, path="/gate#worth")


def _now(measured: MeasuredDeployment, pending: Sequence[Look]) -> Line:
    impact = measured.impact
    status = filters.status(measured)
    if impact is not None and impact.harm is not None and impact.harm.active:
        as_of = format_day_and_time(impact.harm.as_of or impact.measured_at)
        return Line(name="Now", text=f"Going on, as of {as_of}", grave=True)
    if status is not None:
        return Line(name="Now", text=status)
    if impact is not None and measured.decision.outcome is Outcome.SUCCESS:
        return Line(name="Now", text="no harm found")
    if impact is not None:
        return Line(name="Now", text="cannot tell yet" if pending else "cannot tell")
    return Line(name="Now", text="planned" if measured.deployment.planned else "not checked yet")


def _way_back(measured: MeasuredDeployment, actions: Sequence[Action], ways: Iterable[Way]) -> Iterator[Line]:
    """How to undo it: what is done already, who could do it, or what to deploy again."""
    deployment = measured.deployment
    if deployment.planned:
        return
    way = way_for(deployment, ways)
    newest = next((each for each in actions if each.kind == ROLLBACK), None)
    if newest is not None:
        dry = " (dry run: nothing is sent)" if newest.dry_run else ""
        yield Line(name="Way back", text=f"{newest.executor}: {_STATES[newest.state]}{dry}", path="/gate")
    elif way is not None:
        dry = ", in dry run" if way.scope.dry_run else ""
        yield Line(name="Way back", text=f"{way.name} can roll it back{dry}", path="/gate")
    elif deployment.previous_version:
        yield Line(
            name="Way back", text=f"deploy {deployment.service} {deployment.previous_version} again",
            href=filters.web_address(deployment.url),
        )  # fmt: skip
    else:
        yield Line(
            name="Way back", text="the previous version was not reported", href=filters.web_address(deployment.url)
        )


def links(deployment: Deployment, grafana: str | None) -> Iterator[Line]:
    """Where to look next: the dashboard of this deployment and the runbook."""
    if grafana is not None:
        yield Line(name="Grafana", text="dashboard", href=metric_link(deployment, grafana))
    yield Line(name="Runbook", text="what to do", path=_RUNBOOK)


def metric_link(deployment: Deployment, grafana: str, metric: str | None = None) -> str:
    """The dashboard of a deployment in Grafana, around its time; of one of its metrics where one is given."""
    begins = deployment.started_at - timedelta(hours=1)
    asked = {
        "var-deployment_id": deployment.id,
        "from": int(begins.timestamp() * 1000),
        "to": int((begins + timedelta(hours=4)).timestamp() * 1000),
    }
    return f"{grafana}/d/afdp-cause-and-effect?{urlencode(asked | ({'var-metric': metric} if metric else {}))}"


def pending_of(looks: Iterable[Look]) -> list[Look]:
    """The checks that are still to come, the next one first."""
    return [look for look in looks if look.state in _PENDING]


def reload_after(due_at: datetime | None, now: datetime) -> int | None:
    """Seconds after which a browser loads a page again that waits for a check; None where none is due in the hour."""
    if due_at is None or due_at - now > timedelta(hours=1):
        return None
    return int(min(max(due_at - now, _SOONEST), _LATEST).total_seconds())
