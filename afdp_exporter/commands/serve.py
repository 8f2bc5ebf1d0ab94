"""`afdp serve`: run the exporter."""

import os
import resource
from pathlib import Path

import click

from afdp_exporter import logs
from afdp_exporter.commands._options import FILE, Address, ExternalURL, Prefix, config_option, option
from afdp_exporter.commands._storage import storage_of, storage_options
from afdp_exporter.external import External
from afdp_exporter.importing import import_for_good
from afdp_exporter.store.opening import Opening


@click.command("serve", epilog="Example: afdp serve --config.file=afdp.yml --storage.path=data/")
@config_option("What to watch.")
@option(
    "--web.listen-address",
    "addresses",
    type=Address(),
    multiple=True,
    default=("127.0.0.1:10333",),
    help="Repeatable. Port 0 takes a free one; the log shows which.",
)
@option(
    "--web.systemd-socket",
    "inherited",
    is_flag=True,
    help="Listen on the sockets that systemd passes on, in place of --web.listen-address.",
)
@option(
    "--web.config.file",
    "web_config_file",
    type=FILE,
    help="TLS and users, as Prometheus' exporters have them.",
)
@option(
    "--web.external-url",
    "external_url",
    type=ExternalURL(),
    help="Where people reach the exporter, such as https://example.org/afdp behind a proxy; used for links.",
)
@option(
    "--web.max-connections-per-address",
    "connections_of_address",
    type=click.IntRange(min=2),
    default=50,
    help="Behind a proxy all callers have its address: allow as many as it opens.",
)
@option(
    "--web.route-prefix",
    "route_prefix",
    type=Prefix(),
    help="The path that requests arrive with, where a proxy rewrites it; default: the path of --web.external-url.",
)
@storage_options
@option("--log.level", "level", type=click.Choice(logs.LEVELS), default="info", help="The least that is logged.")
@option(
    "--log.format", "form", type=click.Choice(logs.FORMATS), default="logfmt", help="Lines for people, or for programs."
)
def serve(
    *,
    config_file: Path,
    addresses: tuple[tuple[str, int], ...],
    inherited: bool,
    route_prefix: str | None,
    web_config_file: Path | None,
    external_url: str | None,
    connections_of_address: int,
    storage: Path,
    storage_url: str | None,
    level: str,
    form: str,
) -> None:
    """Run the exporter.

    It takes in deployments, watches what they do, and serves pages, an API and /metrics.
    """
    logs.set_up(level, form)
    os.umask(0o077)  # what is kept is nobody else's
    store = Opening(storage_of(storage, storage_url))
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # for connections; nothing here uses select()
    import_for_good("afdp_exporter.commands._serving").run(  # it takes a second, in which a large file is checked
        config_file=config_file,
        addresses=None if inherited else addresses,
        storage=store,
        web_config_file=web_config_file,
        external=External(external_url, route_prefix),
        connections_of_address=connections_of_address,
    )


COMMAND = serve
