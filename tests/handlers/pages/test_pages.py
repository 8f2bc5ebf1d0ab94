"""The pages as they are served: what they say, to whom, and under which policy."""

import asyncio
import re
import shlex
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from afdp_exporter.handlers.routes import ROUTES
from afdp_exporter.store.sqlite import SQLiteStore

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PAGES = (
    "/",
    "/deployments/d1",
    "/deployments/d1/label",
    "/services",
    "/api",
    "/services/checkout",
    "/predictions?service=checkout",
    "/windows?service=checkout",
    "/patterns",
    "/gate",
    "/trust",
)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("path", PAGES)
async def test_a_page_lets_a_browser_run_nothing_but_our_own_file(client: ClientSession, path: str) -> None:
    answer = await client.get(path)
    text = await answer.text()
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
    assert answer.status == 200
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert not re.search(r"<style|style=|\son\w+=|javascript:|<script(?! src=\"/assets/)", text)
    assert text.count("<h1") == 1
    assert set(re.findall(r'(?:src|href)="(https?:)', text)) == set()


@pytest.mark.usefixtures("small")
async def test_no_page_shows_a_time_of_day_without_its_zone(start: Callable[..., Any]) -> None:
    client = await start(policy={"planning": {"time_zone": "Europe/Berlin"}})
    for path in PAGES:
        text = await (await client.get(path)).text()
        words = re.sub(r'<text class="tick".*?</text>|<[^>]*>', " ", text)  # the footer names the zone of an axis
        alone = [found for found in re.findall(r"\b\d\d:\d\d\b.{,20}", words) if not re.search(r"\bCET\b", found)]
        assert (path, alone) == (path, [])
        assert "all times in Europe/Berlin" in words
    assert "13:00 CET" in await (await client.get("/deployments/planned")).text()


@pytest.mark.usefixtures("small")
async def test_the_list_reports_each_deployment_its_outcome_and_can_be_filtered(read: Callable[..., Any]) -> None:
    page = await read("/")
    rows = re.findall(r"<tr>.*?</tr>", page, re.DOTALL)[1:]
    assert [re.search(r"/deployments/([\w-]+)", row)[1] for row in rows] == ["planned", "awaited", "d1", "before"]  # type: ignore[index]
    words = ["Planned", "Pending", "Degradation", "No harm"]
    assert [word in row for word, row in zip(words, rows, strict=True)] == [True] * 4
    assert "$1,200 an hour [$900, $1,500]" in rows[2]
    assert re.search(r"latency \+[\d.]+ ms \[.*?\], and 1 more metric<", rows[2])
    assert [row.count('class="spark"') for row in rows] == [0, 0, 1, 1]
    filtered = await read("/?outcome=degradation&service=checkout&environment=")
    assert re.findall(r'href="/deployments/([\w-]+)"', filtered) == ["d1"]
    assert "No deployment fits" in await read("/?environment=moon")


async def test_the_list_goes_on_from_page_to_page(history: Any, read: Callable[..., Any]) -> None:  # noqa: ANN401
    for number in range(53):
        await history.recorded(id=f"d{number}", started_at=NOON - timedelta(minutes=number))
    path, seen = "/?service=checkout", list[str]()
    while path:
        page = await read(path)
        seen += re.findall(r'href="/deployments/([\w-]+)"', page)
        following = re.search(r'href="([^"]+)" rel="next"', page)
        path = following[1].replace("&amp;", "&") if following else ""
        assert "service=checkout" in path or not path
    assert seen == [f"d{number}" for number in range(53)]


@pytest.mark.usefixtures("small")
async def test_a_story_shows_words_plots_sequence_evidence_and_what_was_seen_before(read: Callable[..., Any]) -> None:
    page = await read("/deployments/d1")
    assert "Deployment checkout v2.1.0 raised latency." in page
    assert page.count('class="expected" d="M') == 2
    assert page.count("onset 09:0") == 2
    described = r"<desc id=\"plot-1-desc\">Measured 220 ms in the mean from 09:00 UTC to .* expected 200 ms \["
    assert re.search(described, page)
    assert re.search(r'<svg class="chain".*?class="arrow" d="M', page, re.DOTALL)
    assert "Latency rose, followed 4 minutes later by: revenue fell." in page
    assert "its level moved when the deployment came" in page
    assert "<dt>p value</dt><dd>0.01</dd>" in page
    assert "Worse: latency, revenue." in page
    assert "latency_seconds" not in re.sub(r"<[^>]*>", "", page)
    assert 'href="/deployments/before"' in page
    assert "<dt>table rows</dt><dd>2,000,000</dd>" in page
    assert "<dt>hotfix</dt><dd>no</dd>" in page


@pytest.mark.usefixtures("small")
async def test_a_deployment_that_is_awaited_or_planned_says_what_comes_next(read: Callable[..., Any]) -> None:
    assert "The next check is due in 59 minutes" in await read("/deployments/awaited")
    planned = await read("/deployments/planned")
    assert "is planned for" in planned
    assert "No check is planned before it is deployed" in planned
    link = re.search(r'href="(/predictions[^"]+)"', planned)
    assert link is not None
    assert "Prediction for checkout v2.1.0" in await read(link[1].replace("&amp;", "&"))


async def test_an_empty_installation_gives_a_line_that_works(read: Callable[..., Any]) -> None:
    page = await read("/")
    line = re.search(r"<code>(curl.*?)</code>", page, re.DOTALL)
    assert line is not None
    command = line[1].replace("&#34;", '"').replace("&#39;", "'").replace("\\\n", " ")
    process = await asyncio.create_subprocess_exec(*shlex.split(command), stdout=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    assert "checkout v2.1.0" in await read("/")


async def test_where_tokens_are_needed_the_first_line_says_so(start: Callable[..., Any]) -> None:
    client = await start(tokens=[{"name": "t", "token": "canary", "scopes": ["read"]}])
    answer = await client.get("/", headers={"Authorization": "Bearer canary"})
    assert "Authorization: Bearer $AFDP_TOKEN" in (text := await answer.text()).replace("&#34;", '"')
    assert "canary" not in text


async def test_a_browser_without_a_credential_is_asked_for_one_on_a_page(start: Callable[..., Any]) -> None:
    client = await start(tokens=[{"name": "t", "token": "canary"}])
    for route in ROUTES:
        if "/api/" not in route.path and route.method == "GET" and route.scope is not None:
            answer = await client.get(re.sub(r"{\w+}", "d", route.path), headers={"Accept": "text/html,*/*;q=0.8"})
            assert (answer.status, answer.content_type) == (401, "text/html")
            assert "Basic" in answer.headers["WWW-Authenticate"]
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/deployments/none", "/deployments/%3Cimg%3E", "/nowhere", "/assets/secret"])
async def test_what_is_not_there_is_reported_as_a_page_to_browsers_and_as_a_problem_to_programs(
    client: ClientSession, read: Callable[..., Any], path: str
) -> None:
    assert "<h1>Not Found</h1>" in await read(path, 404)
    answer = await client.get(path)
    assert (answer.status, answer.content_type) == (404, "application/problem+json")


@pytest.mark.usefixtures("small")
async def test_a_source_that_is_away_is_reported_and_hides_nothing_that_is_known(
    start: Callable[..., Any], store: SQLiteStore, content: dict[str, Any]
) -> None:
    away = [{"name": "gone", "kind": "prometheus", "url": "http://127.0.0.1:9"}]
    client = await start(sources=away)
    while "gone does not answer" not in (page := await (await client.get("/deployments/d1")).text()):
        await client.post("/api/v1/deployments", json={"service": "checkout", "started_at": "2026-03-02T10:00:00Z"})
    assert page.count('class="expected" d="M') == 2
    assert "unreachable" in await (await client.get("/trust")).text()
    assert content["sources"][0]["kind"] == "recording"
    assert (await store.results.impact("d1")) is not None


@pytest.mark.usefixtures("small")
async def test_the_form_predicts_and_names_every_fault(read: Callable[..., Any]) -> None:
    page = await read("/predictions?service=checkout&change_types=code&change_types=database&traits=rows%20%3D%205")
    assert "Prediction for checkout" in page
    assert "Risk of degradation or failure" in page
    assert page.count(" checked>") == 2
    wrong = await read("/predictions?service=&traits=rows&started_at=soon&strategy=&who=me", 422)
    assert "who: unknown field" in wrong
    faults = await read("/predictions?service=x&started_at=soon&change_types=magic", 422)
    assert "started_at:" in faults
    assert "change_types" in faults
    assert "line 1: name = value is expected" in await read("/predictions?service=x&traits=rows", 422)


async def test_where_nothing_was_measured_no_hour_is_recommended(
    client: ClientSession, read: Callable[..., Any]
) -> None:
    body = {"id": "first", "service": "checkout", "started_at": "2026-03-02T11:00:00Z"}
    assert (await client.post("/api/v1/deployments", json=body)).status == 201
    page = await read("/windows?service=checkout")
    assert "No deployment of checkout has been measured yet" in page
    assert "Best window" not in page
    assert "<td" not in page


@pytest.mark.usefixtures("small")
async def test_the_week_has_a_cell_for_each_hour_and_names_what_it_rests_on(read: Callable[..., Any]) -> None:
    page = await read("/windows?service=checkout")
    assert len(re.findall(r'<td class="shade\d', page)) == 168
    assert "deployments" in page


async def test_the_page_of_trust_shows_which_feeds_are_read(start: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("kept", "no-repository"):
        (tmp_path / name).mkdir()
    await asyncio.to_thread(subprocess.run, ["git", "init", "--quiet", str(tmp_path / "kept")], check=True)
    feeds = [{"name": name, "kind": "git", "path": str(tmp_path / name)} for name in ("kept", "no-repository")]
    client, page = await start(feeds=feeds), "not read yet"
    async with asyncio.timeout(60):
        while "not read yet" in page:
            page = await (await client.get("/trust", headers={"Accept": "text/html"})).text()
    states = dict(re.findall(r'<th scope="row">([\w-]+)</th><td><span class="badge \w+">([^<]+)<', page))
    assert states == {"kept": "reading", "no-repository": "unreachable: what only it reports is missing"}


@pytest.mark.usefixtures("small")
async def test_the_page_of_trust_shows_what_was_measured_and_what_was_not(
    client: ClientSession, read: Callable[..., Any]
) -> None:
    page = await read("/trust")
    assert "nothing can be judged yet" in page
    assert "Overdue checks</dt><dd>" in page
    assert (await client.get("/trust", headers={"Accept": "text/html"})).headers["Cache-Control"] == "no-store"
