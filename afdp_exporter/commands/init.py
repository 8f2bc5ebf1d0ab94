"""`afdp init`: a first configuration from what a Prometheus has."""

import asyncio
import sys
from pathlib import Path

import click
import yaml
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from afdp_exporter import server, settings
from afdp_exporter.errors import ConfigError
from afdp_exporter.proposals import Choice, Proposal, choose
from afdp_exporter.proposals.discovery import Discovery
from afdp_exporter.proposals.writing import configuration
from afdp_exporter.sources import Source

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("init", epilog="Example: afdp init --url=http://localhost:9090 --output=afdp.yml")
@click.option("--url", default="http://localhost:9090", show_default=True, help="A server with the Prometheus API.")
@click.option("--token-file", type=_FILE, help="Holds the bearer token that the server wants.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Such as a tenant's; repeatable.")
@click.option("--service", "services", multiple=True, help="Only for this service; repeatable.")
@click.option("--most", type=click.IntRange(1, 1000), default=20, show_default=True, help="Services at the most.")
@click.option("--output", type=_FILE, default="afdp.yml", show_default=True, help="The file; - prints it.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def init(
    *,
    url: str,
    token_file: Path | None,
    headers: tuple[str, ...],
    services: tuple[str, ...],
    most: int,
    output: Path,
    force: bool,
) -> None:
    """Look at a Prometheus, and propose three to five metrics for each service: only queries that returned data."""
    printed = str(output) == "-"
    if not printed and output.exists() and not force:
        raise ConfigError("output", f"{output} is there already; --force replaces it")
    block = _block(url, token_file, headers)
    source: Source = settings.build("sources", "prometheus", block, "url")
    choices = choose(asyncio.run(_look(source, services, most)))
    if not choices:
        raise ConfigError("url", f"no metric of {url} has a name that is known here; see docs/first-steps.md")
    text = configuration(_source(block), choices)
    if printed:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    _tell(output, choices)


def _block(url: str, token_file: Path | None, headers: tuple[str, ...]) -> dict[str, object]:
    block: dict[str, object] = {"url": url}
    if token_file is not None:
        block["authorization"] = {"credentials_file": str(token_file)}
    if headers:
        pairs = [header.partition("=") for header in headers]
        block["http_headers"] = {name: {"values": [value]} for name, _, value in pairs}
    return block


def _source(block: dict[str, object]) -> str:
    whole = [{"name": "prometheus", "kind": "prometheus", **block}]
    return yaml.safe_dump(whole, sort_keys=False, default_flow_style=False).rstrip("\n")


async def _look(source: Source, services: tuple[str, ...], most: int) -> tuple[Proposal, ...]:
    columns = (SpinnerColumn(), TextColumn("Asking: {task.completed:.0f} queries"))
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("", total=None)
        looking = Discovery(source=source, now=server.now(), asked=lambda: progress.advance(task))
        return await looking.proposals(services, most)


def _tell(output: Path, choices: tuple[Choice, ...]) -> None:
    services = sorted({service for choice in choices for service in choice.services})
    for service in services:
        click.echo(f"{service}: {', '.join(choice.name for choice in choices if service in choice.services)}")
    click.echo(f"{len(choices)} metrics of {len(services)} services written to {output}")
    click.echo(f"Next: afdp check --config.file={output}")


COMMAND = init
