"""The command `afdp`: each command is a file in `commands/`, imported only when it is asked for."""

import importlib
import pkgutil
import sys
from keyword import iskeyword

import click
import stamina.instrumentation

from afdp_exporter import __version__, commands
from afdp_exporter.errors import AFDPError


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(entry.name.rstrip("_") for entry in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command = importlib.import_module(f"afdp_exporter.commands.{module}").COMMAND
        assert isinstance(command, click.Command)  # noqa: S101 - every file of the folder ends in one
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="afdp")
def _afdp() -> None:
    """Tell what a deployment did to production, and what the next one will do."""
    stamina.instrumentation.set_on_retry_hooks(())  # our own messages say what was tried, and where


def main() -> None:
    """Run the command line; an expected error ends it with one line and status 1."""
    try:
        _afdp()
    except AFDPError as error:
        click.echo(f"afdp: {error}", err=True)
        sys.exit(1)
