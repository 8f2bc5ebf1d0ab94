"""The form that corrects a verdict: kept as a PATCH keeps it, from our own page alone."""

from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import ClientSession

from afdp_exporter.external import External

FORM = "/deployments/d1/label"


def origin(client: ClientSession) -> dict[str, str]:
    return {"Origin": str(client._base_url).rstrip("/")}


@pytest.mark.usefixtures("small")
async def test_a_label_replaces_the_verdict_and_leads_back_to_the_report(client: ClientSession) -> None:
    fields = {"outcome": "failure", "note": "carts were lost\r\nfor an hour"}
    answer = await client.post(FORM, data=fields, headers=origin(client), allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/deployments/d1")
    kept = await (await client.get("/api/v1/deployments/d1")).json()
    assert (kept["outcome"], kept["outcome_source"]) == ("failure", "human")
    assert "carts were lost\nfor an hour" in await (await client.get("/deployments/d1")).text()


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "null"}, {"Origin": "https://evil.example"}, {"Origin": "http://["}]
)
async def test_a_form_of_another_page_changes_nothing(client: ClientSession, headers: dict[str, str]) -> None:
    answer = await client.post(FORM, data={"outcome": "success"}, headers=headers)
    assert answer.status == 403
    assert (await (await client.get("/api/v1/deployments/d1")).json())["outcome"] == "degradation"


@pytest.mark.usefixtures("small")
async def test_a_form_behind_a_proxy_comes_from_the_external_address(start: Callable[..., Any]) -> None:
    client = await start(external=External("https://ops.example.org/afdp"))
    headers = {"Origin": "https://ops.example.org"}
    answer = await client.post(FORM, data={"outcome": "success"}, headers=headers, allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (303, "/afdp/deployments/d1")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("fields", "wrong"), [({"outcome": ""}, "choose one"), ({"outcome": "fine", "note": "x"}, "outcome:")]
)
async def test_what_is_wrong_is_said_beside_the_form(client: ClientSession, fields: dict[str, str], wrong: str) -> None:
    answer = await client.post(FORM, data=fields, headers=origin(client))
    assert (answer.status, answer.content_type) == (422, "text/html")
    assert wrong in await answer.text()


async def test_a_label_of_nothing_is_not_found(client: ClientSession) -> None:
    answer = await client.post("/deployments/none/label", data={"outcome": "success"}, headers=origin(client))
    assert answer.status == 404
    assert (await client.post(FORM, json={"outcome": "success"}, headers=origin(client))).status == 415
