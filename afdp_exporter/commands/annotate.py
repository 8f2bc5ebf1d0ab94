"""`afdp annotate`: report a deployment to a running exporter, from a deploy script."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Any, TypeVar

import click
import numpy as np

from afdp_exporter.commands._calling import Call, calling_options, plain, refusal, token_of
from afdp_exporter.commands._options import output_option
from afdp_exporter.errors import BadInput, CallFailed
from afdp_exporter.http_client import Answer
from afdp_exporter.model import ChangeType, Status, Strategy
from afdp_exporter.planning.cloud_cost import CHANCES, request_change
from afdp_exporter.planning.manifests import pairs_of, read_folder

_F = TypeVar("_F", bound=Callable[..., Any])
_CHANGES = [word.value for word in ChangeType]
_KNOWN = 200
_DRAWS = 2000  # of a day under the requests of manifests
_CI = {  # a variable that says which CI this is -> what its other variables say
    "GITHUB_ACTIONS": {
        "commit": "$GITHUB_SHA",
        "actor": "$GITHUB_ACTOR",
        "url": "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID",
    },
    "GITLAB_CI": {"commit": "$CI_COMMIT_SHA", "actor": "$GITLAB_USER_LOGIN", "url": "$CI_JOB_URL"},
    "JENKINS_URL": {"commit": "$GIT_COMMIT", "url": "$BUILD_URL"},
}


_WHAT = (
    click.option("--service", required=True, help="Which service is deployed, as the configuration names it."),
    click.option("--environment", help="Where to; production, when left out."),
    click.option("--version", help="The version that is deployed."),
    click.option("--previous-version", help="The one that it replaces; the last known one, when left out."),
    click.option("--id", "id_", help="Yours, such as the pipeline's; the same id again updates it."),
    click.option("--started-at", help="RFC 3339 or Unix time; now, when left out."),
    click.option("--actor", help="Who deploys."),
    click.option("--team", help="Whose service it is."),
    click.option(
        "--change-type", "change_types", multiple=True, type=click.Choice(_CHANGES), help="What is changed; repeatable."
    ),
    click.option("--strategy", type=click.Choice([word.value for word in Strategy]), help="How it is rolled out."),
    click.option(
        "--traffic-ratio", type=click.FloatRange(0, 1), help="The share of requests that it serves, such as .05."
    ),
    click.option("--description", help="What changes, in a sentence."),
    click.option("--trait", "traits", multiple=True, metavar="KEY=VALUE", help="A fact to learn from; repeatable."),
    click.option(
        "--manifests",
        nargs=2,
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="BEFORE AFTER",
        help="Two folders of Kubernetes manifests: what the second requests more becomes traits with a cloud cost.",
    ),
    click.option("--nodes", type=click.IntRange(1), help="On how many a DaemonSet of the manifests runs; 1."),
    click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label to find it by; repeatable."),
)


def describing(command: _F) -> _F:
    """The options that describe a deployment, for every command that does."""
    for option in reversed(_WHAT):
        command = option(command)
    return command


@click.command(
    "annotate",
    epilog="Example: afdp annotate --service checkout --version v2.1.0 --id $CI_PIPELINE_ID --trait table_rows=1200000",
)
@describing
@click.option("--finished-at", help="RFC 3339 or Unix time.")
@click.option("--status", type=click.Choice([word.value for word in Status]), help="How far it is.")
@click.option("--link", help="A page about the deployment.")
@click.option("--commit", help="The commit that is deployed.")
@click.option("--fail", is_flag=True, help="Exit 1 if the exporter cannot be reached (default: warn and exit 0).")
@calling_options(timeout=5.0)
@output_option
def annotate(
    url: str,
    token_file: str | None,
    *,
    timeout: float,
    tries: int,
    fail: bool,
    output: str,
    **options: Any,  # noqa: ANN401 - click's values
) -> None:
    """Report a deployment to a running exporter.

    It tries again for a while, and never fails the deploy unless asked. In GitHub Actions, GitLab CI and Jenkins
    commit, actor and link are filled in where nothing is said. Run it before the deployment with --status started
    and after it with the same --id and --status succeeded.
    """
    call = Call(token=token_of(token_file), timeout=timeout, tries=tries)
    try:
        body = _ci() | body_of(options)
        answer = _send(call, f"{url.rstrip('/')}/api/v1/deployments", body)
    except BadInput as error:
        _end(str(error), fail=fail)
        return
    except CallFailed as error:
        _end(plain(error, url), fail=fail)
        return
    if not answer.ok:
        _end(refusal(answer, url), fail=fail)
        return
    stored = json.loads(answer.body)
    for warning in stored.get("warnings", ()):
        click.echo(f"afdp annotate: warning: {warning}", err=True)
    text = f"reported: deployment {stored['id']} of {stored['service']}"
    click.echo(json.dumps(stored) if output == "json" else text)


def body_of(options: dict[str, Any]) -> dict[str, Any]:
    """The body that the options stand for. Raises BadInput for manifests that cannot be read."""
    manifests, nodes = (options.pop(name) for name in ("manifests", "nodes"))
    body = {key: value for key, value in options.items() if value is not None and value != ()}
    renamed = {"id_": "id", "link": "url"}
    body = {renamed.get(key, key): list(value) if isinstance(value, tuple) else value for key, value in body.items()}
    for key, read in (("traits", _trait), ("labels", str)):
        if key in body:
            body[key] = dict(_pair(pair, read) for pair in body[key])
    for key in ("started_at", "finished_at"):
        if key in body:
            body[key] = _trait(body[key])
    if manifests is not None:
        body["traits"] = _of_manifests(manifests, nodes or 1) | body.get("traits", {})
    return body


def _of_manifests(folders: tuple[Path, Path], nodes: int) -> dict[str, float]:
    """The traits of what the second folder requests more than the first; what was not counted is said."""
    earlier, later = (read_folder(folder, nodes) for folder in folders)
    for note in dict.fromkeys((*earlier.notes, *later.notes)):
        click.echo(f"afdp: {note}", err=True)
    pairs = pairs_of(earlier, later)
    return request_change(pairs, np.random.default_rng(0).random((_DRAWS, len(pairs), CHANCES))).traits()


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


def _ci() -> dict[str, str]:
    """What the variables of a CI system say."""
    names = next((names for sign, names in _CI.items() if os.environ.get(sign)), {})
    found = {field: Template(text).safe_substitute(os.environ) for field, text in names.items()}
    return {field: text for field, text in found.items() if "$" not in text and text}


def _send(call: Call, url: str, body: dict[str, Any]) -> Answer:
    """Record it; where it is known already, report how it went on."""
    answer = call("POST", url, body)
    news = {key: value for key, value in body.items() if key not in {"id", "service", "environment"}}
    if answer.status != _KNOWN or "id" not in body or not news:
        return answer
    return call("PATCH", f"{url}/{body['id']}", news)


def _end(message: str, *, fail: bool) -> None:
    click.echo(f"afdp annotate: {message}", err=True)
    if fail:
        sys.exit(1)


COMMAND = annotate
