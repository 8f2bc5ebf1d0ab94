"""`afdp demo` as people run it: a process of its own in an empty folder, from nothing to the stories and the pages."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from afdp_exporter.commands.demo import COMMAND
from afdp_exporter.demo.effects import Effect
from afdp_exporter.demo.shop import METRICS, REVENUE
from afdp_exporter.demo.world import World, make_world
from real_parts.fixtures import Start
from real_parts.servers import Prometheus
from real_parts.waiting import until
from shipped import ROOT
from shipped.dashboards import FILES, load, queries
from shipped.names import NOT_IN_THE_DEMO, WHERE_AN_HOUR_MATTERS, named

AFDP = [sys.executable, "-m", "afdp_exporter"]
NOW = datetime(2026, 11, 24, 9, 40, tzinfo=UTC)
END = f"--end={NOW.isoformat()}"


class Running:
    """A demo in a folder of its own, with a folder of its own for what is temporary."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.temporary = folder / "here", folder / "tmp"  # short: a socket goes into it
        for made in (self.folder, self.temporary):
            made.mkdir(parents=True)
        self.said: tuple[str, str] | None = None
        self.so_far = ""
        self.process = subprocess.Popen(
            [*AFDP, "demo", *arguments],
            cwd=self.folder,
            env={**os.environ, "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ended(self) -> tuple[str, str]:
        """What it said until it ended by itself."""
        if self.said is None:
            self.said = self.process.communicate(timeout=300)
        return self.said

    @cached_property
    def url(self) -> str:
        """Where it serves, once it does."""
        return self.said_until("Serving").split("Serving ")[1].split("/,")[0]

    def said_until(self, word: str) -> str:
        """What it said until a line with the word."""
        assert self.process.stdout
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if word in line:
                break
        self.so_far += "".join(lines)
        return "".join(lines)

    def left_running(self) -> list[str]:
        """The processes of its session that are still at work; what has ended and waits to be reaped is not."""
        found = subprocess.run(["ps", "-eo", "sid=,stat=,args="], capture_output=True, text=True, check=True)
        processes = [line.split(maxsplit=2) for line in found.stdout.splitlines()]
        return [args for sid, state, args in processes if int(sid) == self.process.pid and not state.startswith("Z")]


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short name."""
    return tmp_path_factory.mktemp("x")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A demo that ends after its stories, and whose store is kept."""
    folder = tmp_path_factory.mktemp("once")
    running = Running(folder, END, "--exit", f"--storage.path={folder / 'kept'}")
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, once: Running) -> Iterator[Running]:
    """A demo that serves; it starts beside the other one."""
    running = Running(tmp_path_factory.mktemp("serving"), END, "--web.listen-address=127.0.0.1:0", "--seed=3")
    yield running
    running.process.kill()
    running.process.wait()


def test_it_shows_both_stories_with_the_truth_beside_them_and_ends(once: Running, serving: Running) -> None:
    out, err = once.ended()
    assert (once.process.returncode, err) == (0, "")
    assert "Deployment api v2.1.0 on 23 Nov at 14:00 UTC raised request latency p95 by" in out
    assert "the same sequence followed three earlier deployments" in out
    story, migration = out.split("The newest migration")
    rows = {cells[1]: cells for line in story.splitlines() if len(cells := [c.strip() for c in line.split("│")]) == 6}
    assert rows.keys() == {"request latency p95", "mobile sessions", "cart abandonment ratio", "revenue"}
    for metric in rows:
        assert rows[metric][4] == "yes"
    assert "db lock wait" in migration
    assert "Predicted for api v2.1.0 before it started" in migration
    assert "Of 28 deployments that do something" in out
    ranges, held = map(int, re.findall(r"Of (\d+) measured ranges (\d+) hold what was planted", out)[0])
    assert held >= 0.8 * ranges > 0


def test_without_a_terminal_it_says_at_once_where_to_look_and_leads_to_pages_that_are_there(serving: Running) -> None:
    url = serving.url
    said = serving.so_far
    assert said.index(f"Open {url}/ now") < said.index("The newest API update")
    stops = re.findall(rf"^  {re.escape(url)}(\S+)", said, re.MULTILINE)
    assert len(stops) == 5
    for stop in stops:
        with urllib.request.urlopen(url + stop, timeout=120) as answer:
            assert answer.status == 200


def test_it_leaves_nothing_behind(once: Running) -> None:
    once.ended()
    assert not once.left_running()
    assert list(once.folder.iterdir()) == []
    assert list(once.temporary.iterdir()) == []


def test_what_is_being_lost_now_is_what_goes_on_by_the_planted_truth(serving: Running) -> None:
    with urllib.request.urlopen(f"{serving.url}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    exposed: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for sample in (sample for family in families for sample in family.samples):
        exposed[sample.name].append((sample.labels.get("deployment_id", ""), sample.value))
    low, median, high = (
        sum(value for _, value in exposed[f"afdp_cost_per_hour{end}"]) for end in ("_lower", "", "_upper")
    )
    world = make_world(NOW, seed=3)
    going_on = {effect.deployment_id for effect in lasting(world)}
    truth = sum(-effect.size if effect.metric == REVENUE else effect.size for effect in lasting(world))
    assert low <= truth <= high
    assert median == pytest.approx(truth, rel=0.5)
    assert {name for name, _ in exposed["afdp_cost_per_hour"]} == going_on
    assert {name for name, value in exposed["afdp_impact_active"] if value == 1} == going_on
    assert len(exposed["afdp_cost_total"]) > len(exposed["afdp_cost_per_hour"])


def lasting(world: World) -> list[Effect]:
    """The effects on money that go on at the end: those that last, of the last deployment of each service."""
    last = {deployment.service: deployment.id for deployment in world.deployments}
    money = {metric.name for metric in METRICS if metric.money is not None}
    found = [effect for name in last.values() for effect in world.effects(name)]
    return [effect for effect in found if effect.metric in money and effect.duration is None and not effect.undoes]


def test_a_prometheus_that_scrapes_it_answers_every_panel_of_every_dashboard(
    serving: Running, start: Start, tmp_path: Path
) -> None:
    port = serving.url.rpartition(":")[2]
    (job,) = yaml.safe_load((ROOT / "alerting/prometheus.yml").read_text("utf-8"))["scrape_configs"]
    scraped = {"scrape_configs": [job | {"static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}]}
    prometheus = start(Prometheus(tmp_path / "prometheus", scraped))

    def send(method: str, path: str, **body: object) -> int:
        answer = prometheus.http.request(method, f"{serving.url}{path}", json=body)
        return answer.status

    deployments = "/api/v1/deployments"
    planned = {"service": "api", "status": "planned", "started_at": "2026-11-24T12:00:00Z", "change_types": ["code"]}
    assert send("POST", deployments, id="next", **planned) == 201
    elsewhere = planned | {"environment": "staging"}  # so that it takes the place of no deployment in production
    assert send("POST", deployments, id="foretold", **elsewhere) == 201
    assert send("POST", deployments, version=1) == 422
    until(lambda: prometheus.query('afdp_predicted_risk_ratio{deployment_id="foretold"}'))
    done = {"status": "succeeded", "started_at": "2026-11-24T09:00:00Z", "finished_at": "2026-11-24T09:01:00Z"}
    done["outcome"] = "success"  # a human's word, so that the prediction can be scored
    assert send("PATCH", f"{deployments}/foretold", **done) == 200

    values = {"service": ".+", "environment": ".+", "deployment_id": "api-v2.1.0", "__rate_interval": "10s"}
    values["metric"] = "request_latency_p95_seconds"
    every = [query for path in FILES for query in queries(load(path.name), values)]
    goes_on = {"afdp_impact_recovered_timestamp_seconds"}  # none of what that deployment moved is back
    empty_here = NOT_IN_THE_DEMO | WHERE_AN_HOUR_MATTERS | goes_on
    asked = [query for query in every if not named(query.expr) & empty_here]
    assert len(asked) > 80

    def empty() -> list[str]:
        return [query.place for query in asked if not prometheus.query(query.expr)]

    until(lambda: not empty(), empty, 900.0)


def test_a_canary_a_green_and_a_rollback_in_dry_run_are_there_to_watch(serving: Running) -> None:
    def get(path: str) -> Any:  # noqa: ANN401
        with urllib.request.urlopen(f"{serving.url}{path}", timeout=10) as answer:
            return json.load(answer)

    canary = get("/api/v1/deployments/search-v3.1.0/rollout")
    verdicts = {each["metric"]: each["verdict"] for each in canary["metrics"]}
    assert verdicts["failed_searches_ratio"] == "worse"
    assert get("/api/v1/gate?deployment_id=search-v3.1.0")["decided_by"] == "guard_rail"
    switch = "/api/v1/gate?deployment_id=catalogue-v8.12.0"
    until(lambda: get(switch)["verdict"] != "unknown", lambda: get(switch))  # once it has learned
    green = get(switch)
    assert green["phase"] == "preview"
    assert green["verdict"] in {"warn", "hold"}  # doubtful; how much so depends on what was learned by then
    unusual = {each["metric"]: each["verdict"] for each in green["switch"]["signals"]}
    assert unusual["memory_bytes"] == "unusual"
    (action,) = [each for each in get("/api/v1/actions")["actions"] if each["service"] == "search"]
    assert (action["state"], action["dry_run"]) == ("skipped", True)
    assert action["request"]["request"]["body"]["version"] == "v3.1.0"


def test_it_serves_what_it_reported_until_it_is_interrupted(serving: Running) -> None:
    url = serving.url
    with urllib.request.urlopen(f"{url}/api/v1/deployments/api-v2.1.0", timeout=10) as answer:
        assert b"request_latency_p95_seconds" in answer.read()
    with urllib.request.urlopen(f"{url}/deployments/api-v2.1.0", timeout=10) as answer:
        page = answer.read().decode()
        assert "raised request latency p95 by" in page
        assert page.count('class="expected" d="M') >= 10
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        assert 'afdp_impact_change{deployment_id="api-v2.1.0"' in answer.read().decode()
    serving.process.send_signal(signal.SIGINT)
    serving.ended()
    assert serving.process.returncode == 0
    assert not serving.left_running()
    assert list(serving.temporary.iterdir()) == []


def test_interrupted_while_it_analyses_it_cleans_up(short: Path) -> None:
    running = Running(short, "--exit")
    running.said_until("A shop")
    running.process.send_signal(signal.SIGTERM)
    running.ended()
    assert running.process.returncode != 0
    assert not running.left_running()
    left = [path for path in running.temporary.iterdir() if path.is_dir() or path.stat().st_size]
    assert left == []  # ended while it starts, Python may leave the empty file by which it tries a temporary folder


def without_progress(said: tuple[str, str]) -> tuple[str, str]:
    """What is logged every ten seconds depends on the machine."""
    out, err = said
    return re.sub(r"^Analysing deployments: \d+ of .*\n", "", out, flags=re.MULTILINE), err


def test_a_kept_history_is_not_analysed_twice_and_not_mixed_with_another(once: Running, short: Path) -> None:
    output = without_progress(once.ended())
    kept = f"--storage.path={once.folder.parent / 'kept'}"
    again = Running(short / "1", END, "--exit", kept)
    assert without_progress(again.ended()) == output
    other = Running(short / "2", END, "--exit", kept, "--seed=3")
    _, err = other.ended()
    assert other.process.returncode == 1
    assert err.startswith("afdp: storage.path: holds deployments of another")


def test_written_as_files_it_is_a_recording_that_can_be_checked(tmp_path: Path) -> None:
    running = Running(tmp_path, f"--write={tmp_path / 'shop'}")
    out, _ = running.ended()
    assert running.process.returncode == 0
    assert "afdp check" in out
    checked = subprocess.run(
        [*AFDP, "check", "--output=json", f"--config.file={tmp_path / 'shop' / 'afdp.yml'}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert {answer["points"] for answer in json.loads(checked.stdout) if answer["metric"] == "cpu_ratio"} <= {
        1440,
        1441,
    }


@pytest.mark.parametrize("end", ["yesterday", "2026-11-24T09:40:00", "NaN"])
def test_an_end_that_is_no_time_is_refused_with_a_word(end: str) -> None:
    refused = CliRunner().invoke(COMMAND, [f"--end={end}"])
    assert refused.exit_code == 2
    assert "a time" in refused.output
