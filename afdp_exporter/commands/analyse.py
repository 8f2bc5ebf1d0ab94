"""`afdp analyse`: one more process that answers due looks."""

import os
from pathlib import Path

import click

from afdp_exporter import logs, server
from afdp_exporter.commands._options import Address, config_option, option
from afdp_exporter.commands._storage import storage_of, storage_options
from afdp_exporter.server import ServeOptions
from afdp_exporter.store.opening import Opening


@click.command("analyse", epilog="Example: afdp analyse --storage.url=postgresql://afdp@db.example.org/afdp")
@config_option("The same as that of afdp serve.")
@option(
    "--web.listen-address",
    "addresses",
    type=Address(),
    multiple=True,
    default=("127.0.0.1:10334",),
    help="For /metrics of this process, /-/healthy and /-/ready.",
)
@storage_options
@option("--log.level", "level", type=click.Choice(logs.LEVELS), default="info", help="The least that is logged.")
@option(
    "--log.format", "form", type=click.Choice(logs.FORMATS), default="logfmt", help="Lines for people, or for programs."
)
def analyse(
    *,
    config_file: Path,
    addresses: tuple[tuple[str, int], ...],
    storage: Path,
    storage_url: str | None,
    level: str,
    form: str,
) -> None:
    """Answer due looks beside afdp serve.

    Any number of these share the work by one PostgreSQL. They need no disk.
    """
    logs.set_up(level, form)
    os.umask(0o077)
    server.run(
        ServeOptions(
            config_file=config_file,
            addresses=addresses,
            storage=Opening(storage_of(storage, storage_url)),
            analyses_only=True,
        )
    )


COMMAND = analyse
