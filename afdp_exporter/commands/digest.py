"""`afdp digest`: the last days in short, from an exporter that runs."""

import json
import sys
from typing import Any, NoReturn
from urllib.parse import urlencode

import click

from afdp_exporter.commands._calling import Call, calling_options, plain, refusal, token_of
from afdp_exporter.commands._options import output_option
from afdp_exporter.errors import CallFailed


@click.command("digest", epilog='Example: afdp digest --days 7 | mail -s "Deployments of the week" team@example.org')
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 92), help="How many, up to now.")
@click.option("--service", help="Of one service alone.")
@click.option("--environment", help="Of one environment alone.")
@calling_options(timeout=30.0)
@output_option
def digest(
    url: str, token_file: str | None, *, tries: int, timeout: float, output: str,
    **asked: Any,  # noqa: ANN401 - click's values
) -> None:  # fmt: skip
    """Print the last days in short: deployments, harm, money.

    It is plain text, for a mail or a chat.
    """
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    call = Call(token=token_of(token_file), timeout=timeout, tries=tries)
    try:
        answer = call("GET", f"{url.rstrip('/')}/api/v1/digest?{query}")
    except CallFailed as error:
        _end(plain(error, url))
    if not answer.ok:
        _end(refusal(answer, url))
    found = json.loads(answer.body)
    click.echo(json.dumps(found) if output == "json" else found["text"])


def _end(message: str) -> NoReturn:
    click.echo(f"afdp digest: {message}", err=True)
    sys.exit(1)


COMMAND = digest
