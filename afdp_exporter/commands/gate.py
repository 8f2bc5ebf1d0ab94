"""`afdp gate`: ask a running exporter whether a deployment may go on; the exit status is the verdict."""

import json
import sys
import time
from datetime import timedelta
from typing import Any, NoReturn

import click

from afdp_exporter.commands._calling import Call, calling_options, plain, refusal, token_of
from afdp_exporter.commands._options import output_option
from afdp_exporter.errors import CallFailed
from afdp_exporter.settings import parse_duration

_EXIT = {"allow": 0, "warn": 0, "hold": 3, "rollback": 4, "unknown": 5}
_LONGEST_POLL = 20.0  # seconds in one request


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401 - click's values
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("gate", epilog="Example: afdp gate --service checkout --version v2.1.0 --phase canary --wait 10m")
@click.option("--service", help="Needed, unless --id is given.")
@click.option("--environment", help="Where to; production, when left out.")
@click.option("--version", help="The version that is to be deployed.")
@click.option("--id", "deployment_id", help="The id of a recorded deployment.")
@click.option(
    "--phase",
    type=click.Choice(["plan", "canary", "preview", "promote", "post"]),
    help="How far it is; plan, when left out.",
)
@click.option(
    "--traffic-ratio", type=click.FloatRange(0, 1, min_open=True), help="The share of requests that it serves."
)
@click.option(
    "--wait",
    type=_Duration(),
    default="0s",
    show_default=True,
    help="Wait so long while the answer is hold or unknown.",
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "allow"]),
    default="fail",
    show_default=True,
    help="What to do where the exporter cannot be asked.",
)
@calling_options(timeout=10.0)
@output_option
def gate(
    url: str, token_file: str | None, *, wait: timedelta, on_error: str, tries: int, timeout: float, output: str,
    **asked: Any,  # noqa: ANN401
) -> None:  # fmt: skip
    """Ask whether a deployment may go on.

    Exit status: 0 allow or warn, 3 hold, 4 rollback, 5 unknown, 1 where it could not be asked.
    """
    if not asked["service"] and not asked["deployment_id"]:
        raise click.UsageError("--service is needed, or --id")
    given = {name: value for name, value in asked.items() if value is not None}
    call = Call(token=token_of(token_file), timeout=timeout + _LONGEST_POLL, tries=tries)
    try:
        found = _ask(call, f"{url.rstrip('/')}/api/v1/gate", given, wait.total_seconds())
    except CallFailed as error:
        _end(plain(error, url), on_error)
    if isinstance(found, str):
        _end(found, on_error)
    click.echo(json.dumps(found) if output == "json" else _as_text(found))
    sys.exit(_EXIT[found["enforced_verdict"]])


def _ask(call: Call, address: str, given: dict[str, Any], wait: float) -> dict[str, Any] | str:
    """The last answer within the time to wait; what is wrong with the question as text."""
    ends = time.monotonic() + wait
    while True:
        left = ends - time.monotonic()
        answer = call("POST", address, given | {"wait": max(min(left, _LONGEST_POLL), 0.0)})
        if not answer.ok:
            return refusal(answer, address)
        found: dict[str, Any] = json.loads(answer.body)
        if _EXIT[found["enforced_verdict"]] in {0, 4} or ends - time.monotonic() <= 0:
            return found


def _as_text(found: dict[str, Any]) -> str:
    shadow = "" if found["mode"] == "enforced" else f"   (shadow: it thinks {found['verdict']})"
    lines = [f"{found['enforced_verdict']}{shadow}", *(f"- {reason}" for reason in found["reasons"])]
    return "\n".join(lines)


def _end(message: str, on_error: str) -> NoReturn:
    click.echo(f"afdp gate: {message}", err=True)
    sys.exit(0 if on_error == "allow" else 1)


COMMAND = gate
