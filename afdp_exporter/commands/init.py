"""`afdp init`: a first configuration from what a Prometheus has."""

import asyncio
import sys
from pathlib import Path

import click
import yaml
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from afdp_exporter import server, settings
from afdp_exporter.errors import ConfigError, SourceError
from afdp_exporter.proposals import Choice, Survey, choose
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
@click.option("--include-infrastructure", is_flag=True, help="Also for Prometheus, exporters, Kubernetes and the like.")
@click.option("--output", type=_FILE, default="afdp.yml", show_default=True, help="The file; - prints it.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def init(
    *,
    url: str,
    token_file: Path | None,
    headers: tuple[str, ...],
    services: tuple[str, ...],
    most: int,
    include_infrastructure: bool,
    output: Path,
    force: bool,
) -> None:
    """Look at a Prometheus, and propose three to five metrics for each service: only queries that returned data."""
    printed = str(output) == "-"
    if not printed and output.exists() and not force:
        raise ConfigError("output", f"{output} is there already; --force replaces it")
    block = _block(url, token_file, headers)
    source: Source = settings.build("sources", "prometheus", block, "url")
    found = asyncio.run(_survey(source, services, most, infrastructure=include_infrastructure))
    choices = choose(found.proposals)
    if not choices:
        raise ConfigError("url", _nothing(url, found))
    text = configuration(_source(block), choices)
    if printed:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    _summarise(output, choices, found)


def _nothing(url: str, found: Survey) -> str:
    if found.left_out:
        names = ", ".join(found.left_out)
        return f"only infrastructure is found in {url} ({names}); --include-infrastructure proposes metrics for it"
    return f"no metric of {url} has a name that is known here; see docs/first-steps.md"


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


async def _survey(source: Source, services: tuple[str, ...], most: int, *, infrastructure: bool) -> Survey:
    columns = (SpinnerColumn(), TextColumn("Asking: {task.completed:.0f} queries"))
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("", total=None)
        discovery = Discovery(source=source, now=server.now(), asked=lambda: progress.advance(task))
        try:
            return await discovery.survey(services, most, infrastructure=infrastructure)
        except SourceError as error:
            if error.reason in {"http_404", "malformed"}:
                raise ConfigError("url", f"{error}; is this a server with the Prometheus API?") from None
            raise


def _summarise(output: Path, choices: tuple[Choice, ...], found: Survey) -> None:
    services = sorted({service for choice in choices for service in choice.services})
    for service in services:
        click.echo(f"{service}: {', '.join(choice.name for choice in choices if service in choice.services)}")
    if found.left_out:
        click.echo(f"Left out as infrastructure: {', '.join(found.left_out)}; --include-infrastructure adds them")
    click.echo(f"{len(choices)} metrics of {len(services)} services written to {output}")
    click.echo(f"Next: afdp check --config.file={output}")


COMMAND = init
