"""`/deployments/{id}`: what one deployment did, in words and pictures, and why we say so."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from urllib.parse import urlencode

from aiohttp import web

from afdp_exporter.fields import Identifier
from afdp_exporter.handlers.context import STATE, AppContext
from afdp_exporter.handlers.deployments import id_of
from afdp_exporter.handlers.operations import page_operation
from afdp_exporter.handlers.pages import filters, glance
from afdp_exporter.handlers.pages.rendering import page
from afdp_exporter.model import (
    Attribution,
    Deployment,
    Impact,
    Look,
    LookState,
    MeasuredDeployment,
    Shift,
    Trait,
    Trajectory,
)
from afdp_exporter.plots.chain import chain
from afdp_exporter.plots.time_series import Plot, plot
from afdp_exporter.store import Store
from afdp_exporter.watching.report import report_of

_MOST_SEEN = 6  # earlier deployments that are named


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """A metric: its picture where a course is kept, its shift, and the account of its judgement."""

    shift: Shift
    course: Trajectory | None
    plot: Plot | None
    account: Mapping[str, object]
    judged: Mapping[str, object]


@page_operation("storyPage", "The story of a deployment, with plots", path={"id": Identifier})
async def story(request: web.Request) -> web.Response:
    """The story of a deployment."""
    state = request.app[STATE]
    store = state.store
    deployment = await store.deployments.find(id_of(request))
    looks = await store.looks.of_deployment(deployment.id)  # before the impact, which is there once one is done
    impact = await store.results.impact(deployment.id)
    panels = _panels(deployment, impact, looks, await store.results.trajectories(deployment.id))
    measured, pending = MeasuredDeployment(deployment=deployment, impact=impact), glance.pending_of(looks)
    actions = await store.actions.search(deployment_id=deployment.id)
    grafana = state.rules.grafana_url
    return page(
        request,
        "story.html",
        reload_after=glance.reload_after(pending[0].due_at if pending else None, state.clock()),
        glance=[*glance.lines(measured, actions, state.rules.ways, pending), *glance.links(deployment, grafana)],
        in_grafana=None if grafana is None else partial(glance.metric_link, deployment, grafana),
        address=state.external.url or f"{request.scheme}://{request.host}",
        deployment=deployment,
        impact=impact,
        measured=measured,
        outcome=filters.outcome_of(measured),
        warnings=state.rules.watched.warnings(deployment.service),
        report=report_of(deployment, impact, looks),
        chain=chain(deployment, impact) if impact else None,
        moved=[panel for panel in panels if panel.shift.moved],
        still=[panel for panel in panels if panel.shift.verdict is Attribution.NO_EFFECT],
        open=[panel for panel in panels if not panel.shift.moved and panel.shift.verdict is not Attribution.NO_EFFECT],
        panels=panels,
        looks=looks,
        pending=pending,
        prediction=_prediction(deployment) if deployment.planned else None,
        away=_sources_away(state),
        seen=await _earlier(store, impact.seen_before.deployment_ids[:_MOST_SEEN]) if impact else [],
    )


def _prediction(deployment: Deployment) -> str:
    """The address of what a planned deployment is expected to do."""
    known = {
        "service": deployment.service,
        "environment": deployment.environment,
        "version": deployment.version,
        "previous_version": deployment.previous_version,
        "team": deployment.team,
        "actor": deployment.actor,
        "strategy": deployment.strategy,
        "traffic_ratio": deployment.traffic_ratio,
        "started_at": f"{deployment.started_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}",
        "change_types": list(deployment.change_types),
        "traits": "\n".join(f"{name} = {filters.figure(value)}" for name, value in _plain(deployment.traits)),
    }
    return f"/predictions?{urlencode({name: value for name, value in known.items() if value}, doseq=True)}"


def _plain(traits: Mapping[str, Trait]) -> list[tuple[str, Trait]]:
    """Traits as the form reads them: one a line, numbers without separators."""
    plain = [(name, str(value) if isinstance(value, float) else value) for name, value in traits.items()]
    return [(name, value) for name, value in plain if "\n" not in f"{name}{value}"]


def _sources_away(state: AppContext) -> list[str]:
    """The sources that did not answer when they were asked last."""
    return [source for source, well in state.instruments.queries.answering.items() if not well]


def _panels(
    deployment: Deployment, impact: Impact | None, looks: tuple[Look, ...], courses: tuple[Trajectory, ...]
) -> list[_Panel]:
    """A panel for each metric, what moved first."""
    if impact is None:
        return []
    kept = {course.metric: course for course in courses}
    rows = _audit_rows(looks)
    panels = []
    for shift in sorted(impact.shifts, key=_sorting):
        course = kept.get(shift.metric)
        account = rows.get(shift.metric, {})
        judged = account.get("judged")
        panels.append(
            _Panel(
                shift=shift,
                course=course,
                plot=plot(course, deployment, shift) if course else None,
                account=account,
                judged=judged if isinstance(judged, Mapping) else {},
            )
        )
    return panels


def _sorting(shift: Shift) -> tuple[bool, float]:
    """What moved first, by its onset; the others stay in their order."""
    return not shift.moved, shift.onset.timestamp() if shift.moved and shift.onset is not None else float("inf")


def _audit_rows(looks: tuple[Look, ...]) -> Mapping[str, Mapping[str, object]]:
    """What the newest answered look says of each metric."""
    answered = [look for look in looks if look.state is LookState.DONE and look.account]
    metrics = answered[-1].account.get("metrics") if answered else None
    if not isinstance(metrics, Mapping):
        return {}
    return {str(name): account for name, account in metrics.items() if isinstance(account, Mapping)}


async def _earlier(store: Store, ids: tuple[str, ...]) -> list[tuple[MeasuredDeployment, str]]:
    """The deployments of these ids in their order, with their outcome; one that is gone is left out."""
    known = {each.deployment.id: each for each in await store.history.of(ids)}
    return [(known[name], filters.outcome_of(known[name])) for name in ids if name in known]
