"""Every route, with what its caller needs; one that is not in this table is not served."""

import re
from collections.abc import Sequence
from functools import lru_cache

from aiohttp import web

from afdp_exporter.external import External
from afdp_exporter.handlers import (
    annotations,
    automation,
    dataset,
    deployments,
    digest,
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
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.openapi import Description
from afdp_exporter.handlers.operations import Handler, Route
from afdp_exporter.handlers.pages import api, index, labelling, predictions, rendering, runbooks, services, story, trust
from afdp_exporter.handlers.pages import gate as gate_page
from afdp_exporter.handlers.reading import LARGEST_BODY


def _open(path: str, handler: Handler) -> Route:
    return Route(method="GET", path=path, handler=handler, scope=None)


def _read(path: str, handler: Handler, method: str = "GET") -> Route:
    return Route(method=method, path=path, handler=handler, scope=Scope.READ)


def _annotate(method: str, path: str, handler: Handler, kind: str | None = None) -> Route:
    return Route(method=method, path=path, handler=handler, scope=Scope.ANNOTATE, kind=kind)


def _gate(method: str, path: str, handler: Handler, *, largest_body: int = LARGEST_BODY) -> Route:
    return Route(method=method, path=path, handler=handler, scope=Scope.GATE, largest_body=largest_body)


def _datadog(method: str, path: str, handler: Handler) -> Route:
    return Route(
        method=method, path=path, handler=handler, scope=Scope.GATE, keys=("DD-APPLICATION-KEY", "DD-API-KEY"),
        json_api=True,
    )  # fmt: skip


def _administer(method: str, path: str, handler: Handler) -> Route:
    return Route(method=method, path=path, handler=handler, scope=Scope.ADMIN)


ROUTES = (
    _read("/", index.listing),
    _read("/deployments/{id}", story.story),
    _read("/deployments/{id}/label", labelling.form),
    _annotate("POST", "/deployments/{id}/label", labelling.submit, deployments.KIND),
    _read("/services", services.index),
    _read("/services/{service}", services.service),
    _read("/predictions", predictions.predictions),
    _read("/windows", predictions.windows),
    _read("/patterns", predictions.patterns),
    _read("/gate", gate_page.gate),
    _read("/trust", trust.trust),
    _open("/api", api.index),
    _open("/api/v1/openapi.json", api.description),
    _open("/openapi.yaml", api.description_file),
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
    _datadog("POST", "/api/v2/deployments/gates/evaluation", gate_callers.evaluate),
    _datadog("GET", "/api/v2/deployments/gates/evaluation/{id}", gate_callers.evaluation),
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
    _read("/api/v1/digest", digest.get),
    _read("/api/v1/dataset", dataset.dataset),
)
_BY_CALL = {(route.method, route.path): route for route in ROUTES}


_PLACE = re.compile(r"\{(\w+)\}")  # of which aiohttp's own take no braces, which names may hold
_OF_EVERY_PROCESS = {"/metrics", "/-/healthy", "/-/ready", "/-/reload"}


def add_routes(app: web.Application, prefixes: Sequence[str] = ("",), *, all_of_them: bool = True) -> None:
    """Serve the table, and where a reverse proxy has a path in front of ours, the same behind that path.

    Without `all_of_them` only what each process has: how it goes.
    """
    app[api.DESCRIPTION] = Description(ROUTES)
    for route in (each for each in ROUTES if all_of_them or each.path in _OF_EVERY_PROCESS):
        for path in (prefix + _PLACE.sub(r"{\1:[^/]+}", route.path) for prefix in prefixes):
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
    return _BY_CALL[method, _own_path(request.app[STATE].external, resource.canonical)]


@lru_cache(1024)
def _own_path(external: External, canonical: str) -> str:
    return external.own_path(canonical)
