"""`/deployments/{id}/label`: the form by which a person says what became of a deployment."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

from aiohttp import web

from afdp_exporter.errors import BadInput, Fault, Forbidden, Malformed
from afdp_exporter.fields import Identifier
from afdp_exporter.handlers.answers import Unsupported
from afdp_exporter.handlers.context import STATE
from afdp_exporter.handlers.deployments import amend, id_of
from afdp_exporter.handlers.operations import FORM, Answer, Body, operation, page_answer, page_operation
from afdp_exporter.handlers.pages.rendering import page
from afdp_exporter.handlers.reading import read_body
from afdp_exporter.model import MeasuredDeployment, Outcome
from afdp_exporter.tracking.intake import DeploymentPatch, read_change

_FIELDS = ("outcome", "note")


@page_operation("labelPage", "The form that corrects a verdict", path={"id": Identifier})
async def form(request: web.Request) -> web.Response:
    """The form, with what is known now."""
    return await _shown(request, {}, ())


@operation(
    "pages",
    "labelForm",
    "What the form sends",
    "The fields `outcome` and `note`, with an `Origin` that is this exporter's own. Programs use "
    "`PATCH /api/v1/deployments/{id}`.",
    path={"id": Identifier},
    body=Body(content={FORM: dict[str, str]}),
    answers={
        303: Answer(says="Kept; leads back to the report.", content={}, headers={"Location": "The report."}),
        422: page_answer("The form again, with what is wrong."),
    },
)
async def submit(request: web.Request) -> web.Response:
    """Keep the label as a PATCH would, then lead back to the report. Raises Forbidden for a form of another page.

    A browser names the page that sent a form in `Origin`, and the limits refuse a foreign one: one that names none is
    refused here, since a stranger's page must not use the credentials that a browser has kept.
    """
    if request.content_type != FORM:
        raise Unsupported(f"a form is expected here: {FORM}")
    if "Origin" not in request.headers:
        raise Forbidden("this form is sent from its own page; programs use PATCH /api/v1/deployments/{id}")
    given = _fields(await read_body(request))
    try:
        change = _change(given)
    except BadInput as error:
        return await _shown(request, given, error.faults)
    stored = await amend(request, id_of(request), change)
    there = f"{request.app[STATE].external.prefix}/deployments/{stored.id}"
    return web.Response(status=303, headers={"Location": there})


def _change(given: Mapping[str, str]) -> DeploymentPatch:
    """The change that the form asks for; an empty note takes the one before back. Raises BadInput."""
    if not given["outcome"]:
        raise BadInput(Fault("outcome", "choose one"))
    return read_change({"outcome": given["outcome"], "note": given["note"] or None})


def _fields(body: bytes) -> dict[str, str]:
    """The fields of the form. Raises Malformed."""
    try:
        found = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=10))
    except ValueError:
        raise Malformed(Fault("body", "is no form")) from None
    return {name: found.get(name, "").strip() for name in _FIELDS}


async def _shown(request: web.Request, given: Mapping[str, str], faults: Sequence[Fault]) -> web.Response:
    store = request.app[STATE].store
    deployment = await store.deployments.find(id_of(request))
    measured = MeasuredDeployment(deployment=deployment, impact=await store.results.impact(deployment.id))
    answer = page(
        request, "label.html", status=422 if faults else 200, deployment=deployment, measured=measured,
        outcomes=list(Outcome), given=given, faults=faults,
    )  # fmt: skip
    answer.headers["Referrer-Policy"] = "same-origin"  # under `no-referrer` a browser would send `Origin: null`
    return answer
