"""`afdp annotate`: tell a running exporter of a deployment, from a deploy script."""

import asyncio
import json
import os
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any, TypeVar

import click

from afdp_exporter.errors import CallFailed
from afdp_exporter.http_client import Answer, Client, tried
from afdp_exporter.model import ChangeType, Status, Strategy

_F = TypeVar("_F", bound=Callable[..., Any])
_CHANGES = [word.value for word in ChangeType]
_RETRIED = frozenset({429, 500, 502, 503, 504})
_KNOWN = 200
_PATIENCE = 60.0  # seconds for all tries
_LARGEST_ANSWER = 16 * 1024 * 1024
_CI = {  # a variable that tells which CI this is -> what its other variables say
    "GITHUB_ACTIONS": {
        "commit": "$GITHUB_SHA",
        "actor": "$GITHUB_ACTOR",
        "url": "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID",
    },
    "GITLAB_CI": {"commit": "$CI_COMMIT_SHA", "actor": "$GITLAB_USER_LOGIN", "url": "$CI_JOB_URL"},
    "JENKINS_URL": {"commit": "$GIT_COMMIT", "url": "$BUILD_URL"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """How the exporter is called: with which token, for how long, how often."""

    token: str | None
    timeout: float
    tries: int

    def __call__(self, method: str, url: str, body: dict[str, Any]) -> Answer:
        """The answer to a call that may be repeated. Raises CallFailed."""
        key = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        headers = key | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        told = {"Content-Type": "application/json"} | headers
        client = Client(trust_env=True)  # a build's way out may be a proxy

        async def call() -> Answer:
            return await client.call(
                method, url, headers=told, data=json.dumps(body).encode(), seconds=self.timeout, most=_LARGEST_ANSWER
            )

        return asyncio.run(
            tried(
                call,
                tries=self.tries,
                within=_PATIENCE,
                again=lambda answer: answer.status in _RETRIED,
                after=lambda error: error.reason in {"connection", "timeout"},
            )
        )


_WHO = (
    click.option(
        "--url",
        default="http://127.0.0.1:10333",
        envvar="AFDP_URL",
        show_envvar=True,
        show_default=True,
        help="Where the exporter listens.",
    ),
    click.option("--token-file", type=click.Path(exists=True, dir_okay=False), help="A bearer token; or AFDP_TOKEN."),
)
_WHAT = (
    click.option("--service", required=True),
    click.option("--environment"),
    click.option("--version"),
    click.option("--previous-version"),
    click.option("--id", "id_", help="Yours, such as the pipeline's: the same id again tells how it went on."),
    click.option("--started-at", help="RFC 3339 or Unix time; now, when left out."),
    click.option("--actor"),
    click.option("--team"),
    click.option("--change-type", "change_types", multiple=True, type=click.Choice(_CHANGES)),
    click.option("--strategy", type=click.Choice([word.value for word in Strategy])),
    click.option("--traffic-ratio", type=click.FloatRange(0, 1)),
    click.option("--description"),
    click.option("--trait", "traits", multiple=True, metavar="KEY=VALUE", help="A fact to learn from; repeatable."),
    click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Repeatable."),
)
_HOW = (
    click.option("--tries", default=4, show_default=True, type=click.IntRange(1, 20)),
    click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True),
)


def describing(command: _F) -> _F:
    """The options that describe a deployment to a running exporter, for every command that does."""
    for option in reversed((*_WHO, *_WHAT, *_HOW)):
        command = option(command)
    return command


@click.command(
    "annotate",
    epilog="Example: afdp annotate --service checkout --version v2.1.0 --id $CI_PIPELINE_ID --trait table_rows=1200000",
)
@describing
@click.option("--timeout", default=5.0, show_default=True, help="Seconds for one try.")
@click.option("--finished-at", help="RFC 3339 or Unix time.")
@click.option("--status", type=click.Choice([word.value for word in Status]))
@click.option("--link", help="A page about the deployment.")
@click.option("--commit")
@click.option("--fail", is_flag=True, help="Exit with 1 when it could not be told; a deploy is not stopped otherwise.")
def annotate(
    url: str,
    token_file: str | None,
    *,
    timeout: float,
    tries: int,
    fail: bool,
    output: str,
    **told: Any,  # noqa: ANN401 - click's values
) -> None:
    """Tell a running exporter of a deployment. Tries again for a while, and never fails the deploy unless asked.

    In GitHub Actions, GitLab CI and Jenkins commit, actor and link are filled in where nothing is said. Run it before
    the deployment with --status started and after it with the same --id and --status succeeded.
    """
    body = _ci() | body_of(told)
    call = Call(token=token_of(token_file), timeout=timeout, tries=tries)
    try:
        answer = _tell(call, f"{url.rstrip('/')}/api/v1/deployments", body)
    except CallFailed as error:
        _end(plain(error, url), fail=fail)
        return
    if not answer.ok:
        _end(refusal(answer, url), fail=fail)
        return
    stored = json.loads(answer.body)
    for warning in stored.get("warnings", ()):
        click.echo(f"afdp annotate: warning: {warning}", err=True)
    click.echo(json.dumps(stored) if output == "json" else f"told: deployment {stored['id']} of {stored['service']}")


def body_of(told: dict[str, Any]) -> dict[str, Any]:
    """The body that the options stand for."""
    body = {key: value for key, value in told.items() if value is not None and value != ()}
    renamed = {"id_": "id", "link": "url"}
    body = {renamed.get(key, key): list(value) if isinstance(value, tuple) else value for key, value in body.items()}
    for key, read in (("traits", _trait), ("labels", str)):
        if key in body:
            body[key] = dict(_pair(pair, read) for pair in body[key])
    for key in ("started_at", "finished_at"):
        if key in body:
            body[key] = _trait(body[key])
    return body


def _pair(text: str, read: Any) -> tuple[str, Any]:  # noqa: ANN401
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE")
    return key, read(value)


def _trait(text: str) -> str | float | bool:
    if text in {"true", "false"}:
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def token_of(file: str | None) -> str | None:
    """The token of the file, else of the environment."""
    if file is None:
        return os.environ.get("AFDP_TOKEN")
    return Path(file).read_text(encoding="utf-8").strip()


def _ci() -> dict[str, str]:
    """What the variables of a CI system say."""
    names = next((names for sign, names in _CI.items() if os.environ.get(sign)), {})
    found = {field: Template(text).safe_substitute(os.environ) for field, text in names.items()}
    return {field: text for field, text in found.items() if "$" not in text and text}


def _tell(call: Call, url: str, body: dict[str, Any]) -> Answer:
    """Record it; where it is known already, tell how it went on."""
    answer = call("POST", url, body)
    news = {key: value for key, value in body.items() if key not in {"id", "service", "environment"}}
    if answer.status != _KNOWN or "id" not in body or not news:
        return answer
    return call("PATCH", f"{url}/{body['id']}", news)


def refusal(answer: Answer, url: str) -> str:
    """What the exporter at `url` has against it, by field."""
    try:
        problem = json.loads(answer.body)
        faults = [f"{fault['field']}: {fault['message']}" for fault in problem.get("errors", [])]
        why = "; ".join(faults) or str(problem["detail"])
    except (ValueError, AttributeError, KeyError, TypeError):
        why = "is this an afdp-exporter?"
    return f"{url} refused with {answer.status}: {why}"


def plain(error: CallFailed, url: str) -> str:
    """Why the exporter at `url` could not be reached."""
    if error.reason == "address":
        return f"{url} is no address of an exporter: it begins with http:// or https://"
    return f"{url} cannot be reached: {error}"


def _end(message: str, *, fail: bool) -> None:
    click.echo(f"afdp annotate: {message}", err=True)
    if fail:
        sys.exit(1)


COMMAND = annotate
