"""Every route, with what its caller needs; one that is not in this table is not served."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from aiohttp import web

from afdp_exporter.handlers import (
    annotations,
    automation,
    dataset,
    deployments,
    events,
    exposition,
    gate,
    gate_callers,
    lifecycle,
    planning,
    tables,
    webhooks,
)
from afdp_exporter.handlers.access import Scope
from afdp_exporter.handlers.pages import foretold, listing, rendering, runbooks, story, trust
from afdp_exporter.handlers.pages import gate as gate_page
from afdp_exporter.handlers.reading import LARGEST_BODY
from afdp_exporter.handlers.state import STATE

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call: a scope of None is open to everybody; `kind` names the sender where it takes annotations.

    Where it is `signed`, its handler checks the sender's own secret over the bytes of the body.
    """

    method: str
    path: str
    handler: Handler
    scope: Scope | None
    kind: str | None = None
    signed: bool = False
    largest_body: int = LARGEST_BODY
    keys: tuple[str, ...] = ()  # headers that may carry the token in place of Authorization, for tools with their own


def _open(path: str, handler: Handler) -> Route:
    return Route(method="GET", path=path, handler=handler, scope=None)


def _read(path: str, handler: Handler, method: str = "GET") -> Route:
    return Route(method=method, path=path, handler=handler, scope=Scope.READ)


def _annotate(method: str, path: str, handler: Handler, kind: str | None = None) -> Route:
    return Route(method=method, path=path, handler=handler, scope=Scope.ANNOTATE, kind=kind)


_DATADOG = ("DD-APPLICATION-KEY", "DD-API-KEY")


def _gate(
    method: str, path: str, handler: Handler, *, keys: tuple[str, ...] = (), largest_body: int = LARGEST_BODY
) -> Route:
    return Route(method=method, path=path, handler=handler, scope=Scope.GATE, keys=keys, largest_body=largest_body)


def _administer(method: str, path: str, handler: Handler) -> Route:
    return Route(method=method, path=path, handler=handler, scope=Scope.ADMIN)


ROUTES = (
    _read("/", listing.listing),
    _read("/deployments/{id}", story.story),
    _read("/predictions", foretold.predictions),
    _read("/windows", foretold.windows),
    _read("/patterns", foretold.patterns),
    _read("/gate", gate_page.gate),
    _read("/trust", trust.trust),
    _open("/runbooks/", runbooks.index),
    _open("/runbooks/{name}", runbooks.runbook),
    _open("/assets/{name}", rendering.asset),
    _open("/metrics", exposition.metrics),
    _open("/-/healthy", lifecycle.healthy),
    _open("/-/ready", lifecycle.ready),
    _administer("POST", "/-/reload", lifecycle.reload),
    _administer("PUT", "/-/reload", lifecycle.reload),
    _annotate("POST", "/api/v1/deployments", deployments.create, deployments.KIND),
    _read("/api/v1/deployments", deployments.list_),
    _read("/api/v1/deployments/{id}", deployments.get),
    _read("/api/v1/deployments/{id}/series", deployments.series),
    _read("/api/v1/deployments/{id}/rollout", gate.rollout),
    _annotate("PATCH", "/api/v1/deployments/{id}", deployments.change, deployments.KIND),
    Route(
        method="POST",
        path="/webhooks/{kind}",
        handler=webhooks.receive,
        scope=None,
        signed=True,
        largest_body=webhooks.LARGEST_EVENT,
    ),
    _annotate("POST", "/api/annotations", annotations.create, annotations.KIND),
    _annotate("POST", "/api/annotations/graphite", annotations.create_graphite, annotations.KIND),
    _read("/api/annotations", annotations.list_),
    _read("/api/annotations/tags", annotations.tags),
    _read("/api/annotations/{id}", annotations.get),
    _annotate("PUT", "/api/annotations/{id}", annotations.update, annotations.KIND),
    _annotate("PATCH", "/api/annotations/{id}", annotations.patch, annotations.KIND),
    _annotate("DELETE", "/api/annotations/{id}", annotations.delete),
    _annotate("POST", "/api/v1/events", events.create, events.KIND),
    _read("/api/v1/events", events.list_),
    _read("/api/v1/predictions", planning.predict, method="POST"),
    _read("/api/v1/windows", planning.windows),
    _read("/api/v1/patterns", planning.patterns),
    _gate("GET", "/api/v1/gate", gate.get),
    _gate("POST", "/webhooks/flagger/{hook}/{token}", gate_callers.flagger),
    _gate("POST", "/judge", gate_callers.judge, largest_body=gate_callers.LARGEST_JUDGEMENT),
    _gate("POST", "/api/v2/deployments/gates/evaluation", gate_callers.evaluate, keys=_DATADOG),
    _gate("GET", "/api/v2/deployments/gates/evaluation/{id}", gate_callers.evaluation, keys=_DATADOG),
    _read("/api/v1/automation", automation.automation),
    _administer("PUT", "/api/v1/automation/{service}", automation.allow),
    _administer("POST", "/api/v1/automation/pause", automation.pause),
    _administer("POST", "/api/v1/automation/resume", automation.resume),
    _read("/api/v1/actions", automation.actions),
    _administer("POST", "/api/v1/actions/{id}/approve", automation.approve),
    _administer("POST", "/api/v1/actions/{id}/refuse", automation.refuse),
    _gate("POST", "/api/v1/gate", gate.post),
    _read("/api/v1/tables/stories", tables.stories),
    _read("/api/v1/tables/similar", tables.similar),
    _read("/api/v1/dataset", dataset.dataset),
)
_BY_CALL = {(route.method, route.path): route for route in ROUTES}


def add_routes(app: web.Application, prefix: str = "") -> None:
    """Serve the table, and where a reverse proxy has a path in front of ours, the same behind that path."""
    for route in ROUTES:
        for path in dict.fromkeys((route.path, f"{prefix}{route.path}")):
            if route.method == "GET":
                app.router.add_get(path, route.handler)
            else:
                app.router.add_route(route.method, path, route.handler)


def route_of(request: web.Request) -> Route | None:
    """The route that a request found; None where there is no such page or method."""
    resource = request.match_info.route.resource
    if resource is None:
        return None
    method = "GET" if request.method == "HEAD" else request.method
    return _BY_CALL[method, request.app[STATE].external.own_path(resource.canonical)]
