"""Flagger's webhooks of the types `event` and of the rollout itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from afdp_exporter.fields import read_time
from afdp_exporter.model import Announcement, Ignored, Origin, Recurrence, Status, Strategy
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Parsed
from afdp_exporter.webhooks._payload import Payload, Texts, read
from afdp_exporter.webhooks._verification import Credential, FirstPresent, InBody, Verifier

_PHASES = {
    "Waiting": Status.PLANNED,
    "Progressing": Status.STARTED,
    "WaitingPromotion": Status.STARTED,
    "Promoting": Status.STARTED,
    "Finalising": Status.STARTED,
    "Succeeded": Status.SUCCEEDED,
    "Failed": Status.FAILED,
    "Terminating": Status.CANCELLED,
    "Terminated": Status.CANCELLED,
}


class _Canary(Payload):
    name: str
    namespace: str
    phase: str
    checksum: str | None = None
    metadata: Texts | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagger:
    """It has no settings of its own."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Verifier] = FirstPresent({"authorization": Credential()}, otherwise=InBody(("metadata", "token")))

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:  # noqa: ARG002 - all of it is in the body
        """The phase of one canary; a canary that is being set up has nothing to compare with yet.

        The checksum is that of the canary's spec: going back to an earlier spec brings back its checksum.
        """
        payload = read(_Canary, body)
        status = _PHASES.get(payload.phase)
        if status is None:
            return [Ignored(reason=f"a canary in the phase {payload.phase!a} rolls nothing out")]
        if not payload.checksum:
            return [Ignored(reason="a canary without its checksum cannot be told apart from the one before")]
        known, place = payload.metadata or {}, f"{payload.namespace}/{payload.name}"
        at = _time(known.get("timestamp"))
        return [
            Announcement(
                sender="flagger",
                key=f"{place}:{payload.checksum}",
                thread=place,
                recurrence=Recurrence.RESTARTS,
                event=f"{payload.phase}:{payload.checksum}:{at.isoformat() if at else ''}",
                at=at,
                status=status,
                observed=True,
                origin=Origin(
                    application=payload.name, namespace=payload.namespace, environment=known.get("environment")
                ),
                version=known.get("version"),
                strategy=Strategy.CANARY,
                description=known.get("eventMessage"),
            )
        ]


def _time(text: str | None) -> datetime | None:
    try:
        return read_time(text)
    except ValueError:
        return None


PLUGIN = Flagger
