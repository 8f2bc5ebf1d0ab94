"""Users, headers and a rate as the web configuration says, over real requests."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import bcrypt
import pytest
import yaml
from aiohttp import ClientSession, encode_basic_auth

from afdp_exporter.handlers.passwords import Passwords, TooMany
from afdp_exporter.handlers.web_config import ReloadingWebConfig

GOOD = encode_basic_auth("ada", "right")


def hashed(password: str, cost: int = 4) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode()


def write(path: Path, **content: object) -> None:
    """A new file in the place of the old one, as editors and Kubernetes do it."""
    draft = path.with_suffix(".new")
    draft.write_text(yaml.safe_dump(content))
    draft.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one user."""
    write(tmp_path / "web.yml", basic_auth_users={"ada": hashed("right")})
    return tmp_path / "web.yml"


async def status(client: ClientSession, login: str | None = None) -> int:
    return (await client.get("/-/healthy", headers={"Authorization": login} if login else None)).status


async def test_many_right_and_wrong_logins_at_once_are_told_apart(start: Callable[..., Any], path: Path) -> None:
    client = await start(web_config=ReloadingWebConfig(path), of_address=200)
    assert await status(client, GOOD) == 200
    wrong = [encode_basic_auth("ada", f"wrong{number}") for number in range(50)]
    answers = await asyncio.gather(
        *(status(client, user) for pair in zip([GOOD] * 50, wrong, strict=True) for user in pair)
    )
    assert answers[::2] == [200] * 50
    assert set(answers[1::2]) == {401, 429}
    assert answers[1::2].count(401) <= 10


async def test_a_login_cannot_be_put_together_from_parts_of_another(start: Callable[..., Any], path: Path) -> None:
    stored = hashed("right")
    write(path, basic_auth_users={"ada": stored, "ad": hashed("other")})
    client = await start(web_config=ReloadingWebConfig(path))
    assert await status(client, GOOD) == 200
    for user, password in (
        ("ad", "aright"),
        ("adar", "ight"),
        ("ada", stored),
        ("ada", f"{stored}right"),
        ("", "right"),
    ):
        assert await status(client, encode_basic_auth(user, password)) == 401


@pytest.mark.parametrize("password", ["x" * 72 + "y", "x" * 100_000, "nul\0", "кл\u00fcч", "", "right\0"])
async def test_a_password_that_bcrypt_cannot_take_is_a_wrong_one(password: str) -> None:
    users = {"ada": hashed("right"), "bob": hashed("x" * 72)}
    passwords = Passwords(lambda: 0.0)
    assert not await passwords.fits(users, "ada", password, "a")
    assert not await passwords.fits(users, "bob", password, "a")
    assert await passwords.fits(users, "bob", "x" * 72, "a")


async def test_guessing_is_slowed_for_the_address_that_guesses_and_ends_with_the_minute() -> None:
    now = 0.0
    users = {"ada": hashed("right")}
    passwords = Passwords(lambda: now)
    for number in range(10):
        assert not await passwords.fits(users, "ada", f"wrong{number}", "guesser")
    with pytest.raises(TooMany):
        await passwords.fits(users, "ada", "right", "guesser")
    assert await passwords.fits(users, "ada", "right", "neighbour")
    assert await passwords.fits(users, "ada", "right", "guesser")  # known by now, so that nobody can lock her out
    now = 61.0
    assert not await passwords.fits(users, "ada", "wrong", "guesser")


@pytest.mark.slow
async def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    users = {"ada": hashed("right", 8)}
    passwords = Passwords(lambda: 0.0)

    async def seconds(user: str, number: int) -> float:
        started = perf_counter()
        await passwords.fits(users, user, "wrong", f"{user}{number}")
        return perf_counter() - started

    taken = [(await seconds("ada", number), await seconds("eve", number)) for number in range(40)]
    known, unknown = (median(column) for column in zip(*taken, strict=True))
    assert 0.9 < known / unknown < 1.1


async def test_a_file_that_changes_holds_from_the_next_request_on_and_a_bad_one_changes_nothing(
    start: Callable[..., Any], path: Path
) -> None:
    client = await start(web_config=ReloadingWebConfig(path))
    assert (await status(client), await status(client, GOOD)) == (401, 200)
    write(path, basic_auth_users={"ada": hashed("new")})
    assert (await status(client, GOOD), await status(client, encode_basic_auth("ada", "new"))) == (401, 200)
    write(path, basic_auth_users={"ada": "plain"})
    assert await status(client, encode_basic_auth("ada", "new")) == 200
    await asyncio.to_thread(path.unlink)
    assert (await status(client), await status(client, encode_basic_auth("ada", "new"))) == (401, 200)
    write(path)
    assert await status(client) == 200


async def test_headers_of_the_file_are_on_every_answer(start: Callable[..., Any], path: Path) -> None:
    headers = {"Strict-Transport-Security": "max-age=31536000", "X-Frame-Options": "SAMEORIGIN"}
    write(path, http_server_config={"http2": False, "headers": headers})
    client = await start(web_config=ReloadingWebConfig(path))
    for place in ("/", "/metrics", "/none", "/api/v1/deployments"):
        answer = await client.get(place)
        assert {name: answer.headers[name] for name in headers} == headers
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_burst_is_let_in_and_what_comes_faster_than_the_rate_has_to_wait(
    start: Callable[..., Any], path: Path
) -> None:
    write(path, rate_limit={"interval": "1h", "burst": 3})
    client = await start(web_config=ReloadingWebConfig(path))
    assert [await status(client) for _ in range(5)] == [200, 200, 200, 429, 429]
    refused = await client.get("/-/healthy")
    assert (refused.headers["Retry-After"], refused.content_type) == ("60", "application/problem+json")
    write(path, rate_limit={"interval": "0s"})
    await client.get("/-/healthy")
    assert [await status(client) for _ in range(5)] == [200] * 5
