"""The monitoring mixin: all dashboards and all rules, with the address that it is given."""

import json

import rjsonnet
import yaml

from deploy.conftest import DEPLOY
from shipped import ROOT

MIXIN = str(DEPLOY / "mixin/mixin.libsonnet")


def evaluated(field: str, url: str) -> str:
    mixin = f"(import '{MIXIN}') + {{ _config+:: {{ exporterUrl: '{url}' }} }}"
    return str(rjsonnet.evaluate_snippet("mixin", f"({mixin}).{field}"))


def test_the_mixin_holds_every_dashboard_and_every_rule() -> None:
    local = "http://localhost:10333"
    files = (ROOT / "grafana/dashboards").glob("*.json")
    dashboards = json.loads(evaluated("grafanaDashboards", local))
    assert dashboards == {file.name: json.loads(file.read_text("utf-8")) for file in files}
    groups = [
        each for file in (ROOT / "alerting/rules").glob("*.yml") for each in yaml.safe_load(file.read_text())["groups"]
    ]
    found = json.loads(evaluated("prometheusAlerts", local))["groups"]
    assert sorted(found, key=lambda group: group["name"]) == sorted(groups, key=lambda group: group["name"])


def test_no_link_of_the_mixin_leads_to_this_machine_where_it_is_given_an_address() -> None:
    for field in ("grafanaDashboards", "prometheusAlerts"):
        text = evaluated(field, "https://afdp.corp.test")
        assert "https://afdp.corp.test" in text
        assert "localhost:10333" not in text
