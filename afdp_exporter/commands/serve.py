"""`afdp serve`: run the exporter."""

import os
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from afdp_exporter import logs
from afdp_exporter.external import External, check_address
from afdp_exporter.importing import import_for_good
from afdp_exporter.store.opening import DATABASE, Opening, url_of_file

_F = TypeVar("_F", bound=Callable[..., Any])
_FILE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


class Address(click.ParamType[tuple[str, int]]):
    """HOST:PORT; without a host: every address."""

    name = "HOST:PORT"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([^:/@]*)):(\d{1,5})", str(value))
        if match is None or int(match[3]) > 65535:
            self.fail(f"{value} is no HOST:PORT; :10333 means every address", param, ctx)
        return match[1] or match[2], int(match[3])


class Prefix(click.ParamType[str]):
    """A path in front of every path of ours; without its last slash."""

    name = "PATH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"/[\w.~/-]*", str(value)):
            self.fail(f"{value} is no path such as /afdp", param, ctx)
        return str(value).rstrip("/")


class ExternalURL(click.ParamType[str]):
    """An address under which others reach the exporter."""

    name = "URL"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return check_address(str(value))
        except ValueError as error:
            self.fail(f"{value}: {error}", param, ctx)


def option(flag: str, name: str, **words: Any) -> Callable[[_F], _F]:  # noqa: ANN401 - click's own
    """A flag, and the environment variable that mirrors it: `--log.level`, AFDP_LOG_LEVEL."""
    variable = "AFDP_" + re.sub(r"\W", "_", flag.removeprefix("--")).upper()
    return click.option(flag, name, envvar=variable, show_envvar=True, show_default=True, **words)


def storage_options(command: _F) -> _F:
    """The two flags that say where everything is kept; `storage_of` makes one URL of them."""
    path = option("--storage.path", "storage", type=_FOLDER, default="data/", help="The folder that keeps everything.")
    url = option(
        "--storage.url",
        "storage_url",
        metavar="URL",
        help="postgresql://user@host/database, in place of --storage.path; the password by PGPASSFILE or PGPASSWORD.",
    )
    return path(url(command))


def storage_of(folder: Path, url: str | None) -> str:
    """The URL of the store."""
    return url or url_of_file(folder / DATABASE)


@click.command("serve", epilog="Example: afdp serve --config.file=afdp.yml --storage.path=data/")
@option("--config.file", "config_file", type=_FILE, default="afdp.yml", help="What to watch.")
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
    type=_FILE,
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
