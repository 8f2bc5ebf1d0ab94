"""The page of a service, and which pages load themselves again."""

import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from afdp_exporter.model import Status
from handlers.pages.conftest import History

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.usefixtures("small")
async def test_a_service_shows_its_health_its_dora_figures_and_its_deployments(read: Callable[..., Any]) -> None:
    page = await read("/services/checkout")
    assert "Change failure rate</dt><dd>" in page
    assert "0 of 2" in page
    assert "No harm going on" in page or "Harm goes on" in page
    assert all(f'href="/deployments/{name}"' in page for name in ("d1", "before", "planned"))
    every = await read("/services")
    assert every.count("/services/") == 3  # checkout in two environments, search in one
    await read("/services/nowhere", 404)


async def test_a_name_of_any_letters_has_its_page(history: History, read: Callable[..., Any]) -> None:
    await history.recorded(service="a/b <c>?d")
    assert "a/b &lt;c&gt;?d" in await read("/services/a%2Fb%20%3Cc%3E%3Fd")
    assert "/services/a%2Fb%20%3Cc%3E%3Fd" in await read("/services")


async def test_a_name_with_braces_as_of_a_template_that_was_not_filled_has_its_page(
    history: History, read: Callable[..., Any]
) -> None:
    await history.recorded(service="{{service}}")
    (link,) = set(re.findall(r'href="(/services/[^"?]+)', await read("/services")))
    assert "{{service}}" in await read(link)


async def test_the_list_leads_with_what_is_going_on_now(history: History, read: Callable[..., Any]) -> None:
    await history.recorded(id="old", started_at=NOON - timedelta(days=3), status=Status.STARTED)
    await history.recorded(id="rolling", started_at=NOON - timedelta(minutes=5), status=Status.STARTED)
    (now,) = re.findall(r'<p class="calm".*?</p>', await read("/"), re.DOTALL)
    assert "no harm goes on" in now
    assert re.findall(r"/deployments/(\w+)", now) == ["rolling"]
    assert 'class="calm"' not in await read("/?service=checkout")


@pytest.mark.parametrize(
    ("due_in", "seconds"), [(timedelta(minutes=-2), "15"), (timedelta(minutes=2), "120"), (timedelta(hours=3), None)]
)
async def test_pages_load_themselves_again_while_a_check_is_due(
    history: History, start: Callable[..., Any], due_in: timedelta, seconds: str | None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # a check that is due stays so
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = await start(sources=[{"name": "silent", "kind": "prometheus", "url": url}])
        await history.recorded(started_at=NOON - timedelta(hours=1) + due_in)  # whose check is due an hour later
        for path in ("/", "/deployments/d1"):
            assert (await client.get(path)).headers.get("Refresh") in {seconds, "15"}
