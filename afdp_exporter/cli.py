"""The command `afdp`: each command is a file in `commands/`, imported only when it is asked for."""

import pkgutil
import sys
from difflib import get_close_matches
from keyword import iskeyword

import click
import stamina.instrumentation

from afdp_exporter import __version__, commands
from afdp_exporter.errors import AFDPError, last_words
from afdp_exporter.importing import import_for_good


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        names = (entry.name for entry in pkgutil.iter_modules(commands.__path__))
        return sorted(name.rstrip("_") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        command = import_for_good(f"afdp_exporter.commands.{module}").COMMAND
        assert isinstance(command, click.Command)  # noqa: S101 - every file of the folder ends in one
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's own, which does not know our commands' names; the one that was probably meant is named."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f"Did you mean '{near[0]}'?" if near else "'afdp --help' lists them."
            raise click.UsageError(f"{error.message} {hint}", ctx) from None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: afdp demo, then afdp init --url=http://localhost:9090 and afdp serve with what is yours",
)
@click.version_option(__version__, prog_name="afdp")
def _afdp() -> None:
    """Show what a deployment did to production, and what the next one will do.

    Completion for bash: eval "$(_AFDP_COMPLETE=bash_source afdp)"; zsh and fish alike.
    """
    stamina.instrumentation.set_on_retry_hooks(())  # our own messages say what was tried, and where


def main() -> None:
    """Run the command line; an expected error ends it with one line and status 1."""
    try:
        _afdp()
    except AFDPError as error:
        click.echo(last_words(error), err=True)
        sys.exit(1)
