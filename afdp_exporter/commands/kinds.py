"""`afdp kinds`: what can be plugged in."""

import click

from afdp_exporter.settings import kinds


@click.command("kinds", epilog="Example: afdp kinds")
def COMMAND() -> None:  # noqa: N802 - the name by which every command is found
    """List the kinds of sources that the configuration can name."""
    for package in ("sources",):
        click.echo(f"{package}: {', '.join(kinds(package))}")
