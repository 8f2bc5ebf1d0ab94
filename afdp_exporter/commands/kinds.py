"""`afdp kinds`: what can be plugged in."""

import json

import click

from afdp_exporter import settings
from afdp_exporter.commands._options import output_option

_PACKAGES = ("sources", "webhooks", "feeds", "notify", "executors", "approvals")


@click.command("kinds", epilog="Example: afdp kinds --output=json")
@output_option
def kinds(output: str) -> None:
    """List the kinds of plugins that the configuration can name."""
    found = {package: settings.kinds(package) for package in _PACKAGES}
    if output == "json":
        click.echo(json.dumps(found))
        return
    for package, names in found.items():
        click.echo(f"{package}: {', '.join(names)}")


COMMAND = kinds
