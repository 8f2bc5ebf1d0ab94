"""Every route, with what its caller needs; one that is not in this table is not served."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from afdp_exporter.handlers import (
    annotations,
    dataset,
    deployments,
    events,
    exposition,
    lifecycle,
    planning,
    tables,
    webhooks,
)
from afdp_exporter.handlers.access import Scope
from afdp_exporter.handlers.pages import foretold, listing, rendering, story, trust
from afdp_exporter.handlers.reading import LARGEST_BODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call: a scope of None is open to everybody; `kind` names the sender where it takes annotations.

    Where it is `signed`, its handler checks the sender's own secret over the bytes of the body.
    """

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    scope: Scope | None
    kind: str | None = None
    signed: bool = False
    largest_body: int = LARGEST_BODY


ROUTES = (
    Route(method="GET", path="/", handler=listing.listing, scope=Scope.READ),
    Route(method="GET", path="/deployments/{id}", handler=story.story, scope=Scope.READ),
    Route(method="GET", path="/predictions", handler=foretold.predictions, scope=Scope.READ),
    Route(method="GET", path="/windows", handler=foretold.windows, scope=Scope.READ),
    Route(method="GET", path="/patterns", handler=foretold.patterns, scope=Scope.READ),
    Route(method="GET", path="/trust", handler=trust.trust, scope=Scope.READ),
    Route(method="GET", path="/assets/{name}", handler=rendering.asset, scope=None),
    Route(method="GET", path="/metrics", handler=exposition.metrics, scope=None),
    Route(method="GET", path="/-/healthy", handler=lifecycle.healthy, scope=None),
    Route(method="GET", path="/-/ready", handler=lifecycle.ready, scope=None),
    Route(method="POST", path="/-/reload", handler=lifecycle.reload, scope=Scope.ADMIN),
    Route(method="PUT", path="/-/reload", handler=lifecycle.reload, scope=Scope.ADMIN),
    Route(
        method="POST",
        path="/api/v1/deployments",
        handler=deployments.create,
        scope=Scope.ANNOTATE,
        kind=deployments.KIND,
    ),
    Route(method="GET", path="/api/v1/deployments", handler=deployments.list_, scope=Scope.READ),
    Route(method="GET", path="/api/v1/deployments/{id}", handler=deployments.get, scope=Scope.READ),
    Route(method="GET", path="/api/v1/deployments/{id}/series", handler=deployments.series, scope=Scope.READ),
    Route(
        method="PATCH",
        path="/api/v1/deployments/{id}",
        handler=deployments.change,
        scope=Scope.ANNOTATE,
        kind=deployments.KIND,
    ),
    Route(
        method="POST",
        path="/webhooks/{kind}",
        handler=webhooks.receive,
        scope=None,
        signed=True,
        largest_body=webhooks.LARGEST_EVENT,
    ),
    Route(
        method="POST",
        path="/api/annotations",
        handler=annotations.create,
        scope=Scope.ANNOTATE,
        kind=annotations.KIND,
    ),
    Route(
        method="POST",
        path="/api/annotations/graphite",
        handler=annotations.create_graphite,
        scope=Scope.ANNOTATE,
        kind=annotations.KIND,
    ),
    Route(method="GET", path="/api/annotations", handler=annotations.list_, scope=Scope.READ),
    Route(method="GET", path="/api/annotations/tags", handler=annotations.tags, scope=Scope.READ),
    Route(method="GET", path="/api/annotations/{id}", handler=annotations.get, scope=Scope.READ),
    Route(
        method="PUT",
        path="/api/annotations/{id}",
        handler=annotations.update,
        scope=Scope.ANNOTATE,
        kind=annotations.KIND,
    ),
    Route(
        method="PATCH",
        path="/api/annotations/{id}",
        handler=annotations.patch,
        scope=Scope.ANNOTATE,
        kind=annotations.KIND,
    ),
    Route(method="DELETE", path="/api/annotations/{id}", handler=annotations.delete, scope=Scope.ANNOTATE),
    Route(method="POST", path="/api/v1/events", handler=events.create, scope=Scope.ANNOTATE, kind=events.KIND),
    Route(method="GET", path="/api/v1/events", handler=events.list_, scope=Scope.READ),
    Route(method="POST", path="/api/v1/predictions", handler=planning.predict, scope=Scope.READ),
    Route(method="GET", path="/api/v1/windows", handler=planning.windows, scope=Scope.READ),
    Route(method="GET", path="/api/v1/patterns", handler=planning.patterns, scope=Scope.READ),
    Route(method="GET", path="/api/v1/tables/stories", handler=tables.stories, scope=Scope.READ),
    Route(method="GET", path="/api/v1/tables/similar", handler=tables.similar, scope=Scope.READ),
    Route(method="GET", path="/api/v1/dataset", handler=dataset.dataset, scope=Scope.READ),
)
_BY_CALL = {(route.method, route.path): route for route in ROUTES}


def add_routes(app: web.Application) -> None:
    """Serve the table."""
    for route in ROUTES:
        if route.method == "GET":
            app.router.add_get(route.path, route.handler)
        else:
            app.router.add_route(route.method, route.path, route.handler)


def route_of(request: web.Request) -> Route | None:
    """The route that a request found; None where there is no such page or method."""
    resource = request.match_info.route.resource
    if resource is None:
        return None
    method = "GET" if request.method == "HEAD" else request.method
    return _BY_CALL[method, resource.canonical]
