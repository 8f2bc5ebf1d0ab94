"""What a page of somebody else can make a browser do here: follow a link, and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession

from afdp_exporter.external import External

PATH = "/api/v1/deployments"
CALLS = [
    ("POST", PATH),
    ("PATCH", f"{PATH}/d"),
    ("GET", PATH),
    ("GET", "/"),
    ("GET", "/windows?service=w"),
    ("POST", "/-/reload"),
    ("GET", "/metrics"),
    ("GET", "/nothing"),
]
TOKENS = [{"name": "t", "token": "canary-token", "scopes": ["admin"]}]


async def status(client: ClientSession, method: str, path: str, **headers: str) -> int:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"service": "s"} if method == "POST" else None
    return (await client.request(method, path, json=body, headers=named)).status


@pytest.mark.parametrize(
    "host", ["evil.example:10333", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example.", "["]
)
async def test_a_name_that_was_bound_anew_to_our_address_gets_nothing(start: Callable[..., Any], host: str) -> None:
    client = await start()
    for method, path in CALLS:
        assert (path, await status(client, method, path, Host=host, Origin=f"http://{host}")) == (path, 421)


@pytest.mark.parametrize(
    "host",
    ["localhost:10333", "LOCALHOST", "127.0.0.1", "[::1]:10333", "192.0.2.7:80", "afdp-exporter:10333", "afdp.mon.svc",
     "afdp.mon.svc.cluster.local.", "ops.example.org", "OPS.example.org:443"],
)  # fmt: skip
async def test_addresses_names_that_no_stranger_owns_and_our_own_are_taken(
    start: Callable[..., Any], host: str
) -> None:
    client = await start(external=External("https://ops.example.org"))
    assert await status(client, "POST", PATH, Host=host, Origin=f"http://{host}") == 201
    assert await status(client, "GET", PATH, Host=host) == 200


async def test_with_tokens_any_name_is_taken_since_a_stranger_has_none(start: Callable[..., Any]) -> None:
    client = await start(tokens=TOKENS)
    assert await status(client, "GET", "/-/healthy", Host="afdp.example.org") == 200
    assert await status(client, "POST", PATH, Host="afdp.example.org") == 401
    known = {"Host": "afdp.example.org", "Authorization": "Bearer canary-token"}
    assert await status(client, "POST", PATH, **known) == 201


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_no_page_of_another_origin_changes_anything_also_without_an_origin(
    start: Callable[..., Any], site: str
) -> None:
    client = await start()
    for method, path in CALLS:
        if method != "GET":
            assert await status(client, method, path, Sec_Fetch_Site=site) == 403
    assert (await (await client.get(PATH)).json())["deployments"] == []


async def test_another_site_may_link_to_a_page_and_not_load_it(start: Callable[..., Any]) -> None:
    client = await start()
    loaded = {"Sec_Fetch_Site": "cross-site"}
    for mode, kind in (("no-cors", "image"), ("cors", "empty"), ("navigate", "iframe"), ("no-cors", "script")):
        answered = await status(client, "GET", "/windows?service=w", Sec_Fetch_Mode=mode, Sec_Fetch_Dest=kind, **loaded)
        assert (mode, kind, answered) == (mode, kind, 403)
    assert await status(client, "GET", "/", Sec_Fetch_Mode="navigate", Sec_Fetch_Dest="document", **loaded) == 200
    for site in ("same-origin", "none", "same-site"):
        assert await status(client, "GET", "/", Sec_Fetch_Site=site) == 200
    page = await (await client.get("/metrics")).text()
    assert 'afdp_refusals_total{reason="cross_site"} 4.0' in page


async def test_a_second_origin_does_not_hide_behind_the_first(start: Callable[..., Any]) -> None:
    client = await start()
    url = client._base_url
    assert url is not None
    ours = f"http://{url.host}:{url.port}"
    headers = [("Origin", ours), ("Origin", "https://evil.example")]
    answer = await client.post(PATH, json={"service": "s"}, headers=headers)
    assert answer.status == 403
    assert (await client.post(PATH, json={"service": "s"}, headers=headers[:1])).status == 201
