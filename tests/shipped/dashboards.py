"""The committed dashboards, and their queries as Grafana sends them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shipped import ROOT

FILES = sorted((ROOT / "grafana/dashboards").glob("*.json"))

_VARIABLE = re.compile(r"\$(\w+)|\$\{(\w+)\}")
_LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query and where it stands; `label` is the one whose values a variable offers."""

    place: str
    expr: str
    instant: bool = True
    label: str | None = None


def load(name: str) -> dict[str, Any]:
    """A dashboard by the name of its file."""
    return dict(orjson.loads((ROOT / "grafana/dashboards" / name).read_bytes()))


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All panels but the headings."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: Mapping[str, Any], values: Mapping[str, str]) -> Iterator[Query]:
    """All queries of a dashboard, those of its variables and annotations included, with the variables filled in."""
    uid = dashboard["uid"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            match = _LABEL_VALUES.fullmatch(variable["query"]["query"])
            assert match, variable["query"]
            place = f"{uid}: variable {variable['name']}"
            yield Query(place=place, expr=filled(match[1], values), label=match[2])
    for annotation in dashboard["annotations"]["list"]:
        place = f"{uid}: annotation {annotation['name']}"
        yield Query(place=place, expr=filled(annotation["target"]["expr"], values), instant=False)
    for panel in panels(dashboard):
        for target in panel["targets"]:
            place = f"{uid}: {panel['title']} {target['refId']}"
            yield Query(place=place, expr=filled(target["expr"], values), instant=target["instant"])


def filled(text: str, values: Mapping[str, str]) -> str:
    """A query with its variables replaced; one that nobody defines is an error."""
    return _VARIABLE.sub(lambda match: values[match[1] or match[2]], text)
