"""What happens to each request before its handler: limits first, then who may, then the body is parsed.

Around all of it, errors become problem answers.
"""

from http import HTTPStatus

import structlog
from aiohttp import web

from afdp_exporter.errors import AFDPError, Forbidden, StoreError, TooLarge
from afdp_exporter.handlers.access import Authenticator
from afdp_exporter.handlers.answers import NO_FORMS, Unsupported, as_json_api, from_error, problem
from afdp_exporter.handlers.browsers import check_host, check_page
from afdp_exporter.handlers.context import LANE, STATE
from afdp_exporter.handlers.operations import Handler, Route
from afdp_exporter.handlers.pages.rendering import problem_page, wants_page
from afdp_exporter.handlers.passwords import TooMany
from afdp_exporter.handlers.reading import LARGEST_BODY
from afdp_exporter.handlers.routes import route_of
from afdp_exporter.handlers.webhooks import sender_of

log = structlog.get_logger(__name__)

_SAFE_METHODS = {"GET", "HEAD"}
_HTTP_REASONS = {404: "not_found", 405: "method"}
_SENDERS = "senders"


@web.middleware
async def own_writes(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what changes something once this process shows the change, on `/metrics` and at the gate."""
    answered = await handler(request)
    if request.method not in _SAFE_METHODS:
        await request.app[STATE].follower.caught_up()
    return answered


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error into an answer; only what nobody expected leaves a traceback, in the log."""
    state = request.app[STATE]
    state.load.connections.asked(request.protocol)
    try:
        return await handler(request)
    except AFDPError as error:
        answered, reason = from_error(error)
        state.instruments.refusals.refused(reason)
        route = route_of(request)
        kind = route.kind or sender_of(request) if route is not None else None
        if kind is not None:
            state.instruments.annotations.rejected(kind, reason)
        level = log.error if isinstance(error, StoreError) or answered.status == 500 else log.info
        level("refused", method=request.method, path=_shown(request), status=answered.status, reason=reason)
        return _as_asked(request, answered, str(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        state.instruments.refusals.refused(_HTTP_REASONS.get(error.status, "malformed"))
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        detail = f"{request.method} {_shown(request)}: {error.reason}"
        return _as_asked(request, problem(HTTPStatus(error.status), detail, headers=allow), detail)
    except ConnectionError:
        raise  # the caller has gone, and aiohttp ends the connection
    except Exception:
        log.exception("request failed", method=request.method, path=_shown(request))
        state.instruments.refusals.refused("internal")
        detail = "this could not be done; the log says more"
        return _as_asked(request, problem(HTTPStatus.INTERNAL_SERVER_ERROR, detail), detail)
    finally:
        state.load.end(request.protocol)


def _as_asked(request: web.Request, answered: web.Response, detail: str) -> web.Response:
    """A problem as it is, as the tool reads it whose API it is, or as a page where a browser asked for one."""
    route = route_of(request)
    if route is not None and route.json_api:
        return as_json_api(answered)
    return problem_page(request, answered, detail) if wants_page(request) else answered


@web.middleware
async def limits(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what is too large or comes in a form that browsers send for strangers, before anything is read."""
    state = request.app[STATE]
    users = (await state.web.fresh()).basic_auth_users
    if not users and not state.rules.tokens:
        check_host(request, state.names)
    check_page(request, request.app[STATE].external.url)
    if not state.web.take():
        raise TooMany("more requests than the rate_limit of the web configuration lets in")
    route = route_of(request)
    most = LARGEST_BODY if route is None else route.largest_body
    if request.content_length is not None and request.content_length > most:
        raise TooLarge(f"at most {most} bytes are read here")
    if request.method not in _SAFE_METHODS:
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Unsupported("compressed bodies are not read here")
        if request.content_type == "multipart/form-data":
            raise Unsupported(NO_FORMS)
    return await handler(request)


@web.middleware
async def authentication(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let nobody in whom the route does not allow; what is no route of ours finds nothing behind this.

    Where a sender proves itself by its body, the handler checks that first of all.
    """
    state = request.app[STATE]
    web, rules = state.web.known, state.rules
    certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
    if web.tls_server_config is not None and not web.tls_server_config.allows(certificate):
        raise Forbidden("no name of this client certificate is among client_allowed_sans")
    route = route_of(request)
    if route is not None and route.signed:
        request[LANE] = _SENDERS
        return await handler(request)
    door = Authenticator(tokens=rules.tokens, users=rules.users, hashes=web.basic_auth_users, passwords=state.passwords)
    scope = route.scope if route is not None else None
    await door.authorize(_credential(request, route), scope, address=request.remote or "", now=state.clock())
    if scope is not None:
        request[LANE] = scope
    if not request.can_read_body:
        state.load.begin(request.protocol, scope)
    return await handler(request)


async def secure(request: web.Request, response: web.StreamResponse) -> None:
    """Headers that keep browsers from running or embedding anything of ours; the web configuration may say more."""
    response.headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers["Server"] = "afdp-exporter"
    for name, value in request.app[STATE].web.known.http_server_config.headers.items():
        response.headers[name] = value


def _credential(request: web.Request, route: Route | None) -> str | None:
    """The header `Authorization`, or the token that a tool with no choice of headers sends in its own place."""
    given = request.headers.get("Authorization")
    if given is None and route is not None:
        own = next((request.headers[name] for name in route.keys if name in request.headers), None)
        token = own if own is not None else request.match_info.get("token")
        given = None if token is None else f"Bearer {token}"
    return given


def _shown(request: web.Request) -> str:
    """The path as it may be logged: a token in it may not."""
    token = request.match_info.get("token")
    return request.path if not token else request.path.replace(token, "***")
