"""Datadog: a DORA deployment with its change failure, the failure itself, metrics, and change events with the story.

Deployments and failures have ids of ours, and points their time and tags, so that a notice that is sent again changes
what is there.
"""

from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any, ClassVar

from pydantic import FilePath, SecretStr, StringConstraints

from afdp_exporter.errors import DeliveryError
from afdp_exporter.http_config import Address
from afdp_exporter.model import Deployment, Harm, Notification, Outcome, Status
from afdp_exporter.notify._exchange import Exchange, in_parts, read_key
from afdp_exporter.notify._facts import attributes, failed, gauges, key

_TITLE, _MESSAGE, _TAG, _NAME = 500, 4000, 200, 128  # characters that Datadog takes
_GAUGE = 3  # of Datadog's types of metrics
_OVER = {Status.SUCCEEDED, Status.FAILED, Status.ROLLED_BACK}


@dataclass(frozen=True, kw_only=True)
class Datadog(Exchange):
    """An organisation, reached with an API key and an application key: its API at `url`, its events at `intake_url`."""

    appends: ClassVar[bool] = True

    url: Address = "https://api.datadoghq.com"
    intake_url: Address = "https://event-management-intake.datadoghq.com"
    api_key: SecretStr | None = None
    api_key_file: FilePath | None = None
    app_key: SecretStr | None = None
    app_key_file: FilePath | None = None
    repository_url: Annotated[str, StringConstraints(pattern=r"^https://")] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("api_key", "app_key"):
            if (getattr(self, name) is None) is (getattr(self, f"{name}_file") is None):
                raise ValueError(f"exactly one of {name} and {name}_file is needed")

    async def reach(self) -> None:
        """As `Receiver.reach`: whether the API key is one."""
        await self.call("GET", "/api/v1/validate", more=self._keys())

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`. The event comes last, since it alone is reported twice where its answer is lost."""
        intake = Exchange(
            url=self.intake_url,
            timeout=self.timeout,
            tls_config=self.tls_config,
            allow_link_local=self.allow_link_local,
        )
        with in_parts():
            if notice.deployment.status in _OVER:
                await self._deployment(notice)
            await self._failure(notice)
            if series := _series(notice):
                await self.deliver("POST", "/api/v2/series", {"series": series}, more=self._keys())
            await intake.deliver("POST", "/api/v2/events", _data(_event(notice), type="event"), more=self._keys())

    async def _deployment(self, notice: Notification) -> None:
        name = key(notice.deployment)
        if not await self._is_there("GET", f"/api/v2/dora/deployments/{name}"):
            await self.deliver(
                "POST", "/api/v2/dora/deployment", _data(self._dora(notice.deployment)), more=self._keys()
            )
        if notice.measured.decision.outcome is Outcome.UNKNOWN:
            return
        body = _data({"change_failure": failed(notice)}, id=name, type="dora_deployment_patch_request")
        await self.deliver("PATCH", f"/api/v2/dora/deployments/{name}", body, more=self._keys())

    async def _failure(self, notice: Notification) -> None:
        """Report the harm, or take back what was reported of it."""
        harm = notice.impact.harm if notice.impact is not None else None
        if failed(notice) and harm is not None:
            await self.deliver("POST", "/api/v2/dora/failure", _data(self._harm(notice, harm)), more=self._keys())
        elif notice.measured.decision.outcome is Outcome.SUCCESS:
            await self._is_there("DELETE", f"/api/v2/dora/failure/{key(notice.deployment)}")

    async def _is_there(self, method: str, path: str) -> bool:
        try:
            await self.deliver(method, path, more=self._keys())
        except DeliveryError as error:
            if error.reason != f"http_{HTTPStatus.NOT_FOUND}":
                raise
            return False
        return True

    def _dora(self, deployment: Deployment) -> dict[str, Any]:
        times = {"started_at": _nanoseconds(deployment.started_at), "finished_at": _nanoseconds(deployment.ended_at)}
        return {"service": deployment.service, **self._common(deployment), **times}

    def _harm(self, notice: Notification, harm: Harm) -> dict[str, Any]:
        deployment = notice.deployment
        times = {"started_at": _nanoseconds(harm.since or deployment.started_at)}
        if harm.over_at is not None:
            times["finished_at"] = _nanoseconds(harm.over_at)
        named = {"services": [deployment.service], "name": notice.headline[:_TITLE]}
        return {**named, **self._common(deployment), **times}

    def _common(self, deployment: Deployment) -> dict[str, Any]:
        fields: dict[str, Any] = {"id": key(deployment), "env": deployment.environment}
        fields |= {"version": deployment.version} if deployment.version else {}
        if deployment.commit is not None and self.repository_url is not None:
            fields["git"] = {"commit_sha": deployment.commit, "repository_url": self.repository_url}
        return fields

    def _keys(self) -> dict[str, str]:
        return {
            "DD-API-KEY": read_key(self.api_key, self.api_key_file),
            "DD-APPLICATION-KEY": read_key(self.app_key, self.app_key_file),
        }


def _event(notice: Notification) -> dict[str, Any]:
    """A change event; Datadog reads no markup in a message that does not begin with %%%."""
    deployment = notice.deployment
    story = notice.impact.story if notice.impact is not None else ()
    lines = [notice.headline, *story, *([notice.report_url] if notice.report_url is not None else [])]
    outcome = notice.measured.decision.outcome
    change: dict[str, Any] = {
        "changed_resource": {"name": deployment.service[:_NAME], "type": "configuration"},
        "impacted_resources": [{"name": deployment.service[:_NAME], "type": "service"}],
        "change_metadata": attributes(notice),
        "new_value": {"version": deployment.version or "unknown"},
    }
    if deployment.previous_version:
        change["prev_value"] = {"version": deployment.previous_version}
    return {
        "title": f"{deployment.name}: {outcome}"[:_TITLE],
        "message": "\n".join(lines)[:_MESSAGE].lstrip("%"),
        "category": "change",
        "integration_id": "custom-events",
        "aggregation_key": key(deployment),
        "timestamp": notice.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "tags": _tags(deployment, version=deployment.version, reported_by="afdp-exporter"),
        "attributes": change,
    }


def _series(notice: Notification) -> list[dict[str, Any]]:
    """Gauges of the service as of the measurement, none before it; no version, since each series is charged."""
    if notice.impact is None:
        return []
    at = int(notice.impact.measured_at.timestamp())
    return [
        {
            "metric": f"afdp.deployment.{name}",
            "type": _GAUGE,
            "points": [{"timestamp": at, "value": value}],
            "tags": _tags(notice.deployment, currency=currency),
        }
        for name, value, currency in gauges(notice)
    ]


def _tags(deployment: Deployment, **more: str | None) -> list[str]:
    named = {"service": deployment.service, "env": deployment.environment, **more}
    return [f"{name}:{value}"[:_TAG] for name, value in named.items() if value]


def _data(content: dict[str, Any], **more: str) -> dict[str, Any]:
    return {"data": {"attributes": content, **more}}


def _nanoseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000_000


PLUGIN = Datadog
