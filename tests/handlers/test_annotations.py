"""Grafana's annotation API: the bodies that scripts, Argo CD and Flux send end as the right deployments."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession
from grafana_client import GrafanaApi, TokenAuth

from afdp_exporter.model import Deployment, Notification
from afdp_exporter.settings import build

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PATH = "/api/annotations"
NOON_MS = int(NOON.timestamp() * 1000)
MINUTE_MS = 60_000


async def post(client: ClientSession, path: str = PATH, **body: object) -> int:
    answer = await client.post(path, json=body)
    assert answer.status == 200, await answer.text()
    parsed = await answer.json()
    assert set(parsed) == {"message", "id"}
    assert isinstance(parsed["id"], int)
    return int(parsed["id"])


async def deployments(client: ClientSession) -> list[dict[str, Any]]:
    """What is known, oldest first."""
    listed = (await (await client.get("/api/v1/deployments")).json())["deployments"]
    return sorted(listed, key=lambda each: str(each["started_at"]))


async def test_a_script_that_writes_at_the_start_and_patches_the_end_reports_one_deployment(
    client: ClientSession, wait: Callable[[timedelta], datetime]
) -> None:
    tags = ["deploy", "service:checkout", "environment: staging", "version=v2.1.0", "commit:c0ffee", "eu"]
    number = await post(client, time=NOON_MS - 5 * MINUTE_MS, tags=tags, text="Deploying checkout", isRegion=False)
    wait(timedelta(minutes=1))
    answer = await client.patch(f"{PATH}/{number}", json={"timeEnd": NOON_MS, "text": "Deployed checkout"})
    assert (answer.status, await answer.json()) == (200, {"message": "Annotation patched"})
    (deployment,) = await deployments(client)
    words = ("service", "environment", "version", "commit", "status", "received_from", "description")
    expected = ["checkout", "staging", "v2.1.0", "c0ffee", "succeeded", "grafana", "Deployed checkout"]
    assert [deployment[word] for word in words] == expected
    assert (deployment["started_at"], deployment["finished_at"]) == ("2026-03-02T11:55:00Z", "2026-03-02T12:00:00Z")
    report = await (await client.get(f"/api/v1/deployments/{deployment['id']}")).json()
    assert report["looks"][0]["due_at"] == "2026-03-02T12:04:00Z"
    kept = await (await client.get(f"{PATH}/{number}")).json()
    assert kept == {
        "id": number,
        "dashboardUID": "",
        "panelId": 0,
        "time": NOON_MS - 5 * MINUTE_MS,
        "timeEnd": NOON_MS,
        "text": "Deployed checkout",
        "tags": tags,
        "created": NOON_MS,
        "updated": NOON_MS + MINUTE_MS,
        "data": {"deployment_id": deployment["id"]},
    }


async def test_graphites_words_are_understood(client: ClientSession) -> None:
    when = NOON_MS // 1000 - 60
    await post(client, f"{PATH}/graphite", what="Event - deploy", tags="deploy service:checkout", when=when, data="v2")
    await post(client, f"{PATH}/graphite", what="Event - deploy", tags=["deploy", "app:search"])
    first, second = await deployments(client)
    assert (first["service"], first["description"]) == ("checkout", "Event - deploy\nv2")
    assert (second["service"], second["started_at"]) == ("search", "2026-03-02T12:00:00Z")
    answer = await client.post(f"{PATH}/graphite", json={"what": "x"})
    assert (await answer.json())["message"] == "Graphite annotation added"


def argo(text: str, *tags: str, after: int = 0) -> dict[str, object]:
    """What Argo CD's Grafana service posts."""
    return {"time": NOON_MS + after * 1000, "isRegion": False, "tags": ["tag1", "tag2", *tags], "text": text}


async def test_argo_cds_grafana_service_works_unchanged(
    client: ClientSession, wait: Callable[[timedelta], datetime]
) -> None:
    link = "Sync operation details are available at: https://argo.example.org/applications/checkout?operation=true ."
    texts = {
        0: f"The sync operation of application checkout has been started at 2026-03-02T12:00:00Z. {link}",
        40: f"Application checkout has been successfully synced at 2026-03-02T12:00:40Z. {link}",
        95: "Application checkout is now running new version of deployments manifests.",
    }
    for after, text in texts.items():
        wait(timedelta(seconds=40))
        await post(client, **argo(text, after=after))
    wait(timedelta(hours=1))
    await post(client, **argo("The sync operation of application checkout has failed at 13:00 with: x", after=3600))
    await post(client, **argo("Application checkout has degraded.", after=3700))
    first, second = await deployments(client)
    assert [each["service"] for each in (first, second)] == ["checkout"] * 2
    assert (first["status"], first["started_at"], first["finished_at"]) == (
        "succeeded",
        "2026-03-02T12:00:00Z",
        "2026-03-02T12:00:40Z",
    )
    assert second["status"] == "failed"


def flux(revision: str, after: int = 0) -> dict[str, object]:
    """What Flux's Grafana provider posts, with `when` in seconds."""
    tags = ["flux", "helm-controller", f"helm.toolkit.fluxcd.io/revision: {revision}", "environment: production"]
    return {
        "when": NOON_MS // 1000 + after,
        "text": "helmrelease/checkout.shop",
        "tags": [*tags, "kind: HelmRelease", "name: checkout", "namespace: shop"],
    }


async def test_fluxs_grafana_provider_works_unchanged_and_a_revision_is_one_deployment(
    client: ClientSession, wait: Callable[[timedelta], datetime]
) -> None:
    wait(timedelta(days=2))
    for revision, after in (("6.5.0", 0), ("6.5.0", 30), ("6.5.1", 7200), ("6.5.0", 90_000), ("6.5.0", 100_000)):
        await post(client, **flux(revision, after))
    found = await deployments(client)
    assert [(each["service"], each["version"]) for each in found] == [
        ("checkout", "6.5.0"),
        ("checkout", "6.5.1"),
        ("checkout", "6.5.0"),  # rolled back
    ]
    assert {each["environment"] for each in found} == {"production"}


@pytest.mark.parametrize(
    "body",
    [
        {"text": "Lunch", "tags": ["team"]},
        {"text": "An incident", "tags": ["incident", "service:checkout"]},
        {"text": "no service", "tags": ["deploy"]},
        {"text": "ours", "tags": ["afdp", "deploy", "service:checkout"]},
        {"text": "no tags"},
        {"text": "null", "tags": None, "dashboardId": 7, "userId": 3, "data": {"x": 1}},
    ],
)
async def test_what_reports_no_deployment_is_kept_and_answered_all_the_same(
    client: ClientSession, body: dict[str, object]
) -> None:
    number = await post(client, **body)
    assert await deployments(client) == []
    assert (await (await client.get(f"{PATH}/{number}")).json())["data"] == {}


async def test_an_annotation_that_becomes_one_of_a_deployment_is_linked_then(client: ClientSession) -> None:
    number = await post(client, text="x", tags=["service:checkout"])
    await client.patch(f"{PATH}/{number}", json={"tags": ["deploy", "service:checkout"]})
    (deployment,) = await deployments(client)
    await client.put(f"{PATH}/{number}", json={"text": "y", "tags": ["deploy", "service:x"], "time": NOON_MS - 60_000})
    (moved,) = await deployments(client)
    assert (moved["id"], moved["service"], moved["started_at"]) == (
        deployment["id"],
        "checkout",
        "2026-03-02T11:59:00Z",
    )
    removed = await client.delete(f"{PATH}/{number}")
    assert await removed.json() == {"message": "Annotation deleted"}
    assert [each["id"] for each in await deployments(client)] == [deployment["id"]]
    again = await post(client, text="x")
    assert again > number


async def test_rules_of_the_configuration_name_service_and_environment(start: Callable[..., Any]) -> None:
    rule = {"match": {"sender": "grafana", "namespace": "(.+)-(prod|dev)"}, "service": "${1}", "environment": "${2}"}
    tags = {"annotations": {"deployment_tags": ["Shipped"]}}
    client = await start(mapping=[rule], policy=tags)
    await post(client, text="x", tags=["shipped", "namespace:till-prod"])
    await post(client, text="x", tags=["deploy", "service:checkout"])
    assert [(each["service"], each["environment"]) for each in await deployments(client)] == [("till", "prod")]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": "\ud800"}, "text"),
        ({"text": "x", "tags": [1]}, "tags[0]"),
        ({"text": "x", "tags": ["a\x00"]}, "tags[0]"),
        ({"text": "x", "tags": ["t"] * 101}, "tags"),
        ({"text": "x", "time": "soon"}, "time"),
        ({"text": "x", "time": -1}, "time"),
        ({"text": "x", "time": NOON_MS * 1000, "timeEnd": True}, "timeEnd"),
        ({"text": "x", "panelId": "three"}, "panelId"),
        ({"text": "x", "time": NOON_MS + 7_200_000, "tags": ["deploy", "service:x"]}, "at"),
    ],
)
async def test_each_fault_is_refused_by_the_name_of_its_field_and_nothing_is_kept(
    client: ClientSession, body: dict[str, object], field: str
) -> None:
    answer = await client.post(PATH, json=body)
    problem = await answer.json()
    assert (answer.status, [fault["field"] for fault in problem["errors"]]) == (422, [field])
    assert await (await client.get(PATH)).json() == []
    assert await deployments(client) == []


@pytest.mark.parametrize("number", ["0", "99", "x", "-1", "9" * 30, "1.5", "\u0661"])
async def test_an_id_that_nobody_has_is_not_found(client: ClientSession, number: str) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        answer = await client.request(method, f"{PATH}/{number}", json={"text": "x"} if method[0] == "P" else None)
        assert (method, answer.status) == (method, 404)


@pytest.mark.parametrize("name", ["from", "to", "tags", "dashboardUID", "panelId", "limit"])
@pytest.mark.parametrize("value", ["", "0", "-1", "x", "null", "NaN", "9" * 30, "1e400", "\x00", "\U000f4e07"])
async def test_no_parameter_makes_a_server_error(client: ClientSession, name: str, value: str) -> None:
    for path in (PATH, f"{PATH}/tags"):
        answer = await client.get(path, params=[(name, "1"), (name, value)])
        assert answer.status in {200, 422}, await answer.text()


async def test_a_real_client_of_grafana_finds_what_it_expects(start: Callable[..., Any]) -> None:
    client = await start(tokens=[{"name": "script", "token": "canary", "scopes": ["read", "annotate"]}])

    def use() -> list[Any]:
        api = GrafanaApi.from_url(str(client._base_url), credential=TokenAuth("canary")).annotations
        added = api.add_annotation(
            time_from=NOON_MS - MINUTE_MS, time_to=NOON_MS, tags=["deploy", "service:checkout"], text="v2"
        )
        plain = api.add_annotation(tags=["team"], text="lunch", dashboard_uid="shop", panel_id=2)
        graphite = api.add_annotation_graphite(what="deploy", tags=["x"], when=NOON_MS // 1000 - 9999, data="d")
        return [
            added["message"],
            [each["text"] for each in api.get_annotation(time_from=NOON_MS - 1000, tags=["deploy"])],
            [each["text"] for each in api.get_annotation(dashboard_uid="shop", panel_id=2)],
            [each["text"] for each in api.get_annotation(time_to=NOON_MS - 9000 * 1000, limit=5)],
            api.get_annotation(tags=["deploy", "team"]),
            api.update_annotation(plain["id"], text="dinner", tags=["team"])["message"],
            api.partial_update_annotation(plain["id"], text="supper")["message"],
            api.get_annotation(dashboard_uid="shop")[0]["text"],
            api.delete_annotations_by_id(graphite["id"])["message"],
        ]

    assert await asyncio.to_thread(use) == [
        "Annotation added",
        ["v2"],
        ["lunch"],
        ["deploy\nd"],
        [],
        "Annotation updated",
        "Annotation patched",
        "supper",
        "Annotation deleted",
    ]
    listed = await client.get("/api/v1/deployments", headers={"Authorization": "Bearer canary"})
    assert [each["service"] for each in (await listed.json())["deployments"]] == ["checkout"]
    tags = await client.get(f"{PATH}/tags", headers={"Authorization": "Bearer canary"})
    assert {"tag": "service:checkout", "count": 1} in (await tags.json())["result"]["tags"]


async def test_what_we_send_to_a_grafana_ends_in_one_annotation_here_too_and_never_comes_back(
    client: ClientSession,
) -> None:
    ours = build("notify", "grafana", {"url": str(client._base_url), "tags": ["deploy"]}, "notify[0]")
    fields: Any = {"service": "checkout", "environment": "production", "started_at": NOON, "received_at": NOON}
    for headline in ("started", "done"):
        await ours.send(Notification(deployment=Deployment(id="d1", **fields), impact=None, headline=headline, at=NOON))
    assert [each["text"] for each in await (await client.get(PATH)).json()] == ["done"]
    assert await deployments(client) == []
