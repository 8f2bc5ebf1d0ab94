"""Who may do what: the table, route by route, and the ways of not getting in."""

import base64
import hmac
import re
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
import yaml
from aiohttp import ClientSession, TCPConnector, encode_basic_auth

from afdp_exporter.config import read
from afdp_exporter.errors import ConfigError, Unauthorised
from afdp_exporter.handlers import tls
from afdp_exporter.handlers.access import Authenticator, Scope
from afdp_exporter.handlers.passwords import Passwords
from afdp_exporter.handlers.routes import ROUTES
from afdp_exporter.handlers.web_config import ReloadingWebConfig

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TOKENS = [
    {"name": "reader", "token": "canary-read", "scopes": ["read"]},
    {"name": "pipeline", "token": "canary-annotate", "scopes": ["annotate"]},
    {"name": "gatekeeper", "token": "canary-gate", "scopes": ["gate"]},
    {"name": "operator", "token": "canary-admin", "scopes": ["admin"]},
    {"name": "former", "token": "canary-former", "scopes": ["admin"], "expires_at": "2026-03-02T12:00:00Z"},
]


ASKING = ("github", "gitlab", "azure_devops")
SENDERS = [{"kind": "github", "secret": "canary-sender"}]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": encode_basic_auth(user, password)}


USERS = {"ada": "$2y$04$" + bcrypt.hashpw(b"canary-ada", bcrypt.gensalt(4)).decode()[7:]}
WHO = {  # by the columns of the page
    "nobody": [{}],
    "unknown or expired": [bearer("wrong"), bearer("canary-former"), basic("x", "canary-former"), basic("ada", "x")],
    "`read`": [bearer("canary-read"), basic("any", "canary-read")],
    "`annotate`": [bearer("canary-annotate"), basic("", "canary-annotate")],
    "`gate`": [bearer("canary-gate")],
    "`admin`": [bearer("canary-admin")],
    "user": [basic("ada", "canary-ada")],
}


def table() -> dict[tuple[str, str], dict[str, str]]:
    """The page's table: call -> column -> what is answered."""
    page = (Path(__file__).parents[2] / "docs/access.md").read_text().split("## Every call")[1].split("## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    columns = rows[0][1:]
    found = {}
    for call, *cells in rows[2:]:
        method, path = call.strip("`").split()
        found[method, path] = dict(zip(columns, cells, strict=True))
    return found


MAY = table()
CHALLENGE = 'Bearer realm="afdp", Basic realm="afdp", charset="UTF-8"'


@pytest.fixture
def web(tmp_path: Path) -> ReloadingWebConfig:
    """A web configuration with a user."""
    (tmp_path / "web.yml").write_text(yaml.safe_dump({"basic_auth_users": USERS}))
    return ReloadingWebConfig(tmp_path / "web.yml")


def test_every_route_is_in_the_table_of_the_page_and_every_column_is_tried() -> None:
    assert {(route.method, route.path) for route in ROUTES} == set(MAY)
    assert all(set(row) == set(WHO) for row in MAY.values())


def address(path: str) -> str:
    return re.sub(r"{\w+}", "none", path.replace("{kind}", "github"))


async def admitted(client: ClientSession, call: tuple[str, str], headers: dict[str, str]) -> str:
    """As the table says it."""
    method, path = call
    answer = await client.request(method, address(path), headers=headers)
    if answer.status == 401:
        assert answer.headers["WWW-Authenticate"] == CHALLENGE
    if answer.status in {401, 403, 429}:
        described = "application/vnd.api+json" if path.startswith("/api/v2/") else "application/problem+json"
        assert answer.content_type == described
        return str(answer.status)
    return "yes"


@pytest.mark.parametrize("column", [name for name in WHO if name != "user"])
async def test_the_table_holds(start: Callable[..., Any], column: str) -> None:
    client = await start(tokens=TOKENS, webhooks=SENDERS)
    for call, row in MAY.items():
        for headers in WHO[column]:
            assert (call, await admitted(client, call, headers)) == (call, row[column])


@pytest.mark.parametrize("column", WHO)
async def test_where_there_are_users_the_open_calls_need_a_credential_too(
    start: Callable[..., Any], column: str, web: ReloadingWebConfig
) -> None:
    client = await start(tokens=TOKENS, webhooks=SENDERS, web_config=web)
    locked_out = column in {"nobody", "unknown or expired"}
    for call, row in MAY.items():
        for headers in WHO[column][-1:]:
            answered = await admitted(client, call, headers)
            assert (call, answered) in [(call, each) for each in ({"401", "429"} if locked_out else {row[column]})]


async def test_a_senders_signature_opens_its_own_route_and_no_other(start: Callable[..., Any]) -> None:
    client = await start(tokens=TOKENS, webhooks=[*SENDERS, {"kind": "flux", "secret": "canary-flux"}])
    digest = hmac.new(b"canary-sender", b"", "sha256").hexdigest()
    signed = {"X-Hub-Signature-256": f"sha256={digest}", "X-Signature": f"sha256={digest}", "X-GitHub-Event": "ping"}
    for call, row in MAY.items():
        expected = "yes" if call[1] == "/webhooks/{kind}" else row["nobody"]
        for headers in (signed, signed | bearer("canary-sender"), signed | basic("github", "canary-sender")):
            assert (call, await admitted(client, call, headers)) == (call, expected)
    assert await admitted(client, ("POST", "/webhooks/flux"), signed) == "401"


@pytest.mark.parametrize("kind", ASKING)
async def test_a_hook_that_asks_for_an_approval_is_opened_by_its_own_secret_alone(
    start: Callable[..., Any], kind: str
) -> None:
    client = await start(tokens=TOKENS, webhooks=[{"kind": each, "secret": f"canary-{each}"} for each in ASKING])
    others = [secret for each in ASKING if each != kind for secret in (f"canary-{each}",)]
    forged = [
        headers
        for secret in ["", "canary-gate", "canary-admin", *others]
        for headers in (
            bearer(secret),
            basic("any", secret),
            {"X-Gitlab-Token": secret},
            {"X-Hub-Signature-256": f"sha256={hmac.new(secret.encode(), b'', 'sha256').hexdigest()}"},
            {"PlanUrl": "http://169.254.169.254", "AuthToken": secret, **bearer(secret)},
        )
    ]
    for headers in [*forged, *(headers for column in WHO.values() for headers in column)]:
        assert await admitted(client, ("POST", f"/webhooks/{kind}"), headers) == "401"


async def test_a_client_certificate_alone_opens_nothing(start: Callable[..., Any], tmp_path: Path) -> None:
    authority = trustme.CA()
    served = authority.issue_cert("127.0.0.1")
    served.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    served.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    files = {
        "cert_file": tmp_path / "cert.pem",
        "key_file": tmp_path / "key.pem",
        "client_ca_file": tmp_path / "ca.pem",
    }
    context = tls.serving(tls.TLS(**files, client_auth_type="RequireAndVerifyClientCert"))
    client = await start(tokens=TOKENS, webhooks=SENDERS, context=context)
    mine = ssl.create_default_context()
    authority.configure_trust(mine)
    authority.issue_cert("client@example.org").configure_cert(mine)
    async with ClientSession(client._base_url, connector=TCPConnector(ssl=mine)) as certified:
        for call, row in MAY.items():
            assert (call, await admitted(certified, call, {})) == (call, row["nobody"])


async def test_a_user_may_what_the_configuration_says(start: Callable[..., Any], web: ReloadingWebConfig) -> None:
    client = await start(users=[{"name": "ada", "scopes": ["admin"]}, {"name": "bob"}], web_config=web)
    assert await admitted(client, ("POST", "/-/reload"), basic("ada", "canary-ada")) == "yes"
    assert await admitted(client, ("POST", "/-/reload"), basic("bob", "canary-ada")) == "401"


async def test_a_head_request_needs_what_a_get_request_needs(start: Callable[..., Any]) -> None:
    client = await start(tokens=TOKENS, webhooks=SENDERS)
    for (method, path), row in MAY.items():
        if method == "GET" and row["nobody"] == "401":
            assert (await client.head(address(path))).status == 401


async def test_without_tokens_this_machine_may_everything(client: ClientSession) -> None:
    for method, path in MAY:
        answer = await client.request(method, address(path))
        assert answer.status not in {401, 403}


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::1", "127.0.0.1.example.org", ""])
@pytest.mark.parametrize("scope", [None, *Scope])
async def test_without_tokens_others_may_only_read(address: str, scope: Scope | None) -> None:
    door = Authenticator(tokens=(), users=(), hashes={}, passwords=Passwords(lambda: 0.0))
    entering = door.authorize(None, scope, address=address, now=NOON)
    if scope in {None, Scope.READ}:
        await entering
    else:
        with pytest.raises(Unauthorised, match="configure tokens"):
            await entering


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
        "Basic canary-admin",
        "Basic " + base64.b64encode(b"canary-admin").decode(),
        "Basic " + base64.b64encode(b":canary-admi").decode(),
        "Basic \u043a",
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
    assert (await client.post(path, data=b"not json", headers=bearer("canary-annotate"))).status == 400


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
        {"token": "canary", "expires_at": "2026-03-02T12:00:00"},
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
        for headers in (headers for kind in WHO.values() for headers in kind):
            answer = await client.request(method, address(path), headers=headers)
            seen += await answer.text() + str(answer.headers)
    logged = capsys.readouterr()
    assert "canary-" not in seen + logged.out + logged.err  # canary alone is also a way to deploy
