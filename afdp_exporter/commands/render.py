"""`afdp render`: what other programs load, made from the configuration."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import click
import yaml

from afdp_exporter import config_schema
from afdp_exporter.alerts import DEFAULT_URL, MANIFEST, manifest, one_file, rule_files
from afdp_exporter.commands._options import FOLDER, ExternalURL, config_option, option
from afdp_exporter.config import put_into_effect
from afdp_exporter.errors import ConfigError


@click.group("render", epilog="Example: afdp render alerts --config.file=afdp.yml --output=/etc/prometheus/rules/afdp/")
def render() -> None:
    """Print files for Prometheus, Grafana and editors."""


@render.command(
    "alerts",
    epilog="Example: afdp render alerts --config.file=afdp.yml --format=operator | kubectl apply -f -",
)
@config_option("Its block policy.alerts.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["prometheus", "operator"]),
    default="prometheus",
    show_default=True,
    help="Rule files for Prometheus, or one PrometheusRule for the Prometheus Operator.",
)
@option(
    "--web.external-url",
    "external_url",
    type=ExternalURL(),
    help="Where people reach the exporter, as given to afdp serve; else policy.alerts.exporter_url.",
)
@click.option("--output", "folder", type=FOLDER, help="The folder to write into; default: print.")
def alerts(config_file: Path, form: str, external_url: str | None, folder: Path | None) -> None:
    """Render the alert rules.

    They are printed as one file, or written into a folder, a file for each group.
    """
    settings = put_into_effect(config_file).policy.alerts
    if external_url is not None:
        settings = replace(settings, exporter_url=external_url)
    if settings.exporter_url == DEFAULT_URL:
        click.echo(f"links in the alerts lead to {DEFAULT_URL}; --web.external-url gives another address", err=True)
    operator = form == "operator"
    if folder is None:
        click.echo(manifest(settings) if operator else one_file(settings), nl=False)
        return
    _write(folder, {MANIFEST: manifest(settings)} if operator else rule_files(settings))


@render.command("dashboards", epilog="Example: afdp render dashboards --output=/var/lib/grafana/dashboards/afdp/")
@click.option("--output", "folder", type=FOLDER, required=True, help="The folder to write into.")
@option(
    "--web.external-url",
    "external_url",
    type=ExternalURL(),
    default=DEFAULT_URL,
    help="Where people reach the exporter: the links of the dashboards.",
)
def dashboards(folder: Path, external_url: str) -> None:
    """Write the Grafana dashboards as JSON files."""
    shipped = (each for each in (files("afdp_exporter") / "dashboards").iterdir() if each.name.endswith(".json"))
    texts = {each.name: each.read_text("utf-8") for each in sorted(shipped, key=lambda each: each.name)}
    _write(folder, {name: text.replace(DEFAULT_URL, external_url) for name, text in texts.items()})


@render.command("prometheus", epilog="Example: afdp render prometheus --target=afdp.example.org:10333")
@click.option("--target", default="localhost:10333", show_default=True, help="Where Prometheus reaches the exporter.")
@click.option("--job", default="afdp-exporter", show_default=True, help="The job's name, as in policy.alerts.job.")
def prometheus(target: str, job: str) -> None:
    """Print the scrape job for prometheus.yml."""
    # service and environment are the deployed ones, not the exporter's
    scraped = {"job_name": job, "honor_labels": True, "static_configs": [{"targets": [target]}]}
    click.echo(yaml.safe_dump({"scrape_configs": [scraped]}, sort_keys=False), nl=False)


@render.command("schema", epilog="Example: afdp render schema > afdp.schema.json")
def schema() -> None:
    """Print the JSON Schema of afdp.yml.

    Editors complete and check the file by it.
    """
    click.echo(config_schema.text(), nl=False)


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files, and name each. Raises ConfigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
            click.echo(folder / name)
    except OSError as error:
        raise ConfigError("output", f"{folder} cannot be written: {error.strerror}; --output names another") from None


COMMAND = render
