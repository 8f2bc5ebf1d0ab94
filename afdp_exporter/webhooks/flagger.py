"""Flagger's webhooks of the types `event` and of the rollout itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from afdp_exporter.fields import read_time
from afdp_exporter.model import Announcement, Ignored, Origin, Recurrence, Status, Strategy
from afdp_exporter.settings import STRICT
from afdp_exporter.webhooks import Headers, Told
from afdp_exporter.webhooks._payload import Payload, read
from afdp_exporter.webhooks._proofs import Credential, FirstPresent, InBody, Proof

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
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flagger:
    """It has no settings of its own."""

    __pydantic_config__: ClassVar = STRICT
    proof: ClassVar[Proof] = FirstPresent({"authorization": Credential()}, otherwise=InBody(("metadata", "token")))

    def parse(self, headers: Headers, body: bytes) -> list[Told]:  # noqa: ARG002 - all of it is in the body
        """The phase of one canary; a canary that is being set up has nothing to compare with yet.

        The checksum is that of the canary's spec: going back to an earlier spec brings back its checksum.
        """
        told = read(_Canary, body)
        status = _PHASES.get(told.phase)
        if status is None:
            return [Ignored(reason=f"a canary in the phase {told.phase!a} rolls nothing out")]
        if not told.checksum:
            return [Ignored(reason="a canary without its checksum cannot be told from the one before")]
        known, place = told.metadata or {}, f"{told.namespace}/{told.name}"
        at = _time(known.get("timestamp"))
        return [
            Announcement(
                sender="flagger",
                key=f"{place}:{told.checksum}",
                thread=place,
                recurrence=Recurrence.RESTARTS,
                event=f"{told.phase}:{told.checksum}:{at.isoformat() if at else ''}",
                at=at,
                status=status,
                observed=True,
                origin=Origin(application=told.name, namespace=told.namespace, environment=known.get("environment")),
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
