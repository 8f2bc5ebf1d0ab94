"""`afdp render`: what other programs load, made from the configuration."""

from dataclasses import replace
from pathlib import Path

import click

from afdp_exporter import config
from afdp_exporter.alerts import DEFAULT_URL, MANIFEST, manifest, one_file, rule_files
from afdp_exporter.commands.serve import ExternalURL, option
from afdp_exporter.errors import ConfigError

_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group("render", epilog="Example: afdp render alerts --config.file=afdp.yml --output=/etc/prometheus/rules/afdp/")
def render() -> None:
    """Render what other programs load, with the thresholds of the configuration."""


@render.command(
    "alerts",
    epilog="Example: afdp render alerts --config.file=afdp.yml --format=operator | kubectl apply -f -",
)
@click.option(
    "--config.file", "config_file", type=_FILE, default="afdp.yml", show_default=True, help="Its block policy.alerts."
)
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
@click.option("--output", "folder", type=_FOLDER, help="The folder to write into; default: print.")
def alerts(config_file: Path, form: str, external_url: str | None, folder: Path | None) -> None:
    """Render the alert rules: one file to print, or one for each group into a folder."""
    settings = config.load(config_file).policy.alerts
    if external_url is not None:
        settings = replace(settings, exporter_url=external_url)
    if settings.exporter_url == DEFAULT_URL:
        click.echo(f"links in the alerts lead to {DEFAULT_URL}; --web.external-url gives another address", err=True)
    operator = form == "operator"
    if folder is None:
        click.echo(manifest(settings) if operator else one_file(settings), nl=False)
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in ({MANIFEST: manifest(settings)} if operator else rule_files(settings)).items():
            (folder / name).write_text(text, encoding="utf-8")
            click.echo(folder / name)
    except OSError as error:
        raise ConfigError("output", f"{folder} cannot be written: {error.strerror}") from None


COMMAND = render
