"""`afdp digest`: the last days in short, from an exporter that runs."""

import json
import sys
from typing import Any, NoReturn
from urllib.parse import urlencode

import click

from afdp_exporter.commands.annotate import Call, plain, refusal, token_of
from afdp_exporter.errors import CallFailed


@click.command("digest", epilog='Example: afdp digest --days 7 | mail -s "Deployments of the week" team@example.org')
@click.option(
    "--url", default="http://127.0.0.1:10333", envvar="AFDP_URL", show_envvar=True, show_default=True,
    help="Where the exporter listens.",
)  # fmt: skip
@click.option("--token-file", type=click.Path(exists=True, dir_okay=False), help="A bearer token; or AFDP_TOKEN.")
@click.option("--days", default=7, show_default=True, type=click.IntRange(1, 92), help="How many, up to now.")
@click.option("--service", help="Of one service alone.")
@click.option("--environment", help="Of one environment alone.")
@click.option("--tries", default=4, show_default=True, type=click.IntRange(1, 20), help="How often to call at most.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds for one try.")
@click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print it."
)
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
