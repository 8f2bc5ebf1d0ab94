"""Tokens that end: fetched once for all, renewed once, and never shown in an error."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from afdp_exporter.errors import CallFailed, ConfigError, SourceUnavailable
from afdp_exporter.logins import Token, Tokens
from afdp_exporter.model import Window
from afdp_exporter.settings import build
from afdp_exporter.sources import ask
from afdp_exporter.sources.prometheus import Prometheus
from issuing import Issuer
from loopback import Handler, Serve, matrix

START = 1_700_000_040
WINDOW = Window(start=datetime.fromtimestamp(START, UTC), end=datetime.fromtimestamp(START, UTC))
UP = matrix({"metric": {"__name__": "up"}, "values": [[START, "1"]]})
SECRET = "s3cret/with=odd chars"
SMALL = {"client_id": "afdp", "client_secret": SECRET}


def source(url: str, **block: object) -> Prometheus:
    built: Prometheus = build("sources", "prometheus", {"url": url, "concurrency": 32, **block}, "sources[0]")
    return built


async def fetched(prometheus: Prometheus) -> list[float]:
    (series,) = await ask(prometheus, "up", {}, WINDOW, timedelta(seconds=60))
    return series.values.tolist()


def guarded(issuer: Issuer, seen: list[bool]) -> Handler:
    """A Prometheus that answers whom the issuer knows."""

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/token"):
            return await issuer.issue(request)
        seen.append(issuer.knows(request.headers))
        return web.json_response(UP) if seen[-1] else web.Response(status=401)

    return answer


async def test_a_token_is_asked_for_as_the_standard_wants_it(serve: Serve, tmp_path: Path) -> None:
    issuer, seen = Issuer(), []
    url = await serve(guarded(issuer, seen))
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    block = {
        "client_id": "afdp",
        "client_secret_file": str(tmp_path / "secret"),
        "token_url": f"{url}/token",
        "scopes": ["metrics.read", "x"],
        "endpoint_params": {"audience": "prometheus"},
    }
    assert await fetched(source(url, oauth2=block)) == [1]
    ((request, form),) = issuer.asked
    assert form == {"grant_type": "client_credentials", "scope": "metrics.read x", "audience": "prometheus"}
    pair = base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")).decode()
    assert pair == "afdp:s3cret%2Fwith%3Dodd%20chars"
    assert seen == [True]


async def test_an_issuer_that_reads_no_header_finds_the_secret_in_the_form(serve: Serve) -> None:
    issuer, seen = Issuer(), []
    issuer.reads_headers = False
    url = await serve(guarded(issuer, seen))
    assert await fetched(source(url, oauth2={**SMALL, "token_url": f"{url}/token"})) == [1]
    assert [form.get("client_secret") for _, form in issuer.asked] == [None, SECRET]
    assert "Authorization" not in issuer.asked[1][0].headers


async def test_however_many_ask_at_once_one_token_is_fetched_and_one_when_it_is_revoked(serve: Serve) -> None:
    issuer, seen = Issuer(), []
    url = await serve(guarded(issuer, seen))
    prometheus = source(url, oauth2={**SMALL, "token_url": f"{url}/token"})
    for issued in (1, 1, 2):
        if issued == 2:
            issuer.revoke()
        found = await asyncio.gather(*(fetched(prometheus) for _ in range(20)))
        assert found == [[1]] * 20
        assert len(issuer.asked) == issued


async def test_a_token_that_is_never_accepted_is_renewed_once_a_question(serve: Serve) -> None:
    issuer, asked = Issuer(), []

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("/token"):
            return await issuer.issue(request)
        asked.append(request)
        return web.Response(status=401)

    url = await serve(answer)
    with pytest.raises(SourceUnavailable) as caught:
        await fetched(source(url, oauth2={**SMALL, "token_url": f"{url}/token"}))
    assert (caught.value.reason, len(asked), len(issuer.asked)) == ("http_401", 2, 2)


REFUSALS = {
    "refused": (web.Response(status=400, text='{"error": "invalid_client", "error_description": "no"}'), "invalid_cl"),
    "a page": (web.Response(status=403, text="<html>s3cret</html>"), "the issuer answers 403"),
    "no token": (web.Response(text='{"access_token": 5}'), "holds none"),
    "a broken token": (web.Response(text='{"access_token": "a\\r\\nb"}'), "holds none"),
    "an error with odd words": (web.Response(status=400, text='{"error": "a b\\n"}'), "the issuer answers 400"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_without_a_token_nothing_is_asked_and_the_error_holds_no_secret(serve: Serve, refusal: str) -> None:
    issuer, seen = Issuer(), []
    issuer.refuses, words = REFUSALS[refusal]
    url = await serve(guarded(issuer, seen))
    prometheus = source(url, oauth2={**SMALL, "token_url": f"{url}/token"})
    found = await asyncio.gather(*(fetched(prometheus) for _ in range(20)), return_exceptions=True)
    assert {type(each) for each in found} == {SourceUnavailable}
    (message,) = {str(each) for each in found}
    assert words in message
    assert "s3cret" not in message + repr(prometheus)
    assert found[0].reason == "login"  # type: ignore[union-attr]
    assert seen == []
    assert len(issuer.asked) == 2  # with the header, then with the form, once for all twenty


async def test_an_issuer_that_is_away_is_reported_as_such() -> None:
    prometheus = source("http://127.0.0.1:1", oauth2={**SMALL, "token_url": "http://127.0.0.1:1/token"})
    with pytest.raises(SourceUnavailable, match="oauth2: no token: no connection") as caught:
        await fetched(prometheus)
    assert caught.value.reason == "login"


def tokens_of(*seconds: float | None) -> tuple[Callable[[], Awaitable[Token]], list[int]]:
    left, fetched = list(seconds), []

    async def fetch() -> Token:
        fetched.append(len(fetched))
        await asyncio.sleep(0)
        return Token(f"t{len(fetched)}", left.pop(0))

    return fetch, fetched


async def test_a_token_is_kept_until_half_of_a_short_life_has_passed_and_for_ever_without_an_end() -> None:
    fetch, fetched = tokens_of(0.02, 120.0, None)
    tokens = Tokens()
    assert [await tokens.current(fetch) for _ in range(2)] == ["t1", "t1"]
    await asyncio.sleep(0.03)  # its life is what is tested
    assert set(await asyncio.gather(*(tokens.current(fetch) for _ in range(10)))) == {"t2"}
    assert tokens.drop("t2")
    assert not tokens.drop("t1")  # somebody else's late word on an old token takes away no new one
    assert await tokens.current(fetch) == "t3"
    assert len(fetched) == 3


async def test_who_gives_up_waiting_takes_the_token_from_nobody() -> None:
    fetch, fetched = tokens_of(3600.0)
    tokens = Tokens()
    first, second = (asyncio.ensure_future(tokens.current(fetch)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == "t1"
    assert len(fetched) == 1


async def test_a_failed_fetch_is_tried_again_by_the_next_who_asks() -> None:
    tries = []

    async def fetch() -> Token:
        tries.append(1)
        if len(tries) == 1:
            raise CallFailed("login", "no token")
        return Token("t", 60)

    tokens = Tokens()
    with pytest.raises(CallFailed):
        await tokens.current(fetch)
    assert await tokens.current(fetch) == "t"


def test_a_token_is_not_shown_in_its_text() -> None:
    assert "abc" not in repr(Token("abc", 5))


WRONG: dict[str, dict[str, Any]] = {
    "two logins": {"oauth2": {**SMALL, "token_url": "http://x/t"}, "authorization": {"credentials": "x"}},
    "no secret": {"oauth2": {"client_id": "a", "token_url": "http://x/t"}},
    "two secrets": {"oauth2": {**SMALL, "client_secret_file": "pyproject.toml", "token_url": "http://x/t"}},
    "taken": {"oauth2": {**SMALL, "token_url": "http://x/t", "endpoint_params": {"grant_type": "password"}}},
    "half a key": {"sigv4": {"region": "eu-west-1", "access_key": "a"}},
    "key and profile": {"sigv4": {"access_key": "a", "secret_key": "b", "profile": "c"}},
    "two ways": {"azuread": {"managed_identity": {}, "workload_identity": {"client_id": "a", "tenant_id": "b"}}},
    "no way": {"azuread": {"cloud": "AzurePublic"}},
    "a tenant that is a path": {"azuread": {"oauth": {"client_id": "a", "tenant_id": "../b", "client_secret": "c"}}},
    "no such file": {"google_iam": {"credentials_file": "/nowhere.json"}},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_login_that_cannot_work_stops_the_start(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        source("http://localhost:9090", **WRONG[name])
    assert "s3cret" not in str(caught.value)
