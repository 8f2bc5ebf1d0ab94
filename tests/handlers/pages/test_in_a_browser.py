"""The pages in a real Chromium: nothing foreign runs, everybody can read them, and they work without JavaScript."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import ClientSession
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page

from afdp_exporter.model import Attribution, Layer, Outcome, Shift
from afdp_exporter.store.sqlite import SQLiteStore
from tests.handlers.pages.test_trust import predicted

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MAIN = ("/", "/deployments/d1", "/services/checkout", "/predictions?service=checkout", "/windows?service=checkout")
OTHERS = (
    "/deployments/d1/label",
    "/api",
    "/services",
    "/patterns",
    "/gate",
    "/trust",
    "/nowhere",
    "/deployments/planned",
    "/?environment=moon",
)
LOOKS = [(width, scheme) for width in (1280, 390) for scheme in ("light", "dark")]
PAYLOADS = (
    "<script>xss()</script>", "<img src=x onerror=xss()>", "<svg onload=xss()>", "<svg/onload=xss()>",
    '"><script>xss()</script>', "'><script>xss()</script>", '" onmouseover="xss()', "' autofocus onfocus='xss()",
    "javascript:xss()", "JaVaScRiPt:xss()", "data:text/html,<script>xss()</script>", "</title><script>xss()</script>",
    "</textarea><script>xss()</script>", "</style><script>xss()</script>", "</script><script>xss()</script>",
    "<!--<script>xss()</script>-->", "<iframe src=javascript:xss()>", "<object data=javascript:xss()>",
    "<embed src=javascript:xss()>", "<base href=//evil.example/>", "<link rel=stylesheet href=//evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=javascript:xss()'>", "<form action=javascript:xss()><button>x</button>",
    "<details open ontoggle=xss()>", "<video><source onerror=xss()>", "<audio src=x onerror=xss()>",
    "<input autofocus onfocus=xss()>", "<marquee onstart=xss()>", "<math><mi xlink:href='javascript:xss()'>x</mi>",
    "<a href=javascript:xss()>x</a>", "<body onload=xss()>", "<style>*{background:url(//evil.example)}</style>",
    "{{ 7 * 7 }}", "{% for x in range(9) %}x{% endfor %}", "${xss()}", "&lt;script&gt;xss()&lt;/script&gt;",
    "<scr<script>ipt>xss()</scr</script>ipt>", "<template><script>xss()</script></template>",
    "\u202e<script>xss()</script>", "<ScRiPt>xss()</sCrIpT>",
)  # fmt: skip


SEEN = """() => [
    document.querySelector("main").textContent,
    document.querySelectorAll("main :is(script, iframe, object, embed, base, link, meta, img, style, video)").length,
    document.querySelectorAll("main :is([href^=javascript i], [href^=data i], [onload], [onerror], [onfocus])").length,
]"""


@dataclass
class Visit:
    """A page that is open, and everything it complained of."""

    page: Page
    base: str
    complaints: list[str] = field(default_factory=list)

    async def to(self, path: str) -> int:
        answer = await self.page.goto(self.base + path)
        assert answer is not None
        return answer.status


@asynccontextmanager
async def visit(browser: Browser, client: ClientSession, **words: Any):  # noqa: ANN201, ANN401 - as Playwright names them
    context = await browser.new_context(**words)
    page = await context.new_page()
    visited = Visit(page=page, base=str(client._base_url).rstrip("/"))
    page.on("console", lambda message: visited.complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: visited.complaints.append(str(error)))
    page.on("dialog", lambda dialog: visited.complaints.append(f"dialog: {dialog.message}"))
    yield visited
    await context.close()


async def test_payloads_in_every_field_show_as_text_and_nothing_of_them_runs(
    browser: Browser,
    client: ClientSession,
    history: Any,  # noqa: ANN401
) -> None:
    assert len(set(PAYLOADS)) == 40
    for number, payload in enumerate(PAYLOADS):
        fields = {
            "service": payload[:128],
            "environment": payload[:128],
            "version": payload,
            "previous_version": payload,
        }
        fields |= {"actor": payload, "team": payload, "commit": payload, "url": payload, "description": payload}
        fields |= {"note": payload, "traits": {payload: payload}, "labels": {"x": payload}}
        at = NOON - timedelta(hours=3, minutes=number)
        deployment = await history.recorded(id=f"x{number}", started_at=at, received_from=payload, **fields)
        shift = Shift(metric=payload, layer=Layer.USER, verdict=Attribution.INCONCLUSIVE, reason=payload)
        await history.answer(deployment, (shift,), ())
    async with visit(browser, client) as open_:
        await open_.page.add_init_script("window.xss = () => { throw new Error('foreign code ran') }")
        for number, payload in enumerate(PAYLOADS):
            assert await open_.to(f"/deployments/x{number}") == 200
            shown, made, led = await open_.page.evaluate(SEEN)
            assert shown.count(payload) >= 12
            assert (made, led) == (0, 0)
        for path in ("/", "/trust", "/patterns", "/windows"):
            await open_.to(path)
        await open_.page.goto(f"{open_.base}/predictions")
        await open_.page.fill("input[name=service]", PAYLOADS[4])
        await open_.page.fill("textarea", PAYLOADS[12])
        await open_.page.click("main button")
        assert await open_.page.input_value("input[name=service]") == PAYLOADS[4]
        assert [each for each in open_.complaints if "status of 422" not in each] == []


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
async def test_the_main_pages_are_readable_for_everybody(
    browser: Browser,
    small: ClientSession,
    width: int,
    scheme: Any,  # noqa: ANN401
) -> None:
    async with visit(browser, small, viewport={"width": width, "height": 900}, color_scheme=scheme) as open_:
        for path in MAIN if (width, scheme) != LOOKS[0] else (*MAIN, *OTHERS):
            await open_.to(path)
            found = await Axe().run(open_.page)
            grave = [each for each in found.response["violations"] if each["impact"] in {"serious", "critical"}]
            faults = [(each["id"], [node["html"][:120] for node in each["nodes"]][:3]) for each in grave]
            assert (path, faults) == (path, [])
            assert await open_.page.evaluate("document.documentElement.scrollWidth") <= width
        assert [each for each in open_.complaints if "404" not in each] == []


async def test_everything_works_without_javascript_and_by_keyboard(browser: Browser, small: ClientSession) -> None:
    async with visit(browser, small, java_script_enabled=False) as open_:
        await open_.to("/")
        await open_.page.keyboard.press("Tab")
        assert await open_.page.locator(":focus").inner_text() == "Skip to the content"
        await open_.page.select_option("select[name=outcome]", "degradation")
        await open_.page.click(".filter button")
        assert await open_.page.locator("tbody tr").count() == 1
        await open_.page.click("tbody th a")
        assert await open_.page.locator("h1").inner_text() == "checkout v2.1.0"
        assert await open_.page.locator("figure svg path.expected").count() == 2
        await open_.page.locator(".evidence summary").first.focus()
        await open_.page.keyboard.press("Enter")
        assert await open_.page.locator("details[open] dl").is_visible()
        await open_.page.emulate_media(media="print")
        assert not await open_.page.locator("nav[aria-label=Pages]").is_visible()
        assert open_.complaints == []


async def test_a_person_corrects_a_verdict_by_the_form_alone(browser: Browser, small: ClientSession) -> None:
    async with visit(browser, small, java_script_enabled=False) as open_:
        await open_.to("/deployments/d1")
        await open_.page.click("text=This verdict is wrong")
        await open_.page.select_option("select[name=outcome]", "success")
        await open_.page.fill("textarea[name=note]", "a planned load test")
        await open_.page.click("main button")
        assert open_.page.url == f"{open_.base}/deployments/d1"
        assert await open_.page.locator(".badge").first.inner_text() == "No harm"
        assert "Labelled by a human as no harm: a planned load test." in await open_.page.inner_text("main")
        assert open_.complaints == []


async def test_the_hours_of_the_week_are_all_seen_on_a_phone(browser: Browser, small: ClientSession) -> None:
    async with visit(browser, small, viewport={"width": 390, "height": 844}) as open_:
        await open_.to("/windows?service=checkout")
        cells = await open_.page.eval_on_selector_all(
            ".week td:not(.past)", "all => all.map(each => each.getBoundingClientRect().right)"
        )
        assert len(cells) == 168
        assert 0 < max(cells) <= 390


async def test_a_wide_table_scrolls_by_itself_on_a_phone(
    browser: Browser, store: SQLiteStore, client: ClientSession
) -> None:
    await predicted(store, "high", 0.7, Outcome.FAILURE)
    async with visit(browser, client, viewport={"width": 390, "height": 844}) as open_, asyncio.timeout(60):
        while not await open_.page.query_selector("text=Risk between"):
            await open_.to("/trust")
        assert await open_.page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_pointing_at_a_plot_reads_its_values(browser: Browser, small: ClientSession) -> None:
    async with visit(browser, small) as open_:
        await open_.to("/deployments/d1")
        plot = open_.page.locator("figure svg").first
        await plot.hover(position={"x": 250, "y": 80})
        reading = open_.page.locator("figure .reading").first
        await reading.filter(has_text="expected").wait_for()
        assert "UTC: 2" in await reading.inner_text()
        assert open_.complaints == []
