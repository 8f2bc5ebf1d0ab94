"""OpenTelemetry (OTLP over HTTP): gauges of what a deployment did, and an event for each that is reported."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, ClassVar, Literal

import orjson

from afdp_exporter.errors import DeliveryError
from afdp_exporter.http_client import Answer
from afdp_exporter.model import Deployment, Notification, Status
from afdp_exporter.notify._exchange import Exchange, in_parts
from afdp_exporter.notify._facts import attributes, failed, gauges
from afdp_exporter.settings import optional

_SCOPE = {"name": "afdp_exporter"}
_INFO, _WARN = 9, 13  # severities
_NOT_READ = {"http_400", "http_415"}
_BINARY = {"Content-Type": "application/x-protobuf"}
_STATUSES = {Status.SUCCEEDED: "succeeded", Status.FAILED: "failed"}


@dataclass(frozen=True, kw_only=True)
class OTLP(Exchange):
    """A program that takes OTLP at `url` + `/v1/metrics` and `/v1/logs`, such as a collector."""

    appends: ClassVar[bool] = True

    signals: tuple[Literal["metrics", "logs"], ...] = ("metrics", "logs")
    encoding: Literal["json", "protobuf"] = "json"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding == "protobuf":
            _ = self._protobuf

    async def reach(self) -> None:
        """As `Receiver.reach`: a message without data, which everybody has to accept."""
        for signal in self.signals:
            await self._deliver(signal, {_RESOURCES[signal]: []})

    async def send(self, notice: Notification) -> None:
        """As `Receiver.send`. Points at the same time replace each other; an event whose answer is lost comes twice."""
        points = _metrics(notice)
        with in_parts():
            if "metrics" in self.signals and points:
                body = {"scopeMetrics": [{"scope": _SCOPE, "metrics": points}]}
                await self._deliver("metrics", {_RESOURCES["metrics"]: [_resource(notice.deployment) | body]})
            if "logs" in self.signals:
                body = {"scopeLogs": [{"scope": _SCOPE, "logRecords": [_event(notice)]}]}
                await self._deliver("logs", {_RESOURCES["logs"]: [_resource(notice.deployment) | body]})

    async def _deliver(self, signal: str, body: dict[str, Any]) -> None:
        if self.encoding == "json":
            try:
                answer = await self.deliver("POST", f"/v1/{signal}", body)
            except DeliveryError as error:
                if error.reason not in _NOT_READ:
                    raise
                hint = f"{error}; it may take `encoding: protobuf` alone"
                raise DeliveryError(error.reason, hint, retry=error.retry, wait=error.wait) from None
            _accepted(self.url, answer, orjson.loads)
        else:
            content = self._protobuf.encode(signal, body)
            answer = await self.deliver("POST", f"/v1/{signal}", content, more=_BINARY)
            _accepted(self.url, answer, partial(self._protobuf.decode, signal))

    @property
    def _protobuf(self) -> Any:  # noqa: ANN401 - of a module that is loaded only where it is needed
        """What only who sends it has to have installed. Raises ValueError where it is not."""
        return optional("encoding protobuf", "afdp_exporter.notify._otlp_protobuf", extra="otlp")


_RESOURCES = {"metrics": "resourceMetrics", "logs": "resourceLogs"}


def _accepted(url: str, answer: Answer, read: Callable[[bytes], Any]) -> None:
    """Raise DeliveryError where part of it was rejected, which is not to be sent again."""
    try:
        found = (read(answer.body) if answer.body else {}).get("partialSuccess") or {}
    except (ValueError, AttributeError):
        return  # who answers in another form has accepted it
    if any(str(found.get(name, "0")) != "0" for name in ("rejectedDataPoints", "rejectedLogRecords")):
        raise DeliveryError("rejected", f"{url}: it rejects a part of what it was sent", retry=False)


def _resource(deployment: Deployment) -> dict[str, Any]:
    named = {
        "service.name": deployment.service,
        "deployment.environment.name": deployment.environment,
        "service.version": deployment.version,
    }
    return {"resource": {"attributes": _attributes({name: each for name, each in named.items() if each is not None})}}


def _metrics(notice: Notification) -> list[dict[str, Any]]:
    """A gauge each, as of the measurement."""
    if notice.impact is None:
        return []
    at = _nanoseconds(notice.impact.measured_at)
    return [
        {
            "name": f"afdp.deployment.{name}",
            "unit": f"{{{unit}}}/h" if unit else "1",
            "gauge": {"dataPoints": [{"timeUnixNano": at, "asDouble": value, "attributes": _of(unit)}]},
        }
        for name, value, unit in gauges(notice)
    ]


def _of(currency: str) -> list[dict[str, Any]]:
    return _attributes({"currency": currency}) if currency else []


def _event(notice: Notification) -> dict[str, Any]:
    """The deployment as a log record, by the semantic conventions where they name something."""
    deployment = notice.deployment
    happened = notice.impact.measured_at if notice.impact is not None else deployment.ended_at
    fields: dict[str, str | float | bool] = {"event.name": "deployment", "deployment.id": deployment.id}
    if deployment.status in _STATUSES:
        fields["deployment.status"] = _STATUSES[deployment.status]
    if deployment.commit is not None:
        fields["vcs.ref.head.revision"] = deployment.commit
    fields |= {f"afdp.{name}": value for name, value in attributes(notice).items()}
    return {
        "timeUnixNano": _nanoseconds(happened),
        "observedTimeUnixNano": _nanoseconds(notice.at),
        "severityNumber": _WARN if failed(notice) else _INFO,
        "eventName": "deployment",
        "body": {"stringValue": notice.headline},
        "attributes": _attributes(fields),
    }


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in values.items()]


def _value(value: str | float | bool) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"doubleValue": value} if isinstance(value, float | int) else {"stringValue": value}


def _nanoseconds(moment: datetime) -> str:
    return f"{int(moment.timestamp() * 1_000_000)}000"


PLUGIN = OTLP
