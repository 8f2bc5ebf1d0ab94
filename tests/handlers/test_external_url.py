"""Links that work wherever they are read: behind a proxy's path, in the API, in notices and in alerts."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from aiohttp import ClientSession

from afdp_exporter.alerts import AlertSettings, rule_files
from afdp_exporter.external import External, check_address
from annotating_grafana import AnnotatingGrafana
from loopback import Serve

URL = "https://ops.example.org/afdp"
HTML = {"Accept": "text/html"}


@pytest.fixture
async def behind(start: Callable[..., Any]) -> ClientSession:
    """A client of an exporter behind a proxy that has the path /afdp in front."""
    client = await start(external=External(URL))
    assert isinstance(client, ClientSession)
    return client


async def test_the_links_of_the_api_are_absolute_behind_an_external_url(behind: ClientSession) -> None:
    recorded = await behind.post("/api/v1/deployments", json={"service": "checkout", "id": "d1"})
    report = f"{URL}/api/v1/deployments/d1"
    links = {"self": report, "report": report, "series": f"{report}/series", "page": f"{URL}/deployments/d1"}
    assert recorded.headers["Location"] == report
    assert (await recorded.json())["links"] == links
    assert (await (await behind.get("/api/v1/deployments/d1")).json())["links"] == links
    await behind.post("/api/v1/deployments", json={"service": "checkout", "id": "d2"})
    listed = await (await behind.get("/api/v1/deployments?limit=1")).json()
    assert listed["links"]["next"].startswith(f"{URL}/api/v1/deployments?limit=1&cursor=")


@pytest.mark.parametrize(
    "path", ["/", "/deployments/d1", "/predictions", "/windows", "/patterns", "/trust", "/runbooks/"]
)
async def test_every_page_is_served_with_and_without_the_path_and_links_only_behind_it(
    behind: ClientSession, path: str
) -> None:
    await behind.post("/api/v1/deployments", json={"service": "checkout", "id": "d1"})
    for prefix in ("", "/afdp"):
        answer = await behind.get(f"{prefix}{path}", headers=HTML)
        page = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html")
        targets = re.findall(r'(?:href|src|action|data-series)="(/[^"]*)"', page)
        assert targets
        assert [target for target in targets if not target.startswith("/afdp/")] == []
        current = re.findall(r'href="([^"]+)" aria-current="page"', page)
        assert current == ([f"/afdp{path}"] if path not in {"/deployments/d1", "/runbooks/"} else [])
        for target in set(re.findall(r'(?:href|src)="(/afdp/assets/[^"]*)"', page)):
            assert (await behind.get(target)).status == 200


async def test_a_proxy_that_rewrites_the_path_is_answered_behind_the_route_prefix(start: Callable[..., Any]) -> None:
    client = await start(external=External("https://ops.example.org/afdp", "/internal"))
    for prefix in ("", "/afdp", "/internal"):
        page = await (await client.get(f"{prefix}/services", headers=HTML)).text()
        assert set(re.findall(r'href="(/\w+)/', page)) == {"/afdp"}
        assert (await client.get(f"{prefix}/-/ready")).status == 200
    alone = await start(external=External(route_prefix="/internal"))
    assert 'href="/internal/assets/afdp.css"' in await (await alone.get("/internal/", headers=HTML)).text()
    assert (await alone.get("/internalx/")).status == 404


async def test_behind_the_path_the_same_credentials_are_asked_for(start: Callable[..., Any]) -> None:
    client = await start(external=External(URL), tokens=[{"name": "ours", "token": "secret-token", "scopes": ["read"]}])
    for prefix in ("", "/afdp"):
        assert (await client.get(f"{prefix}/api/v1/deployments")).status == 401
        assert (await client.get(f"{prefix}/runbooks/AFDPDeploymentImpact")).status == 200
        authorized = {"Authorization": "Bearer secret-token"}
        assert (await client.get(f"{prefix}/api/v1/deployments", headers=authorized)).status == 200
        assert (await client.get(f"{prefix}/nothing", headers=authorized)).status == 404


async def test_an_annotation_links_to_the_report_behind_the_external_url(
    start: Callable[..., Any], serve: Serve
) -> None:
    grafana = AnnotatingGrafana()
    notify = [{"kind": "grafana", "url": await serve(grafana.answer)}]
    client = await start(external=External(URL), notify=notify)
    await client.post("/api/v1/deployments", json={"service": "checkout", "id": "d1"})
    while not grafana.annotations:
        await grafana.changed.wait()
        grafana.changed.clear()
    (annotation,) = grafana.annotations.values()
    assert f'<a href="{URL}/deployments/d1">Report</a>' in annotation["text"]


async def test_every_alert_links_a_runbook_that_the_exporter_serves(client: ClientSession) -> None:
    base = str(client._base_url).rstrip("/")
    rules = [
        rule
        for text in rule_files(AlertSettings(exporter_url=base)).values()
        for group in yaml.safe_load(text)["groups"]
        for rule in group["rules"]
        if "alert" in rule
    ]
    index = await (await client.get("/runbooks/", headers=HTML)).text()
    for rule in rules:
        address = rule["annotations"]["runbook_url"]
        for given in (address, f"{address}.md"):
            answer = await client.get(given, headers=HTML)
            page = await answer.text()
            assert answer.status == 200
            assert f"<h1>{rule['alert']}</h1>" in page
            assert "<h2>Do</h2>" in page
        assert not re.search(r'href="(?!/|#|http)', page)
        assert f'href="/runbooks/{rule["alert"]}"' in index
    assert (await client.get("/runbooks/AFDPNothing")).status == 404


@pytest.mark.parametrize(
    "address", ["ops.example.org", "https://", "https://x/{{ .Evil }}", 'https://x/"', "https://x/?a"]
)
def test_an_address_that_would_break_a_link_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"such as https://afdp\.example\.org is expected"):
        check_address(address)


def test_a_path_of_ours_is_told_apart_from_one_that_begins_alike() -> None:
    external = External(URL)
    assert [external.own_path(path) for path in ("/afdp/metrics", "/afdp", "/afdp/", "/afdpx", "/metrics")] == [
        "/metrics", "/", "/", "/afdpx", "/metrics",
    ]  # fmt: skip
    assert external.report("a/b") == f"{URL}/deployments/a%2Fb"
    assert External().report("a") is None
