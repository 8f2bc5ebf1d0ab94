"""Datadog's own clients ask our gate: the command line datadog-ci over HTTPS, and datadog-api-client."""

import asyncio
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import trustme
from datadog_api_client import ApiClient, Configuration
from datadog_api_client.exceptions import ApiException, NotFoundException
from datadog_api_client.v2.api.deployment_gates_api import DeploymentGatesApi
from datadog_api_client.v2.model.deployment_gates_evaluation_request import DeploymentGatesEvaluationRequest

from afdp_exporter.config import read
from afdp_exporter.handlers.connections import listening
from afdp_exporter.model import Outcome
from afdp_exporter.server import make_app
from afdp_exporter.store import Store
from afdp_exporter.store.sqlite import SQLiteStore
from deploy.conftest import DEPLOY, Done, run
from gated import ENFORCED, NOON, deployment, impact
from remembering import remember

pytestmark = pytest.mark.filterwarnings("ignore:Using unstable operation")  # as Datadog calls this API of its own
SCRIPT = DEPLOY / "gates/datadog-ci/afdp-gate.sh"
SITE, TOKEN = "afdp.test", "canary-gate"
GOES_ON, WAITS, GOES_BACK = Outcome.SUCCESS, Outcome.DEGRADATION, Outcome.FAILURE
REASON = "So far: failure, as planted."


@dataclass
class Gate:
    """An exporter that knows checkout v2; it is served by HTTPS, as `api.afdp.test` behind a proxy."""

    folder: Path
    store: Store
    now: datetime
    environment: dict[str, str]
    url: str = ""

    async def became(self, outcome: Outcome) -> None:
        await remember(self.store, deployment(), impact(outcome))

    async def ask(self, command: tuple[str, ...], *more: str) -> Done:
        words = ("deployment", "gate", "--service", "checkout", "--env", "production", *more)
        return await run(*command, *words, env=self.environment, cwd=self.folder)


Relay = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


def proxy(port: int) -> Relay:
    """An HTTP proxy for whom every name leads to the exporter."""

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert asked.startswith(f"CONNECT api.{SITE}:443 ".encode())
        inner, outer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(pump(reader, outer), pump(inner, writer))

    return relay


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(f"api.{SITE}", "127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    store = await SQLiteStore.open(tmp_path / "afdp.db")
    config = read(
        {
            **ENFORCED,
            "sources": [{"kind": "recording", "path": str(tmp_path)}],
            "tokens": [{"name": "gate", "token": TOKEN, "scopes": ["gate"]}],
        }
    )
    made = Gate(folder=tmp_path, store=store, now=NOON, environment={})
    app = make_app(config, store=store, clock=lambda: made.now)
    async with listening(app, [("127.0.0.1", 0)], tls=tls) as (made.url,):
        relay = await asyncio.start_server(proxy(urlsplit(made.url).port or 0), "127.0.0.1", 0)
        made.environment = {
            "DD_BETA_COMMANDS_ENABLED": "1", "DD_SITE": SITE, "DD_API_KEY": "any", "DD_APP_KEY": TOKEN,
            "NODE_EXTRA_CA_CERTS": str(tmp_path / "ca.pem"),
            "HTTPS_PROXY": "http://127.0.0.1:{}".format(*relay.sockets[0].getsockname()[1:]),
        }  # fmt: skip
        yield made
        relay.close()
    await store.close()


@pytest.mark.parametrize(
    ("outcome", "status", "said"), [(GOES_ON, 0, "Gate evaluation passed"), (GOES_BACK, 1, "Gate evaluation failed")]
)
async def test_datadogs_command_line_ends_as_the_gate_says(
    gate: Gate, datadog_command: tuple[str, ...], outcome: Outcome, status: int, said: str
) -> None:
    await gate.became(outcome)
    done = await gate.ask(datadog_command, "--version", "v2")
    assert (done.code, said in done.out) == (status, True), done.out + done.err
    assert (REASON in done.out) == (outcome is GOES_BACK)
    assert TOKEN not in done.out + done.err


@pytest.mark.parametrize(("words", "status"), [((), 0), (("--fail-on-error",), 1)])
async def test_a_hold_outlasts_the_patience_of_datadogs_command_line(
    gate: Gate, datadog_command: tuple[str, ...], words: tuple[str, ...], status: int
) -> None:
    await gate.became(WAITS)
    done = await gate.ask(datadog_command, "--version", "v2", "--timeout", "1", *words)
    assert done.code == status, done.out + done.err
    assert "Timeout reached" in done.out + done.err


async def test_a_refusal_is_reported_and_not_tried_again(gate: Gate, datadog_command: tuple[str, ...]) -> None:
    done = await gate.ask(datadog_command, "--version", "v" * 2000)
    assert done.code == 1
    assert "version" in done.err + done.out
    assert "Retrying" not in done.err + done.out
    gate.environment["DD_APP_KEY"] = "wrong"
    done = await gate.ask(datadog_command, "--version", "v2")
    assert (done.code, "401" in done.err + done.out) == (1, True)
    assert "Retrying" not in done.err + done.out


async def test_rules_that_come_along_and_are_not_ours_are_shown_as_such(
    gate: Gate, datadog_command: tuple[str, ...]
) -> None:
    await gate.became(GOES_BACK)
    rules = [{"type": "monitor", "name": "error monitor", "options": {"query": "service:checkout"}}]
    (gate.folder / "gate.json").write_text(json.dumps({"dryRun": True, "rules": rules}))
    done = await gate.ask(datadog_command, "--version", "v2", "--config", "gate.json")
    assert done.code == 0, done.out + done.err
    assert "error monitor" in done.out
    assert "not evaluated here" in done.out
    assert "Evaluation mode: Dry run" in done.out
    assert REASON in done.out


@pytest.mark.parametrize(("outcome", "status"), [(GOES_ON, 0), (GOES_BACK, 1)])
async def test_the_step_to_paste_is_run_by_the_command_line(
    gate: Gate, datadog_command: tuple[str, ...], outcome: Outcome, status: int
) -> None:
    await gate.became(outcome)
    proxied = {"HTTPS_PROXY": gate.environment["HTTPS_PROXY"], "AFDP_CA": str(gate.folder / "ca.pem")}
    about = {"AFDP_SITE": SITE, "AFDP_TOKEN": TOKEN, "AFDP_SERVICE": "checkout", "AFDP_VERSION": "v2"}
    done = await run("sh", SCRIPT, env=proxied | about | {"DATADOG_CI": " ".join(datadog_command)})
    assert done.code == status, done.out + done.err


async def test_the_step_to_paste_is_clean() -> None:
    assert (await run("shellcheck", "--shell=sh", SCRIPT)).out == ""


def asked(gate: Gate, call: str, argument: Any, *, token: str = TOKEN) -> Any:  # noqa: ANN401 - its models
    """One call of Datadog's library."""
    configuration = Configuration(host=gate.url, api_key={"apiKeyAuth": "any", "appKeyAuth": token})
    configuration.unstable_operations[call] = True
    configuration.ssl_ca_cert = gate.environment["NODE_EXTRA_CA_CERTS"]
    with ApiClient(configuration) as client:
        return getattr(DeploymentGatesApi(client), call)(argument)["data"]["attributes"]


async def begun(gate: Gate, *, env: str = "production", token: str = TOKEN) -> uuid.UUID:
    attributes = {"service": "checkout", "env": env, "version": "v2"}
    body = DeploymentGatesEvaluationRequest(
        data={"type": "deployment_gates_evaluation_request", "attributes": attributes},
        _spec_property_naming=True,
    )
    answered = await asyncio.to_thread(asked, gate, "trigger_deployment_gates_evaluation", body, token=token)
    return uuid.UUID(str(answered["evaluation_id"]))


async def status(gate: Gate, identity: uuid.UUID) -> str:
    found = await asyncio.to_thread(asked, gate, "get_deployment_gates_evaluation_result", identity)
    return str(found["gate_status"])


@pytest.mark.parametrize(
    ("outcome", "now", "later"),
    [(GOES_ON, "pass", "pass"), (WAITS, "in_progress", "fail"), (GOES_BACK, "fail", "fail")],
)
async def test_datadogs_library_polls_what_it_began(gate: Gate, outcome: Outcome, now: str, later: str) -> None:
    await gate.became(outcome)
    identity = await begun(gate)
    assert await begun(gate) == identity
    assert await status(gate, identity) == now
    gate.now += timedelta(hours=2)
    assert await status(gate, identity) == later


async def test_an_evaluation_outlives_the_process_that_began_it(gate: Gate) -> None:
    await gate.became(GOES_BACK)
    identity = await begun(gate)
    other = make_app(read({**ENFORCED, "sources": [{"kind": "recording", "path": str(gate.folder)}]}),
                     store=gate.store, clock=lambda: gate.now)  # fmt: skip
    async with listening(other, [("127.0.0.1", 0)]) as (url,):
        gate.url = url
        assert await status(gate, identity) == "fail"


async def test_datadogs_library_raises_its_own_errors(gate: Gate) -> None:
    with pytest.raises(NotFoundException) as missing:
        await status(gate, uuid.uuid4())
    assert missing.value.body["errors"]
    with pytest.raises(ApiException) as refused:
        await begun(gate, env="")
    assert refused.value.status == 400
    assert "env" in str(refused.value.body["errors"])
    with pytest.raises(ApiException) as unknown:
        await begun(gate, token="wrong")
    assert unknown.value.status in {401, 403}
