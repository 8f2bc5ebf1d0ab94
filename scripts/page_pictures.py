"""The pictures of the pages in `docs/images/pages/`: `.venv/bin/python scripts/page_pictures.py [URL]`.

Starts the demo at a fixed time, or takes the one that runs at URL, leads the system's Chromium to the main pages, and
draws what README.md and docs/pages.md show. Needs what the tests need (`./scripts/test --collect-only -q`).
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images" / "pages"
END = "2026-11-26T15:00:00Z"
PAGES = {
    "deployments": "/",
    "story": "/deployments/api-v2.1.0",
    "service": "/services/api",
    "prediction": "/predictions?service=api&change_types=database&traits=table_rows+%3D+2000000",
    "windows": "/windows?service=api",
}
SIZES = {1280: 1000, 390: 844}
QUIET = "no-sandbox disable-gpu disable-background-networking disable-component-update disable-sync no-first-run"
SETTLED = 20.0  # seconds in which nothing new was learned
PATIENCE = 180_000.0  # ms: the first prediction waits until it was learned from the whole history


@contextmanager
def demo() -> Iterator[str]:
    """The address of a running demo."""
    command = [sys.executable, "-m", "afdp_exporter", "demo", f"--end={END}", "--web.listen-address=127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = next(filter(None, (re.search(r"Serving (http://[\w.:]+)", line) for line in process.stdout)))
            yield found[1]
        finally:
            process.send_signal(signal.SIGINT)


def learned(url: str) -> None:
    """Wait until the whole history was learned from: until then its figures rest on a part of it."""
    before = ""
    while True:
        with urllib.request.urlopen(f"{url}/api/v1/windows?service=api&hours=1", timeout=PATIENCE / 1000) as answer:
            told = json.load(answer)
        now = told["now"]  # which moves a little with the clock
        known = f"{told['n']} {now['risk_ratio']:.2f} {now['cost_per_hour']:.2g}"
        if before == (before := known):
            return
        time.sleep(SETTLED)


def shown() -> set[str]:
    """The names of the pictures that the documents show: page, width in px, colours."""
    texts = (ROOT / name for name in ("README.md", "docs/pages.md"))
    return {name for text in texts for name in re.findall(r"images/pages/([\w-]+)\.png", text.read_text())}


def draw(browser: Browser, url: str) -> None:
    """Every picture that is shown."""
    for picture in sorted(shown()):
        name, width, scheme = picture.split("-")
        size = {"width": int(width), "height": SIZES[int(width)]}
        with browser.new_context(viewport=size, color_scheme=scheme) as context:
            page = context.new_page()
            page.set_default_timeout(PATIENCE)
            page.goto(url + PAGES[name])
            page.screenshot(path=IMAGES / f"{picture}.png")
            print(f"{picture}.png")


def main() -> None:
    """Draw all of them."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        flags = [f"--{flag}" for flag in QUIET.split()]
        browser = playwright.chromium.launch(executable_path=program, args=[*flags, "--disable-quic"])
        if len(sys.argv) > 1:
            draw(browser, sys.argv[1])
        else:
            with demo() as url:
                learned(url)
                draw(browser, url)
        browser.close()


if __name__ == "__main__":
    main()
