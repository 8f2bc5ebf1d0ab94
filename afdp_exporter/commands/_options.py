"""The flags that commands share, and what their values are."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from afdp_exporter.external import check_address

_F = TypeVar("_F", bound=Callable[..., Any])
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


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


def config_option(what: str) -> Callable[[_F], _F]:
    """The flag that names the configuration, with `what` it is read for."""
    return option("--config.file", "config_file", type=FILE, default="afdp.yml", help=what)


def output_option(command: _F) -> _F:
    """Whether it prints for people or for programs."""
    choice = click.Choice(["text", "json"])
    return click.option("--output", type=choice, default="text", show_default=True, help="How to print it.")(command)
