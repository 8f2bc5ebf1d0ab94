"""Prometheus' alert rules, rendered with the thresholds of the configuration."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from importlib.resources import files
from textwrap import indent
from typing import Annotated, ClassVar

import jinja2
from markdown_it import MarkdownIt
from pydantic import AfterValidator, Field

from afdp_exporter.external import check_address
from afdp_exporter.settings import STRICT, Duration
from afdp_exporter.wording.numbers import format_duration

GROUPS = ("impact", "prediction", "automation", "trust", "exporter")
"""The files, each holding the group of its name."""

DEFAULT_URL = "http://localhost:10333"
"""Where the exporter is without any configuration: links work on the machine that runs it."""

MANIFEST = "prometheus-rule.yml"
"""The file of the Prometheus Operator."""

_NOTICE = "# Rendered by `afdp render alerts`; the thresholds are those of `policy.alerts` in afdp.yml.\n"
_CHART_NOTICE = "# Written by scripts/chart_rules.py; the chart replaces each __name__ by a value.\n"
_MANIFEST = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: afdp-exporter
  labels:
    app.kubernetes.io/name: afdp-exporter
    release: kube-prometheus-stack   # what your Prometheus' ruleSelector asks for
spec:
"""


def _job(name: str) -> str:
    if not name or any(char in "\"'`{}\\" or not char.isprintable() for char in name):
        raise ValueError("the name of a scrape job, without quotes and braces, is expected")
    return name


Ratio = Annotated[float, Field(ge=0, le=1)]
Address = Annotated[str, AfterValidator(check_address)]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSettings:
    """Thresholds, durations and links of the alert rules.

    Without `grafana_url` alerts have no link to a dashboard; without `runbook_url` the exporter's own runbooks are
    linked.
    """

    __pydantic_config__: ClassVar = STRICT

    attribution_ratio: Ratio = 0.0
    cost_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1000.0
    told_for: Duration = timedelta(hours=26)
    muted_for: Duration = timedelta(hours=2)
    risk_ratio: Ratio = 0.5
    least_deployments: Annotated[int, Field(ge=1)] = 10
    false_alarm_ratio: Ratio = 0.05
    coverage_ratio: Ratio = 0.8
    delayed: Duration = timedelta(minutes=10)
    job: Annotated[str, AfterValidator(_job)] = "afdp-exporter"
    exporter_url: Address = DEFAULT_URL
    grafana_url: Address | None = None
    runbook_url: Address | None = None

    def runbook(self, alert: str) -> str:
        """The address of the runbook of an alert."""
        if self.runbook_url is not None:
            return f"{self.runbook_url}/{alert}.md"
        return f"{self.exporter_url}/runbooks/{alert}"


def rule_files(settings: AlertSettings) -> dict[str, str]:
    """File name -> content, as Prometheus loads them."""
    return {f"{name}.yml": f"{_NOTICE}groups:\n{_group(name, settings)}" for name in GROUPS}


def one_file(settings: AlertSettings) -> str:
    """All rules in one file, as Prometheus loads it."""
    return f"{_NOTICE}groups:\n" + "\n".join(_group(name, settings) for name in GROUPS)


def manifest(settings: AlertSettings) -> str:
    """All rules as one PrometheusRule for the Prometheus Operator."""
    groups = "\n".join(_group(name, settings) for name in GROUPS)
    return _NOTICE + _MANIFEST + indent(f"groups:\n{groups}", "  ")


def chart_files() -> dict[str, str]:
    """File name -> content, with placeholders that the Helm chart fills in from its values."""
    return {f"{name}.yml": f"{_CHART_NOTICE}groups:\n{_group(name, _Placeholders())}" for name in GROUPS}


class _Placeholders:
    """Stands in for the settings: each is written as its name, such as `__exporter_url__`."""

    attribution_ratio = 0.0

    def __getattr__(self, name: str) -> str:
        return f"__{name}__"

    def runbook(self, alert: str) -> str:
        return f"__runbook_url__/{alert}__runbook_suffix__"


def _group(name: str, settings: AlertSettings | _Placeholders) -> str:
    return _TEMPLATES.get_template(f"{name}.yml.j2").render(alerts=settings)


def _plain(number: float | str) -> str:
    return number if isinstance(number, str) else f"{number:.15g}"


def _seconds(time: timedelta | str) -> str:
    return time if isinstance(time, str) else _plain(time.total_seconds())


_TEMPLATES = jinja2.Environment(  # noqa: S701 - YAML; what is filled in is checked above
    loader=jinja2.PackageLoader("afdp_exporter.alerts", "rules"),
    undefined=jinja2.StrictUndefined,
    block_start_string="[%",
    block_end_string="%]",
    variable_start_string="[[",
    variable_end_string="]]",
    comment_start_string="[#",
    comment_end_string="#]",
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {"plain": _plain, "seconds": _seconds, "span": format_duration}


_FOLDER = files("afdp_exporter.alerts") / "runbooks"


@cache
def runbook_names() -> tuple[str, ...]:
    """The alerts that have a runbook, in order."""
    return tuple(sorted(entry.name.removesuffix(".md") for entry in _FOLDER.iterdir() if entry.name.endswith(".md")))


@cache
def title_of(name: str) -> str:
    """What an alert means, in one sentence: the bold beginning of its runbook."""
    lead = next(line for line in _text(name).splitlines() if line.startswith("**"))
    return lead.split("**")[1].replace("`", "")


@cache
def html_of(name: str) -> str:
    """The runbook of one of `runbook_names` as HTML without its heading."""
    body = _text(name).split("\n", 1)[1]
    return str(MarkdownIt("commonmark", {"html": False}).render(body))


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.md").read_text(encoding="utf-8")
