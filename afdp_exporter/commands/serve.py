"""`afdp serve`: run the exporter."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from afdp_exporter import logs, server
from afdp_exporter.external import External, check_address
from afdp_exporter.handlers.web_config import Web
from afdp_exporter.server import Serving

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


@click.command("serve", epilog="Example: afdp serve --config.file=afdp.yml --storage.path=data/")
@option("--config.file", "config_file", type=_FILE, default="afdp.yml", help="What to watch.")
@option(
    "--web.listen-address",
    "address",
    type=Address(),
    default="127.0.0.1:10333",
    help="Port 0 takes a free one; the log tells which.",
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
@option("--storage.path", "storage", type=_FOLDER, default="data/", help="Where everything is kept.")
@option("--log.level", "level", type=click.Choice(logs.LEVELS), default="info")
@option("--log.format", "form", type=click.Choice(logs.FORMATS), default="logfmt")
def serve(
    *,
    config_file: Path,
    address: tuple[str, int],
    web_config_file: Path | None,
    external_url: str | None,
    storage: Path,
    level: str,
    form: str,
) -> None:
    """Run the exporter: take in deployments, watch what they do, and tell it on /metrics and over HTTP."""
    logs.set_up(level, form)
    host, port = address
    serving = Serving(
        config_file=config_file,
        host=host,
        port=port,
        storage=storage,
        web_config=Web(web_config_file),
        external=External(external_url),
    )
    os.umask(0o077)  # what is kept is nobody else's
    server.run(serving)


COMMAND = serve
