"""How commands call an exporter that runs."""

import asyncio
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from afdp_exporter.errors import CallFailed
from afdp_exporter.http_client import Answer, Client, tried

_F = TypeVar("_F", bound=Callable[..., Any])
_RETRIED = frozenset({429, 500, 502, 503, 504})
_PATIENCE = 60.0  # seconds for all tries
_LARGEST_ANSWER = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """How the exporter is called: with which token, for how long, how often."""

    token: str | None
    timeout: float
    tries: int

    def __call__(self, method: str, url: str, body: dict[str, Any] | None = None) -> Answer:
        """The answer to a call that may be repeated. Raises CallFailed."""
        key = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
        headers = key | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        sent = headers if body is None else {"Content-Type": "application/json"} | headers
        data = None if body is None else json.dumps(body).encode()
        client = Client(trust_env=True)  # a build's way out may be a proxy

        async def call() -> Answer:
            return await client.call(method, url, headers=sent, data=data, seconds=self.timeout, most=_LARGEST_ANSWER)

        return asyncio.run(
            tried(
                call,
                tries=self.tries,
                within=_PATIENCE,
                again=lambda answer: answer.status in _RETRIED,
                after=lambda error: error.reason in {"connection", "timeout"},
            )
        )


def calling_options(timeout: float, why: str = "") -> Callable[[_F], _F]:
    """Where the exporter is, who we are to it, and how long and how often it is called."""
    options = (
        click.option(
            "--url",
            default="http://127.0.0.1:10333",
            envvar="AFDP_URL",
            show_envvar=True,
            show_default=True,
            help="Where the exporter listens.",
        ),
        click.option(
            "--token-file", type=click.Path(exists=True, dir_okay=False), help="A bearer token; or AFDP_TOKEN."
        ),
        click.option(
            "--tries", default=4, show_default=True, type=click.IntRange(1, 20), help="How often to call at most."
        ),
        click.option("--timeout", default=timeout, show_default=True, help=f"Seconds for one try{why}."),
    )

    def added(command: _F) -> _F:
        for option in reversed(options):
            command = option(command)
        return command

    return added


def token_of(file: str | None) -> str | None:
    """The token of the file, else of the environment."""
    if file is None:
        return os.environ.get("AFDP_TOKEN")
    return Path(file).read_text(encoding="utf-8").strip()


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
    return f"{url} cannot be reached: {error}; is it running? --url or AFDP_URL names another exporter"
