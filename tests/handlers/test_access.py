"""Who may do what: the table, route by route, and the ways of not getting in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from afdp_exporter.config import read
from afdp_exporter.errors import ConfigError
from afdp_exporter.handlers.routes import ROUTES

TOKENS = [
    {"name": "reader", "token": "canary-read", "scopes": ["read"]},
    {"name": "pipeline", "token": "canary-annotate", "scopes": ["annotate"]},
    {"name": "gatekeeper", "token": "canary-gate", "scopes": ["gate"]},
    {"name": "operator", "token": "canary-admin", "scopes": ["admin"]},
    {"name": "usual", "token": "canary-usual"},
]
WHO = {
    "nobody": {},
    "a stranger": {"Authorization": "Bearer wrong"},
    "basic": {"Authorization": "Basic Y2FuYXJ5LWFkbWlu"},
    **{token["name"]: {"Authorization": f"Bearer {token['token']}"} for token in TOKENS},
}
EVERYBODY = set(WHO)
LOCKED_OUT = {"nobody": 401, "a stranger": 401, "basic": 401}
MAY = {
    ("GET", "/"): EVERYBODY,
    ("GET", "/metrics"): EVERYBODY,
    ("GET", "/-/healthy"): EVERYBODY,
    ("GET", "/-/ready"): EVERYBODY,
    ("POST", "/-/reload"): {"operator"},
    ("PUT", "/-/reload"): {"operator"},
    ("POST", "/api/v1/deployments"): {"pipeline", "operator", "usual"},
    ("GET", "/api/v1/deployments"): {"reader", "operator", "usual"},
    ("GET", "/api/v1/deployments/{id}"): {"reader", "operator", "usual"},
    ("PATCH", "/api/v1/deployments/{id}"): {"pipeline", "operator", "usual"},
    ("POST", "/api/v1/predictions"): {"reader", "operator", "usual"},
    ("GET", "/api/v1/windows"): {"reader", "operator", "usual"},
    ("GET", "/api/v1/patterns"): {"reader", "operator", "usual"},
}
READERS = {"reader", "operator", "usual"}
MAY |= {
    ("POST", "/api/v1/predictions"): READERS,
    ("GET", "/api/v1/windows"): READERS,
    ("GET", "/api/v1/patterns"): READERS,
    ("GET", "/api/v1/dataset"): READERS,
}
GUARDED = [call for call, may in MAY.items() if may != EVERYBODY]


def test_every_route_is_in_the_table() -> None:
    assert {(route.method, route.path) for route in ROUTES} == set(MAY)


@pytest.mark.parametrize("call", MAY, ids=" ".join)
async def test_the_table_holds_for_everybody(start: Callable[..., Any], call: tuple[str, str]) -> None:
    client = await start(tokens=TOKENS)
    method, path = call
    for who, headers in WHO.items():
        answer = await client.request(method, path.replace("{id}", "none"), headers=headers)
        expected = None if who in MAY[call] else LOCKED_OUT.get(who, 403)
        assert (who, answer.status if answer.status in {401, 403} else None) == (who, expected)
        if expected == 401:
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="afdp"'
            assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("call", GUARDED, ids=" ".join)
async def test_a_head_request_needs_what_a_get_request_needs(start: Callable[..., Any], call: tuple[str, str]) -> None:
    client = await start(tokens=TOKENS)
    if call[0] == "GET":
        assert (await client.head(call[1].replace("{id}", "none"))).status == 401


async def test_without_tokens_everybody_may(client: ClientSession) -> None:
    for method, path in MAY:
        answer = await client.request(method, path.replace("{id}", "none"))
        assert answer.status not in {401, 403}


@pytest.mark.parametrize(
    "header",
    [
        "canary-admin",
        "Bearer",
        "Bearer ",
        "Bearer canary-admi",
        "Bearer canary-admin2",
        "Bearer canary-admin canary-admin",
        "Bearer CANARY-ADMIN",
        "Bearer \u043a\u043b\u044e\u0447",
        "Bearer " + "x" * 7000,
        "Digest canary-admin",
    ],
)
async def test_what_is_no_known_token_is_locked_out(start: Callable[..., Any], header: str) -> None:
    client = await start(tokens=TOKENS)
    assert (await client.post("/-/reload", headers={"Authorization": header})).status == 401


async def test_the_size_is_judged_before_the_token_and_the_token_before_the_body(start: Callable[..., Any]) -> None:
    client = await start(tokens=TOKENS)
    path = "/api/v1/deployments"
    assert (await client.post(path, data=b"x" * 70_000)).status == 413
    assert (await client.post(path, data=b"not json")).status == 401
    assert (await client.post(path, data=b"not json", headers=WHO["pipeline"])).status == 400


async def test_a_token_in_a_file_works_from_the_moment_it_is_changed(start: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    client = await start(tokens=[{"name": "pipeline", "token_file": str(file), "scopes": ["admin"]}])

    async def may(token: str) -> bool:
        answer = await client.post("/-/reload", headers={"Authorization": f"Bearer {token}"})
        return answer.status == 200

    assert await may("first")
    file.write_text("second\n")
    assert (await may("first"), await may("second")) == (False, True)
    file.unlink()
    assert not await may("second")
    file.write_text("")
    assert not await may("")


@pytest.mark.parametrize(
    "token",
    [
        {"token": ""},
        {},
        {"token": "canary", "token_file": "x"},
        {"token_file": "/does/not/exist"},
        {"token": "canary", "scopes": ["root"]},
        {"token": "canary", "scope": ["read"]},
    ],
)
def test_a_token_that_cannot_work_stops_the_start_and_stays_secret(content: dict[str, Any], token: object) -> None:
    with pytest.raises(ConfigError) as raised:
        read(content | {"tokens": [{"name": "pipeline"} | token]})
    assert str(raised.value).startswith("tokens[0]")
    assert "canary" not in str(raised.value)


async def test_no_secret_is_in_any_answer_or_log(
    start: Callable[..., Any], content: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    client = await start(tokens=TOKENS)
    seen = repr(read(content | {"tokens": TOKENS}))
    for method, path in MAY:
        for headers in WHO.values():
            answer = await client.request(method, path.replace("{id}", "none"), headers=headers)
            seen += await answer.text() + str(answer.headers)
    told = capsys.readouterr()
    assert "canary" not in seen + told.out + told.err
