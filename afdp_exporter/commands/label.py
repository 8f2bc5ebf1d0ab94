"""`afdp label`: a person corrects or confirms an outcome; it replaces what was measured."""

import json
import sys
from typing import Any, NoReturn
from urllib.parse import quote

import click

from afdp_exporter.commands._calling import Call, calling_options, plain, refusal, token_of
from afdp_exporter.commands._options import output_option
from afdp_exporter.errors import CallFailed
from afdp_exporter.model import Outcome


@click.command("label", epilog='Example: afdp label checkout-v2.1.0 success --note "the provider was down"')
@click.option("--note", help="Why, in a sentence; shown beside the outcome.")
@calling_options(timeout=5.0)
@output_option
@click.argument("deployment_id")
@click.argument("outcome", type=click.Choice([word.value for word in Outcome]))
def label(deployment_id: str, outcome: str, **how: Any) -> None:  # noqa: ANN401 - click's values
    """Correct or confirm the outcome of a deployment."""
    url, body = how["url"], {"outcome": outcome} | ({"note": how["note"]} if how["note"] is not None else {})
    address = f"{url.rstrip('/')}/api/v1/deployments/{quote(deployment_id, safe='')}"
    call = Call(token=token_of(how["token_file"]), timeout=how["timeout"], tries=how["tries"])
    try:
        answer = call("PATCH", address, body)
    except CallFailed as error:
        _end(plain(error, url))
    if not answer.ok:
        _end(refusal(answer, address))
    stored: dict[str, Any] = json.loads(answer.body)
    text = f"deployment {stored['id']} of {stored['service']} is labelled {outcome}"
    click.echo(json.dumps(stored) if how["output"] == "json" else text)


def _end(message: str) -> NoReturn:
    click.echo(f"afdp label: {message}", err=True)
    sys.exit(1)


COMMAND = label
