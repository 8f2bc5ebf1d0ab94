"""`afdp kinds`: what can be plugged in."""

import click

from afdp_exporter import settings


@click.command("kinds", epilog="Example: afdp kinds")
def kinds() -> None:
    """List the kinds of sources, senders, feeds and receivers that the configuration can name."""
    for package in ("sources", "webhooks", "feeds", "notify"):
        click.echo(f"{package}: {', '.join(settings.kinds(package))}")


COMMAND = kinds
