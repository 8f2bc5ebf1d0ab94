"""What every dashboard shares: its frame, its variables, the deployments drawn into each plot."""

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.models import dashboard as model

TAG = "afdp"
PROMETHEUS = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
PICKED = 'service=~"$service", environment=~"$environment"'
ONE = 'deployment_id="$deployment_id"'

_STARTS = (
    f"max by (deployment_id, service, environment) (afdp_deployment_timestamp_seconds{{{PICKED}}}) * 1000"
    " * on (deployment_id, service, environment) group_left (version)"
    f" max by (deployment_id, service, environment, version) (afdp_deployment_info{{{PICKED}}})"
)


_EVENTS = (
    "max by (event, kind) (afdp_event_timestamp_seconds) * 1000"
    ' or label_replace(max by (event, kind) (afdp_event_end_timestamp_seconds) * 1000, "kind", "end", "", "")'
)


class ValueIsTime(model.AnnotationQuery):
    """A Prometheus annotation whose samples' values are its times in milliseconds.

    The SDK's model knows only annotations of Grafana's own. Newer versions of Grafana read the query from `target`,
    older ones from the top level.
    """

    def to_json(self) -> dict[str, object]:
        return {
            **super().to_json(),
            "step": "60s",
            "target": {"expr": self.expr, "interval": "60s", "refId": "Anno"},
            "useValueForTime": True,
            "titleFormat": "Deployment of {{service}} {{version}}",
            "textFormat": "{{deployment_id}}",
            "tagKeys": "service,environment,version",
        }


class EventTime(ValueIsTime):
    """The same for what is no deployment."""

    def to_json(self) -> dict[str, object]:
        words = {"titleFormat": "{{event}}", "textFormat": "{{kind}}", "tagKeys": "kind"}
        return {**super().to_json(), **words}


class Events(build.AnnotationQuery):
    """Sales, freezes, incidents and the like, their start and their end, as marks in every plot."""

    def build(self) -> model.AnnotationQuery:
        return EventTime(name="Events", datasource=PROMETHEUS, icon_color="purple", expr=_EVENTS)


class Deployments(build.AnnotationQuery):
    """Every picked deployment as a mark in every plot."""

    def build(self) -> model.AnnotationQuery:
        return ValueIsTime(name="Deployments", datasource=PROMETHEUS, icon_color="blue", expr=_STARTS)


def dashboard(uid: str, title: str, description: str, *, since: str = "now-7d") -> build.Dashboard:
    """An empty dashboard with what all of them have in common."""
    links = build.DashboardLink("Deployment impact").type(model.DashboardLinkType.DASHBOARDS).tags([TAG])
    return (
        build.Dashboard(f"AFDP {title}")
        .uid(f"{TAG}-{uid}")
        .description(description)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .refresh("1m")
        .time(since, "now")
        .link(links.as_dropdown(True).include_vars(True).keep_time(True))
        .with_variable(build.DatasourceVariable("datasource").label("Data Source").type("prometheus"))
        .with_variable(_choice("service", "label_values(afdp_deployment_info, service)"))
        .with_variable(_choice("environment", 'label_values(afdp_deployment_info{service=~"$service"}, environment)'))
        .annotation(Deployments())
        .annotation(Events())
    )


def report_address() -> build.TextBoxVariable:
    """Where people reach the exporter, for the links to a deployment's report."""
    return (
        build.TextBoxVariable("exporter")
        .label("Exporter")
        .description("Where people reach the exporter")
        .default_value("http://localhost:10333")
    )


def one_deployment() -> build.QueryVariable:
    """The picker of a single deployment."""
    query = f"label_values(afdp_deployment_info{{{PICKED}}}, deployment_id)"
    return _query("deployment_id", query).label("deployment").sort(model.VariableSort.ALPHABETICAL_DESC)


def metrics_of_the_deployment() -> build.QueryVariable:
    """The picker of the metrics that one deployment moved."""
    return _choice("metric", f"label_values(afdp_impact_change{{{ONE}}}, metric)")


def _choice(label: str, query: str) -> build.QueryVariable:
    return _query(label, query).label(label).multi(True).include_all(True).all_value(".+")


def _query(name: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .datasource(PROMETHEUS)
        .query({"query": query, "refId": name})
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )
