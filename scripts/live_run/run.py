"""A live run on data that nobody made for it; docs/live-run.md tells what has to run before.

A dashboard stays open on Prometheus all the time. The first deployment warms the exporter up: its own looks open
connections to Prometheus and fill its memory, which is an effect, too. In the quiet after that, one is posted that does
nothing; then one at whose start many readers begin to ask the API of Prometheus. What the exporter says about each is
printed, and read back from Prometheus by PromQL.
"""

import argparse
import contextlib
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

PROMETHEUS = "http://127.0.0.1:19190"
EXPORTER = "http://127.0.0.1:19133"

REFRESH = 5.0  # seconds, of the open dashboard
OPEN_DASHBOARD = (
    "rate(process_cpu_seconds_total[1m])",
    "histogram_quantile(0.95, sum by (le, handler) (rate(prometheus_http_request_duration_seconds_bucket[1m])))",
    "sum by (handler) (rate(prometheus_http_requests_total[1m]))",
    "go_memstats_alloc_bytes",
)
FIGURES = ("before", "after", "change", "low", "high", "p_value")
READERS = 6
PAUSE = 0.25  # seconds between two questions of a reader
HEAVY = '{__name__=~"prometheus_http_request_duration_seconds_bucket|go_.+"}'


def ask(url: str, **parameters: object) -> Any:  # noqa: ANN401 - JSON
    """What a GET answers."""
    with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(parameters)}", timeout=30) as answer:
        return json.load(answer)


def deploy(version: str) -> str:
    """Tell the exporter of a deployment of now; its id."""
    now = datetime.now(UTC).isoformat()
    body = {"service": "prometheus", "environment": "live", "version": version, "started_at": now}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{EXPORTER}/api/v1/deployments", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        deployment_id = str(json.load(answer)["id"])
    say(f"deployed {version}: {deployment_id}")
    return deployment_id


def read(query: str, seconds: float) -> None:
    """A range query as a panel sends it."""
    now = time.time()
    with contextlib.suppress(OSError):  # a reader of a slow server asks again
        ask(f"{PROMETHEUS}/api/v1/query_range", query=query, start=now - seconds, end=now, step=5)


def look_at_dashboard(closed: threading.Event) -> None:
    """Refresh the open dashboard until it is closed."""
    while not closed.is_set():
        started = time.monotonic()
        for query in OPEN_DASHBOARD:
            read(query, 900)
        closed.wait(max(REFRESH - (time.monotonic() - started), 0.1))


def ask_heavily(ended: threading.Event) -> None:
    """Ask much, again and again."""
    while not ended.is_set():
        read(HEAVY, 600)
        ended.wait(PAUSE)


@contextlib.contextmanager
def threads(count: int, work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Have work done as long as this is entered."""
    ended = threading.Event()
    working = [threading.Thread(target=work, args=(ended,), daemon=True) for _ in range(count)]
    for thread in working:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in working:
            thread.join()


def say(words: str) -> None:
    """Print with the time of day."""
    print(datetime.now(UTC).strftime("%H:%M:%S"), words, flush=True)


def figures(impact: dict[str, Any]) -> str:
    """One metric's line."""
    rounded = {name: None if impact[name] is None else f"{impact[name]:.4g}" for name in FIGURES}
    line = "{before} -> {after}, change {change} [{low}, {high}], p = {p_value}".format(**rounded)
    return f"{impact['metric']}: {impact['verdict']}, {line}, onset {impact['onset']}"


def tell(deployment_id: str) -> None:
    """Print what the exporter answers, and what Prometheus has of it."""
    report = ask(f"{EXPORTER}/api/v1/deployments/{deployment_id}")
    say(f"the report: {report['outcome']}")
    for sentence in report["story"]:
        print("   ", sentence)
    for impact in report["impacts"]:
        print("   ", figures(impact))
    say("read back from Prometheus:")
    for name in ("afdp_deployment_outcome", "afdp_impact_change", "afdp_impact_attribution_ratio"):
        query = f'{name}{{deployment_id="{deployment_id}"}}'
        for sample in ask(f"{PROMETHEUS}/api/v1/query", query=query)["data"]["result"]:
            labels = sample["metric"]
            print("   ", name, labels.get("metric") or labels["outcome"], sample["value"][1])


def main() -> None:
    """The run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--history", type=float, default=60, help="minutes to collect before the first deployment")
    parser.add_argument("--look", type=float, default=11, help="minutes from a deployment to its report")
    arguments = parser.parse_args()
    with threads(1, look_at_dashboard):
        say(f"a dashboard is open; {arguments.history:g} minutes of history")
        time.sleep(60 * arguments.history)
        for version in ("warm-up", "quiet"):
            silent = deploy(version)
            time.sleep(60 * arguments.look)
            tell(silent)
        loud = deploy("many-readers")
        say(f"{READERS} readers begin to ask")
        with threads(READERS, ask_heavily):
            time.sleep(60 * arguments.look)
            tell(loud)


if __name__ == "__main__":
    main()
