"""The rules, judged by promtool, and the runbooks behind them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from shipped import ROOT
from shipped.names import existing, named

RULES = sorted((ROOT / "alerting/rules").glob("*.yml"))
TESTS = sorted((ROOT / "alerting/tests").glob("*.yml"))
RUNBOOKS = ROOT / "docs/runbooks"

_AFDP_ALERTS = re.compile(r"\bAFDP[A-Z]\w+")


def alerts() -> list[dict[str, Any]]:
    """Every alerting rule of every file."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def run(*command: str | Path) -> str:
    """What a command says; it must succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_promtool_finds_no_fault_in_the_rules(promtool: Path, path: Path) -> None:
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", path)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_alerts_fire_stay_silent_and_resolve_as_written(promtool: Path, path: Path) -> None:
    run(promtool, "test", "rules", path)


def test_every_alert_has_a_test() -> None:
    tested = {name for path in TESTS for name in _AFDP_ALERTS.findall(path.read_text("utf-8"))}
    assert tested == {rule["alert"] for rule in alerts()}


def test_promtool_finds_no_fault_in_the_scrape_configuration(promtool: Path) -> None:
    run(promtool, "check", "config", "--syntax-only", ROOT / "alerting/prometheus.yml")


def test_the_scrape_configuration_keeps_the_labels_of_the_deployed_service() -> None:
    jobs = yaml.safe_load((ROOT / "alerting/prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert {job["job_name"]: job["honor_labels"] for job in jobs} == {"afdp-exporter": True}


def test_every_alert_says_how_bad_it_is_and_where_to_read_on() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning", "none"}, rule["alert"]
        annotations = rule["annotations"]
        assert re.fullmatch(r"[A-Z][^{}]*\.", annotations["summary"]), rule["alert"]
        assert annotations["description"], rule["alert"]
        assert annotations["runbook_url"].endswith(f"/docs/runbooks/{rule['alert']}.md")


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in alerts()}
    for path in RUNBOOKS.glob("*.md"):
        assert path.read_text("utf-8").startswith(f"# {path.stem}\n")


def test_no_label_of_an_alert_changes_with_its_value() -> None:
    for rule in alerts():
        assert not re.search(r"\$value|\{\{", str(rule["labels"])), rule["alert"]


@pytest.mark.parametrize(
    "path", [*RULES, *(ROOT / "docs").rglob("*.md"), ROOT / "README.md"], ids=lambda path: path.name
)
def test_every_metric_named_exists(path: Path) -> None:
    assert named(path.read_text("utf-8")) <= existing()
