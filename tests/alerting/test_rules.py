"""The rules, judged by promtool, and the runbooks behind them."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from afdp_exporter import cli
from afdp_exporter.alerts import GROUPS, MANIFEST, AlertSettings, manifest, rule_files
from afdp_exporter.errors import ConfigError
from afdp_exporter.settings import parse
from shipped import ROOT

OPERATOR = ROOT / "alerting/operator"
RULES = sorted((ROOT / "alerting/rules").glob("*.yml"))
TESTS = sorted((ROOT / "alerting/tests").glob("*.yml"))
RUNBOOKS = ROOT / "afdp_exporter/alerts/runbooks"

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


def test_the_shipped_rules_are_what_the_defaults_render() -> None:
    assert {path.name: path.read_text("utf-8") for path in RULES} == rule_files(AlertSettings())
    assert {path.name: path.read_text("utf-8") for path in OPERATOR.iterdir()} == {MANIFEST: manifest(AlertSettings())}


def test_the_operator_gets_the_same_rules_as_prometheus() -> None:
    shipped = yaml.safe_load((OPERATOR / MANIFEST).read_text("utf-8"))
    assert (shipped["apiVersion"], shipped["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    by_name = {group["name"]: group for group in groups}
    assert {group["name"]: group for group in shipped["spec"]["groups"]} == by_name


def test_thresholds_and_addresses_come_from_the_configuration(promtool: Path, tmp_path: Path) -> None:
    config = tmp_path / "afdp.yml"
    thresholds = {
        "cost_per_hour": 250.5,
        "risk_ratio": 0.25,
        "least_deployments": 30,
        "told_for": "2d",
        "job": "impact",
        "exporter_url": "https://afdp.example.org/",
        "grafana_url": "https://grafana.example.org",
    }
    source = {"kind": "prometheus", "url": "http://localhost:9090"}
    config.write_text(yaml.safe_dump({"sources": [source], "policy": {"alerts": thresholds}}))
    printed = CliRunner().invoke(cli._afdp, ["render", "alerts", f"--config.file={config}"])
    assert printed.exit_code == 0, printed.output
    rules = tmp_path / "rules.yml"
    rules.write_text(printed.stdout)
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", rules)
    for wanted in ("> 250.5)", ">= 0.25", ">= 30)", "< 172800)", 'up{job="impact"}', "https://afdp.example.org/deploy"):
        assert wanted in printed.stdout, wanted
    assert "localhost" not in printed.stdout
    assert "runbook_url: https://afdp.example.org/runbooks/AFDPDeploymentImpact\n" in printed.stdout
    assert "dashboard_url: https://grafana.example.org/d/afdp-trust" in printed.stdout
    written = CliRunner().invoke(cli._afdp, ["render", "alerts", f"--config.file={config}", f"--output={tmp_path}/r"])
    assert [Path(line).name for line in written.stdout.splitlines()] == [f"{name}.yml" for name in GROUPS]


@pytest.mark.parametrize("url", ["afdp.example.org", "https://x/{{ .Evil }}", 'https://x/"', "https://x/ #"])
def test_an_address_that_would_break_the_rules_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="exporter_url: a plain address"):
        parse(AlertSettings, {"exporter_url": url}, "policy.alerts")


def test_runbooks_of_ones_own_are_linked_as_files_and_no_link_leads_nowhere() -> None:
    own = "\n".join(rule_files(AlertSettings(runbook_url="https://wiki.example.org/afdp")).values())
    assert "runbook_url: https://wiki.example.org/afdp/AFDPSourceDown.md\n" in own
    assert "dashboard_url" not in own
    assert "/runbooks/" not in own


def test_a_chance_that_is_asked_for_mutes_what_is_less_likely(promtool: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rule_files(AlertSettings(attribution_ratio=0.5))["impact.yml"])
    whose = 'deployment_id="{}", service="s", environment="e"'
    series = [
        (f'afdp_deployment_outcome{{{whose.format(name)}, outcome="failure"}}', "1x10")
        for name in ("likely", "unlikely")
    ]
    series += [(f'afdp_impact_active{{{whose.format(name)}, metric="m"}}', "1x10") for name in ("likely", "unlikely")]
    series += [
        (f'afdp_impact_attribution_ratio{{{whose.format(name)}, metric="m"}}', f"{ratio}x10")
        for name, ratio in (("likely", 0.5), ("unlikely", 0.4))
    ]
    firing = 'count by (deployment_id) (ALERTS{alertname="AFDPDeploymentImpact"})'
    expected = [{"labels": '{deployment_id="likely"}', "value": 2}]
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series],
                "promql_expr_test": [{"expr": firing, "eval_time": "2m", "exp_samples": expected}],
            }
        ],
    }
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))
    run(promtool, "test", "rules", tmp_path / "tests.yml")


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
        assert rule["labels"]["severity"] in {"critical", "warning", "info", "none"}, rule["alert"]
        annotations = rule["annotations"]
        assert re.fullmatch(r"[A-Z][^{}]*\.", annotations["summary"]), rule["alert"]
        assert annotations["description"], rule["alert"]
        assert annotations["runbook_url"] == f"http://localhost:10333/runbooks/{rule['alert']}"


def test_every_alert_has_its_runbook_and_every_runbook_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {rule["alert"] for rule in alerts()}
    for path in RUNBOOKS.glob("*.md"):
        assert path.read_text("utf-8").startswith(f"# {path.stem}\n")


def test_no_label_of_an_alert_changes_with_its_value() -> None:
    for rule in alerts():
        assert not re.search(r"\$value|\{\{", str(rule["labels"])), rule["alert"]
