"""The dashboards: what the code builds, what Grafana can read, what Prometheus can answer."""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from shipped import ROOT
from shipped.dashboards import FILES, load, panels, queries

register_default_plugins()

VALUES = {
    "service": "checkout|search",
    "environment": ".+",
    "deployment_id": "checkout-42",
    "metric": "request_latency_p95_seconds",
    "__rate_interval": "1m",
}

each_dashboard = pytest.mark.parametrize("name", [path.name for path in FILES])


def test_the_five_dashboards_are_there() -> None:
    assert {load(path.name)["title"] for path in FILES} == {
        "AFDP Deployments",
        "AFDP Cause and effect",
        "AFDP Risk and windows",
        "AFDP Automation",
        "AFDP Trust",
    }


def test_the_committed_files_are_what_the_code_builds() -> None:
    command = [sys.executable, str(ROOT / "grafana/build.py"), "--check"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def lost(written: object, read: object, place: str = "") -> Iterator[str]:
    """The places of `written` that `read` does not have, or has otherwise."""
    if isinstance(written, dict) and isinstance(read, dict):
        for key, value in written.items():
            yield from lost(value, read.get(key), f"{place}/{key}")
    elif isinstance(written, list) and isinstance(read, list) and len(written) == len(read):
        for index, value in enumerate(written):
            yield from lost(value, read[index], f"{place}/{index}")
    elif written != read:
        yield place


@each_dashboard
def test_reading_back_loses_no_key(name: str) -> None:
    read = json.loads(json.dumps(Dashboard.from_json(load(name)), cls=JSONEncoder))
    keys = ["step", "useValueForTime", "titleFormat", "textFormat", "tagKeys"]
    keys += [f"target/{key}" for key in ("expr", "interval", "refId")]
    beyond = {f"/annotations/list/{place}/{key}" for place in (0, 1) for key in keys}
    assert set(lost(load(name), read)) == beyond


@each_dashboard
def test_every_query_is_promql(name: str) -> None:
    for query in queries(load(name), VALUES):
        promql_parser.parse(query.expr)


@each_dashboard
def test_the_frame_is_that_of_a_mixin(name: str) -> None:
    dashboard = load(name)
    assert name == f"{dashboard['uid']}.json"
    assert "afdp" in dashboard["tags"]
    assert dashboard["editable"] is False
    assert "id" not in dashboard
    variables = {variable["name"]: variable for variable in dashboard["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    for wanted in ("service", "environment"):
        variable = variables[wanted]
        assert (variable["refresh"], variable["multi"], variable["includeAll"], variable["allValue"]) == (
            2,
            True,
            True,
            ".+",
        )
    assert [link["tags"] for link in dashboard["links"]] == [["afdp"]]


@each_dashboard
def test_everything_asks_the_chosen_data_source(name: str) -> None:
    asking: list[dict[str, Any]] = [*panels(load(name)), *load(name)["annotations"]["list"]]
    asking += [variable for variable in load(name)["templating"]["list"] if variable["type"] == "query"]
    assert {(each["datasource"]["type"], each["datasource"]["uid"]) for each in asking} == {
        ("prometheus", "${datasource}")
    }


@each_dashboard
def test_every_panel_says_what_it_shows_and_in_which_unit(name: str) -> None:
    for panel in panels(load(name)):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]


@each_dashboard
def test_panels_do_not_overlap_and_have_ids_of_their_own(name: str) -> None:
    every = load(name)["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in every)
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) == 23


@each_dashboard
def test_a_table_arranges_only_what_its_queries_return(name: str) -> None:
    for panel in panels(load(name)):
        if panel["type"] != "table":
            continue
        (arranged,) = (each["options"]["renameByName"] for each in panel["transformations"] if each["id"] == "organize")
        values = {"Value"} if len(panel["targets"]) == 1 else {f"Value #{t['refId']}" for t in panel["targets"]}
        grouped = {
            label
            for target in panel["targets"]
            for group in re.findall(r"by \(([^)]+)\)", target["expr"])
            for label in group.split(", ")
        }
        assert set(arranged) <= values | grouped, panel["title"]
        assert len(set(arranged.values())) == len(arranged), panel["title"]


@each_dashboard
def test_deployments_and_events_are_marked_at_their_time_in_milliseconds(name: str) -> None:
    marked = {"afdp_deployment_timestamp_seconds": False, "afdp_event_timestamp_seconds": False}
    for annotation in load(name)["annotations"]["list"]:
        assert annotation["useValueForTime"] is True
        assert annotation["expr"] == annotation["target"]["expr"]
        assert "* 1000" in annotation["expr"]
        marked |= {metric: True for metric in marked if metric in annotation["expr"]}
    assert all(marked.values())


def test_a_deployment_leads_to_its_report_wherever_it_stands_in_a_table() -> None:
    for path in FILES:
        for panel in panels(load(path.name)):
            headings = [
                heading
                for each in panel.get("transformations", [])
                for heading in each["options"].get("renameByName", {}).values()
            ]
            if "Deployment" in headings:
                (override,) = (
                    each for each in panel["fieldConfig"]["overrides"] if each["matcher"]["options"] == "Deployment"
                )
                urls = [link["url"] for link in override["properties"][0]["value"]]
                assert "${exporter}/deployments/${__value.raw:percentencode}" in urls, panel["title"]


@each_dashboard
def test_links_lead_to_dashboards_that_exist(name: str) -> None:
    known = {load(path.name)["uid"] for path in FILES}
    assert set(re.findall(r'"/d/([\w-]+)', json.dumps(load(name)))) <= known


@pytest.mark.parametrize("file", sorted((ROOT / "grafana/provisioning").rglob("*.yml")), ids=lambda path: path.name)
def test_a_provisioning_file_is_of_the_version_that_grafana_reads(file: Path) -> None:
    assert yaml.safe_load(file.read_text("utf-8"))["apiVersion"] == 1
