"""The description of the API and the API: neither has what the other has not."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from aiohttp import ClientSession
from openapi_spec_validator import validate

from afdp_exporter.handlers.openapi import Description
from afdp_exporter.handlers.operations import Route
from afdp_exporter.handlers.routes import ROUTES
from afdp_exporter.store.sqlite import SQLiteStore
from afdp_exporter.tracking.intake import DeploymentPatch, read_deployment
from api_description import DESCRIBED, described

METHODS = {"get", "post", "put", "patch", "delete"}
PATH = "/api/v1/deployments"
ONE = "/api/v1/deployments/{id}"
ANNOTATIONS = "/api/annotations"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def test_the_description_is_openapi() -> None:
    validate(DESCRIBED)


def test_the_file_is_what_the_routes_and_the_models_say() -> None:
    says = "docs/openapi.yaml is out of step: run .venv/bin/python scripts/openapi.py"
    assert orjson.loads(Description(ROUTES).json) == DESCRIBED, says


async def test_the_description_is_served_and_every_call_of_it_is_on_the_page(client: ClientSession) -> None:
    answer = await client.get("/openapi.yaml")
    assert (answer.content_type, yaml.load(await answer.text(), yaml.CSafeLoader)) == ("application/yaml", DESCRIBED)
    answer = await client.get("/api/v1/openapi.json")
    assert (answer.content_type, await answer.json()) == ("application/json", DESCRIBED)
    page = await (await client.get("/api")).text()
    assert [f"{route.method} {route.path}" for route in ROUTES if f"{route.method} {route.path}<" not in page] == []


def test_every_route_is_described_and_every_description_is_served() -> None:
    paths = {(method.upper(), path) for path, item in DESCRIBED["paths"].items() for method in item.keys() & METHODS}
    assert paths == {(route.method, route.path) for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_scope_that_is_described_is_the_one_that_is_asked_for(route: Route) -> None:
    security = DESCRIBED["paths"][route.path][route.method.lower()].get("security", [{}])
    of_a_token = [{}] if route.scope is None else [{}, {"token": [route.scope.value]}]
    assert security == ([{"sender": []}] if route.signed else of_a_token)


def test_every_field_that_is_read_is_described_and_no_other() -> None:
    schemas = DESCRIBED["components"]["schemas"]
    assert set(schemas["DeploymentPatch"]["properties"]) == set(DeploymentPatch.model_fields)
    whole = dict.fromkeys(schemas["NewDeployment"]["properties"]) | {"service": "checkout"}
    assert read_deployment(whole, now=NOON, new_id="x").service == "checkout"


async def test_the_answers_are_as_described(client: ClientSession) -> None:
    operations = DESCRIBED["paths"][PATH]["post"], DESCRIBED["paths"][ONE]["patch"]
    new, change = (each["requestBody"]["content"]["application/json"]["example"] for each in operations)
    for _ in range(2):
        await described(await client.post(PATH, json=new), "POST", PATH)
    await described(await client.get(f"{PATH}/{new['id']}"), "GET", ONE)
    await described(await client.patch(f"{PATH}/{new['id']}", json=change), "PATCH", ONE)
    await described(await client.get(f"{PATH}/{new['id']}/series"), "GET", f"{ONE}/series")
    await described(await client.get(PATH, params={"limit": 1}), "GET", PATH)
    for path in (
        "/",
        f"/deployments/{new['id']}",
        "/predictions",
        "/predictions?service=checkout",
        "/windows",
        "/trust",
    ):
        template = path.partition("?")[0].replace(new["id"], "{id}")
        await described(await client.get(path), "GET", template)
    await described(await client.get("/predictions?started_at=soon"), "GET", "/predictions")
    for name in DESCRIBED["paths"]["/assets/{name}"]["get"]["parameters"][0]["schema"]["enum"]:
        await described(await client.get(f"/assets/{name}"), "GET", "/assets/{name}")
    for path in ("/patterns", "/metrics", "/-/healthy", "/-/ready", "/api/v1/patterns"):
        await described(await client.get(path), "GET", path)
    planned = DESCRIBED["paths"]["/api/v1/predictions"]["post"]["requestBody"]["content"]["application/json"]["example"]
    await described(await client.post("/api/v1/predictions", json=planned), "POST", "/api/v1/predictions")
    ranked = await client.get("/api/v1/windows", params={"service": "checkout", "hours": 5})
    await described(ranked, "GET", "/api/v1/windows")
    for method in ("POST", "PUT"):
        await described(await client.request(method, "/-/reload"), method, "/-/reload")


async def test_the_answers_to_annotations_are_as_described(client: ClientSession) -> None:
    one = f"{ANNOTATIONS}/{{id}}"
    for path, method in ((ANNOTATIONS, "POST"), (f"{ANNOTATIONS}/graphite", "POST"), (one, "PUT"), (one, "PATCH")):
        example = DESCRIBED["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["example"]
        await described(await client.request(method, path.replace("{id}", "1"), json=example), method, path)
        missing = await client.request(method, path.replace("{id}", "99"), json={"tags": [1]})
        await described(missing, method, path)
    for path in (ANNOTATIONS, f"{ANNOTATIONS}/tags"):
        await described(await client.get(path, params={"tags": "deploy"}), "GET", path)
        await described(await client.get(path, params={"limit": "x"}), "GET", path)
    for number in ("1", "99"):
        for method in ("GET", "DELETE"):
            await described(await client.request(method, f"{ANNOTATIONS}/{number}"), method, one)


async def test_the_problems_are_as_described(client: ClientSession) -> None:
    await client.post(PATH, json={"service": "checkout", "id": "d"})
    problems: list[tuple[int, str, str, dict[str, Any]]] = [
        (400, "POST", PATH, {"data": b"{"}),
        (403, "POST", PATH, {"json": {}, "headers": {"Origin": "null"}}),
        (409, "POST", PATH, {"json": {"service": "search", "id": "d"}}),
        (413, "POST", PATH, {"data": b"x" * 70_000}),
        (415, "POST", PATH, {"data": {"service": "form"}}),
        (422, "POST", PATH, {"json": {}}),
        (422, "GET", PATH, {"params": {"limit": "0"}}),
        (400, "POST", "/api/v1/predictions", {"data": b"[]"}),
        (422, "POST", "/api/v1/predictions", {"json": {"servce": "x"}}),
        (422, "GET", "/api/v1/windows", {}),
        (422, "GET", "/api/v1/patterns", {"params": {"kind": "guess"}}),
        (404, "GET", ONE, {}),
        (404, "GET", f"{ONE}/series", {}),
        (422, "GET", f"{ONE}/series", {"params": {"metrics": "x"}}),
        (404, "GET", "/deployments/{id}", {}),
        (404, "GET", "/assets/{name}", {}),
        (422, "GET", "/", {"params": {"outcome": "x"}}),
        (422, "GET", "/windows", {"params": {"hours": "x"}}),
        (404, "PATCH", ONE, {"json": {"note": "x"}}),
        (422, "PATCH", ONE, {"json": {"note": 1}}),
    ]
    for status, method, path, words in problems:
        answer = await client.request(method, path.replace("{id}", "none").replace("{name}", "none"), **words)
        assert (method, path, answer.status) == (method, path, status)
        await described(answer, method, path)


async def test_who_is_locked_out_is_reported_as_described(start: Callable[..., Any]) -> None:
    client = await start(tokens=[{"name": "gate", "token": "canary", "scopes": ["gate"]}])
    for route in ROUTES:
        if route.scope is not None:
            path = route.path.replace("{id}", "d").replace("{service}", "d")
            await described(await client.request(route.method, path), route.method, route.path)
            known = {"Authorization": "Bearer canary"}
            await described(await client.request(route.method, path, headers=known), route.method, route.path)


async def test_a_store_that_cannot_work_is_reported_as_described(start: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "ended").mkdir()
    ended = await SQLiteStore.open(tmp_path / "ended" / "ended.db")
    client = await start(held=ended)
    await ended.close()
    bodies = {"POST": {"service": "checkout"}, "PATCH": {"note": "x"}, "GET": None}
    for route in ROUTES:
        if route.path.startswith(PATH):
            path = route.path.replace("{id}", "d").replace("{service}", "d")
            answer = await client.request(route.method, path, json=bodies[route.method])
            assert answer.status == 503
            await described(answer, route.method, route.path)
    healthy = await client.get("/-/healthy")
    assert healthy.status == 503
    await described(healthy, "GET", "/-/healthy")
    assert (await client.get("/metrics")).status == 200
