"""Alertmanager: alerts that fire are incidents, a part of the state that deployments meet and leave behind."""

from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from afdp_exporter.fields import Time, coerce_link, coerce_text
from afdp_exporter.model import CalendarEntryKind, Event, Ignored
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, Texts, check, digest, read
from afdp_exporter.webhooks._verification import Credential, Verifier

_OURS = "AFDP"


class _Alert(Payload):
    status: str
    labels: Texts
    annotations: Texts = Field(default_factory=dict)
    startsAt: Time  # noqa: N815 - as it is sent
    endsAt: str | None = None  # noqa: N815 - the year 1 as long as the end is not known
    generatorURL: str | None = None  # noqa: N815
    fingerprint: str | None = None


class _Resolved(Payload):
    endsAt: Time  # noqa: N815


class _Group(Payload):
    alerts: tuple[_Alert, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alertmanager:
    """`service_label` names the label with the service of an alert; some severities and names are left out."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = Credential()

    service_label: str = "service"
    ignored_severities: tuple[str, ...] = ("none", "info")
    ignored_alerts: tuple[str, ...] = ("Watchdog", "InfoInhibitor", "DeadMansSwitch")

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - all of it is in the body
        """The alerts of one group; reporting one again says that it goes on."""
        return [self._parsed(alert) for alert in read(_Group, body).alerts]

    def _parsed(self, alert: _Alert) -> Parsed:
        name = coerce_text(alert.labels.get("alertname"), 128) or "alert"
        if name.startswith(_OURS):
            return Ignored(reason=f"{name} is an alert about deployments that this exporter has caused itself")
        severity = alert.labels.get("severity", "").lower()
        if severity in self.ignored_severities or name in self.ignored_alerts:
            return Ignored(reason=f"the alert {name} with the severity {severity!a} is left out by the configuration")
        service = coerce_text(alert.labels.get(self.service_label), 128)
        resolved = alert.status.lower() == "resolved"
        named = digest(alert.fingerprint or sorted(alert.labels.items()))[:16]
        return Event(
            id=f"alertmanager:{named}:{alert.startsAt.timestamp():.0f}",
            name=name,
            kind=CalendarEntryKind.INCIDENT,
            start=alert.startsAt,
            end=max(check(_Resolved, {"endsAt": alert.endsAt}).endsAt, alert.startsAt) if resolved else None,
            services=(service,) if service else (),
            description=coerce_text(
                alert.annotations.get("summary") or alert.annotations.get("description"), 8192, lines=True
            ),
            url=coerce_link(alert.annotations.get("runbook_url") or alert.generatorURL),
            told_at=alert.startsAt,
            received_from="alertmanager",
        )


PLUGIN = Alertmanager
