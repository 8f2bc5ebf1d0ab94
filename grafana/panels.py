"""The four kinds of panel that the dashboards are made of: a number, bars, a course over time, a table."""

from collections.abc import Mapping
from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from frame import PROMETHEUS
from queries import of_moved

REPORT = ("Report", "${exporter}/deployments/${__value.raw:percentencode}")
DETAIL = (
    "Cause and effect",
    "/d/afdp-cause-and-effect?${datasource:queryparam}&var-deployment_id=${__value.raw:percentencode}",
)
_HEADINGS = {"deployment_id": "Deployment", "change_type": "Changes"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table: its heading, the query behind it (none: a label), and its unit."""

    heading: str
    expr: str | None = None
    unit: str = "none"


def labels(*names: str) -> dict[str, Column]:
    """Columns of labels."""
    return {name: Column(heading=_HEADINGS.get(name, name.capitalize())) for name in names}


def moved(heading: str, metric: str, selector: str, *, by: str, unit: str = "none") -> Column:
    """As `largest`, of the metrics that the deployment moved."""
    return Column(heading=heading, expr=of_moved(metric, selector, by=by), unit=unit)


def largest(heading: str, metric: str, selector: str = "", *, by: str, unit: str = "none", times: int = 1) -> Column:
    """The column of a metric; of several samples with the same labels, the largest one."""
    of = f"{{{selector}}}" if selector else ""
    factor = f" * {times}" if times != 1 else ""
    return Column(heading=heading, expr=f"max by ({by}) ({metric}{of}){factor}", unit=unit)


def number(title: str, description: str, expr: str, unit: str, *, legend: str = "", width: int = 6) -> stat.Panel:
    """The value of now, large."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .with_target(_now(expr, legend=legend))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(options.BigValueGraphMode.NONE)
        .color_mode(options.BigValueColorMode.NONE)
        .unit(unit)
        .span(width)
        .height(5)
    )


def word(title: str, description: str, expr: str, label: str, *, width: int = 6) -> stat.Panel:
    """A label's value of now, large."""
    panel = number(title, description, expr, "none", legend=f"{{{{{label}}}}}", width=width)
    return panel.text_mode(options.BigValueTextMode.NAME)


def bars(title: str, description: str, expr: str, unit: str, *, legend: str, width: int = 12) -> bargauge.Panel:
    """The values of now, side by side."""
    return (
        bargauge.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .with_target(_now(expr, legend=legend))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .unit(unit)
        .min(0)
        .span(width)
        .height(8)
    )


def course(title: str, description: str, lines: Mapping[str, str], unit: str, *, width: int = 12) -> timeseries.Panel:
    """Lines over time: legend -> PromQL."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(PROMETHEUS)
        .legend(
            common.VizLegendOptions()
            .display_mode(options.LegendDisplayMode.TABLE)
            .placement(options.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull"])
        )
        .unit(unit)
        .span(width)
        .height(9)
    )
    for place, (legend, expr) in enumerate(lines.items()):
        panel.with_target(prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(_letter(place)).range())
    return panel


def band(title: str, description: str, middle: str, low: str, high: str, *, width: int = 12) -> timeseries.Panel:
    """One estimate over time with its range shaded."""
    panel = course(title, description, {"median": middle, "low": low, "high": high}, "none", width=width)
    edge = _property("custom.lineWidth", 0)
    shade = [edge, _property("custom.fillBelowTo", "low"), _property("custom.fillOpacity", 20)]
    return panel.override_by_name("low", [edge]).override_by_name("high", shade)


def grid(
    title: str,
    description: str,
    columns: Mapping[str, Column],
    *,
    hidden: tuple[str, ...] = (),
    sort: str = "",
    width: int = 24,
    height: int = 9,
) -> table.Panel:
    """A table of now: labels and queries side by side, joined by the labels that they share.

    A hidden column is queried for its labels alone; `sort` is the column whose values order the lines, rising.
    """
    panel = table.Panel().title(title).description(description).datasource(PROMETHEUS)
    measured = [name for name, column in columns.items() if column.expr is not None]
    fields = {name: _field(name, measured) for name in columns}
    for name in measured:
        query = _now(columns[name].expr or "", ref=_letter(measured.index(name)))
        panel.with_target(query.format(PromQueryFormat.TABLE))
    order = {
        "excludeByName": {"Time": True} | {fields[name]: True for name in hidden},
        "indexByName": {field: place for place, field in enumerate(fields.values())},
        "renameByName": {fields[name]: column.heading for name, column in columns.items()},
    }
    panel.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(model.DataTransformerConfig(id_val="organize", options=order))
    if sort:
        rising = {"sort": [{"field": columns[sort].heading, "desc": False}]}
        panel.with_transformation(model.DataTransformerConfig(id_val="sortBy", options=rising))
    for column in columns.values():
        if column.expr is not None:
            panel.override_by_name(column.heading, [_property("unit", column.unit)])
        elif column.heading == _HEADINGS["deployment_id"]:
            panel.override_by_name(column.heading, [_property("links", [_link(*DETAIL), _link(*REPORT)])])
    return panel.filterable(True).unit("none").span(width).height(height)


def section(title: str) -> build.Row:
    """A heading between panels."""
    return build.Row(title)


def _field(name: str, measured: list[str]) -> str:
    if name not in measured:
        return name
    return f"Value #{_letter(measured.index(name))}" if len(measured) > 1 else "Value"


def _now(expr: str, *, legend: str = "", ref: str = "A") -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(expr).ref_id(ref).legend_format(legend or "__auto").instant()


def _letter(place: int) -> str:
    return chr(ord("A") + place)


def _property(name: str, value: object) -> model.DynamicConfigValue:
    return model.DynamicConfigValue(id_val=name, value=value)


def _link(title: str, url: str) -> dict[str, object]:
    return {"title": title, "url": url, "targetBlank": False}
