"""`afdp init`: a first configuration from what a Prometheus or a monitor has."""

import asyncio
from pathlib import Path

import click
import yaml

from afdp_exporter import config_schema, server, settings
from afdp_exporter.commands._options import FILE
from afdp_exporter.commands._progress import Advance
from afdp_exporter.errors import ConfigError, SourceError
from afdp_exporter.proposals import Choice, Survey, select_metrics
from afdp_exporter.proposals.discovery import Discovery
from afdp_exporter.proposals.monitors import MONITORS, MonitorDiscovery
from afdp_exporter.proposals.writing import configuration
from afdp_exporter.sources import Source

_PROMETHEUS = "prometheus"
_USUAL_URL = "http://localhost:9090"


@click.command("init", epilog="Example: afdp init --url=http://localhost:9090 --output=afdp.yml")
@click.option(
    "--source",
    "kind",
    type=click.Choice([_PROMETHEUS, *sorted(MONITORS)]),
    default=_PROMETHEUS,
    show_default=True,
    help="The kind of source that is looked at.",
)
@click.option("--url", help="A server with the Prometheus API [default: http://localhost:9090]; a monitor's proxy.")
@click.option("--token-file", type=FILE, help="Holds the bearer token that the server wants.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Such as a tenant's; repeatable.")
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the source, such as api_key_file; repeatable.",
)
@click.option("--service", "services", multiple=True, help="Only for this service; repeatable.")
@click.option("--most", type=click.IntRange(1, 1000), default=20, show_default=True, help="Services at the most.")
@click.option("--include-infrastructure", is_flag=True, help="Also for Prometheus, exporters, Kubernetes and the like.")
@click.option("--output", type=FILE, default="afdp.yml", show_default=True, help="The file; - prints it.")
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
def init(
    *,
    kind: str,
    url: str | None,
    token_file: Path | None,
    headers: tuple[str, ...],
    given: tuple[str, ...],
    services: tuple[str, ...],
    most: int,
    include_infrastructure: bool,
    output: Path,
    force: bool,
) -> None:
    """Write a first configuration from what a monitor has.

    It is a Prometheus, or what --source names. Three to five metrics are proposed for each service, and its cloud
    cost, from queries that returned data.
    """
    printed = str(output) == "-"
    if not printed and output.exists() and not force:
        raise ConfigError("output", f"{output} is there already; --force replaces it")
    block = _block(kind, url, token_file, headers, given)
    source: Source = settings.build("sources", kind, block, "set")
    found = asyncio.run(_survey(kind, source, services, most, infrastructure=include_infrastructure))
    choices = select_metrics(found.proposals)
    if not choices:
        raise ConfigError("url", _nothing(str(block.get("url", kind)), found))
    monitor = MONITORS.get(kind)
    text = configuration(_source(kind, block), choices, revenue=None if monitor is None else monitor.revenue)
    if printed:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
        output.with_name(config_schema.NAME).write_text(config_schema.text(), encoding="utf-8")
    except OSError as error:
        raise ConfigError("output", f"{output} cannot be written: {error.strerror}; --output names another") from None
    _summarise(output, choices, found)


def _nothing(url: str, found: Survey) -> str:
    if found.left_out:
        names = ", ".join(found.left_out)
        return f"only infrastructure is found in {url} ({names}); --include-infrastructure proposes metrics for it"
    return f"no metric of {url} has a name that is known here; see docs/first-steps.md"


def _block(
    kind: str, url: str | None, token_file: Path | None, headers: tuple[str, ...], given: tuple[str, ...]
) -> dict[str, object]:
    if kind != _PROMETHEUS and (token_file is not None or headers):
        raise ConfigError(
            "token-file" if token_file else "header", f"a {kind} takes its keys by --set; see docs/sources.md"
        )
    block: dict[str, object] = {}
    if url is not None or kind == _PROMETHEUS:
        block["url"] = url or _USUAL_URL
    if token_file is not None:
        block["authorization"] = {"credentials_file": str(token_file)}
    if headers:
        pairs = [header.partition("=") for header in headers]
        block["http_headers"] = {name: {"values": [value]} for name, _, value in pairs}
    for name, sign, value in (each.partition("=") for each in given):
        if not sign:
            raise ConfigError("set", f"{name} has no value: NAME=VALUE is expected")
        block[name] = int(value) if value.isdecimal() else value
    return block


def _source(kind: str, block: dict[str, object]) -> str:
    whole = [{"name": kind, "kind": kind, **block}]
    return yaml.safe_dump(whole, sort_keys=False, default_flow_style=False).rstrip("\n")


async def _survey(kind: str, source: Source, services: tuple[str, ...], most: int, *, infrastructure: bool) -> Survey:
    with Advance("Queries asked") as progress:
        if kind != _PROMETHEUS:
            found = MonitorDiscovery(monitor=MONITORS[kind], source=source, now=server.now(), asked=progress.advance)
            return await found.survey(services, most, infrastructure=infrastructure)
        discovery = Discovery(source=source, now=server.now(), asked=progress.advance)
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
    click.echo(f"{len(choices)} metrics of {len(services)} services written to {output}, its schema beside it")
    click.echo(f"Next: afdp check --config.file={output}")


COMMAND = init
