"""In a real Chromium without its own guard: pages of a stranger whose name leads to our address change nothing."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import ClientSession
from playwright.async_api import Browser, Page

from afdp_exporter.external import External
from real_parts.fixtures import browsing

STRANGER = "evil.example"
GUARDS = (
    "LocalNetworkAccessChecks",
    "BlockInsecurePrivateNetworkRequests",
    "PrivateNetworkAccessSendPreflights",
)
REBOUND = """async () => {
    const statuses = [];
    for (const [method, path, body] of [
        ["POST", "/api/v1/deployments", '{"service": "s", "id": "framed"}'],
        ["PATCH", "/api/v1/deployments/known", '{"note": "framed"}'],
        ["POST", "/-/reload", null],
        ["GET", "/api/v1/deployments", null],
        ["GET", "/windows?service=invented", null],
        ["GET", "/metrics", null],
    ]) {
        const headers = body ? {"Content-Type": "application/json"} : {};
        statuses.push((await fetch(path, {method, body, headers})).status);
    }
    return statuses;
}"""
FOREIGN = """async (ours) => {
    const body = '{"service": "s", "id": "framed"}';
    const post = `${ours}/api/v1/deployments`;
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
        await fetch(post, {method: "POST", mode: "no-cors", headers: {"Content-Type": type}, body}).catch(() => 0);
    }
    await fetch(post, {method: "POST", headers: {"Content-Type": "application/json"}, body}).catch(() => 0);
    navigator.sendBeacon(post, body);
    const form = document.createElement("form");
    Object.assign(form, {method: "post", action: post, enctype: "text/plain", target: "framed"});
    form.innerHTML = `<input name='{"service": "s", "x": "' value='"}'>`;
    const frame = Object.assign(document.createElement("iframe"), {name: "framed"});
    document.body.append(frame, form);
    const framed = new Promise((done) => frame.addEventListener("load", done, {once: true}));
    form.submit();
    await framed;
    const loads = ["/windows?service=w1", "/predictions?service=w2", "/api/v1/windows?service=w3"].map((path) =>
        new Promise((done) => {
            const image = new Image();
            image.onload = image.onerror = done;
            image.src = ours + path;
            document.body.append(image);
        }));
    await Promise.all(loads);
}"""


@pytest.fixture
async def unguarded() -> AsyncIterator[Browser]:
    """A Chromium to which the stranger's name leads to our address, and which asks nobody before it goes there."""
    flags = f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1", f"--disable-features={','.join(GUARDS)}"
    async with browsing(*flags) as launched:
        yield launched


async def opened(browser: Browser, address: str) -> Page:
    """A page of the stranger, which their own server has given, before the name leads to us."""
    page = await browser.new_page()
    await page.route(address, lambda route: route.fulfill(content_type="text/html", body="<body>hello</body>"))
    await page.goto(address)
    return page


def url_of(client: ClientSession) -> str:
    return str(client._base_url).rstrip("/")


async def known(client: ClientSession) -> list[tuple[str, str | None]]:
    found = (await (await client.get("/api/v1/deployments")).json())["deployments"]
    return [(each["id"], each.get("note")) for each in found]


@pytest.mark.parametrize(
    ("external", "reached", "kept"),
    [
        (External(), [421] * 6, [("known", None)]),
        (External(f"http://{STRANGER}"), [201, 200, 200, 200, 200, 200], [("framed", None), ("known", "framed")]),
    ],
    ids=["a stranger's name", "control: the same name is ours"],
)
async def test_a_name_that_is_bound_anew_reaches_nothing(
    start: Callable[..., Any],
    unguarded: Browser,
    external: External,
    reached: list[int],
    kept: list[tuple[str, str | None]],
) -> None:
    client = await start(external=external)
    assert (await client.post("/api/v1/deployments", json={"service": "s", "id": "known"})).status == 201
    page = await opened(unguarded, f"http://{STRANGER}:{client._base_url.port}/start")
    assert await page.evaluate(REBOUND) == reached
    assert sorted(await known(client)) == kept


async def test_what_a_page_of_another_origin_sends_is_not_kept_and_what_it_loads_costs_nothing(
    start: Callable[..., Any], unguarded: Browser
) -> None:
    client = await start()
    page = await opened(unguarded, f"http://{STRANGER}:9/start")
    await page.evaluate(FOREIGN, url_of(client))
    assert await known(client) == []
    refused = [
        float(line.rpartition(" ")[2])
        for line in (await (await client.get("/metrics")).text()).splitlines()
        if line.startswith('afdp_refusals_total{reason="cross_site"}')
    ]
    assert refused[0] >= 3  # the three images, of which none made a forecast
