"""`afdp check --event`: what a sender's delivery would become, without keeping it."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click

from afdp_exporter.config import Config
from afdp_exporter.tracking.dry_run import DryRun, read_delivery, rehearse
from afdp_exporter.watching.report import DeploymentResponse, EventResponse
from afdp_exporter.wording.times import format_time


def try_delivery(loaded: Config, event: Path, kind: str | None, headers: Iterable[str], output: str) -> None:
    """Print what the delivery in a file would become, as text or (`output`) as JSON. Raises click.UsageError."""
    kinds = sorted({sender.kind for sender in loaded.senders})
    chosen = kind or (kinds[0] if len(kinds) == 1 else None)
    if chosen not in kinds:
        raise click.UsageError(f"--kind is needed; configured under webhooks: {', '.join(kinds) or 'none'}")
    given, body = read_delivery(event.read_bytes())
    named = (header.partition(":") for header in headers)
    given |= {name.strip().lower(): value.strip() for name, _, value in named}
    now = datetime.now(UTC)
    tried = [
        part
        for sender in loaded.senders
        if sender.kind == chosen
        for part in rehearse(sender, loaded.mapping, given, body, now=now)
    ]
    if output == "json":
        click.echo(json.dumps([_part_json(part) for part in tried]))
        return
    for part in tried:
        click.echo(_part_text(part))
        click.echo("".join(f"    {name}: {text}\n" for name, text in part.facts.items()), nl=False)


def _part_text(part: DryRun) -> str:
    if (deployment := part.deployment) is not None:
        where = f"{deployment.name} in {deployment.environment}"
        return f"deployment {deployment.id}: {where}, {deployment.status}, {format_time(deployment.started_at)}"
    if part.event is not None:
        return f"{part.event.kind} {part.event.id}: {part.event.name}, {format_time(part.event.start)}"
    return f"ignored: {part.ignored}"


def _part_json(part: DryRun) -> dict[str, object]:
    deployment = DeploymentResponse.model_validate(part.deployment).as_json() if part.deployment is not None else None
    event = EventResponse.model_validate(part.event).as_json() if part.event is not None else None
    return {"facts": dict(part.facts), "deployment": deployment, "event": event, "ignored": part.ignored}
