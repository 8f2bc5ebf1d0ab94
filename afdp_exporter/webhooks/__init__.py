"""What tools report -> announcements: one sender a file, pure.

A sender's credential is checked first, over the bytes as they came; only then its `parse` sees them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Protocol, TypeAlias

from pydantic import SecretStr

from afdp_exporter.model import Announcement, ApprovalRequest, CommitChange, Event, Ignored
from afdp_exporter.settings import STRICT, read_secret
from afdp_exporter.webhooks._verification import Verifier

Headers: TypeAlias = Mapping[str, str]
"""By names in lower case; what came several times is joined by commas."""

Parsed: TypeAlias = Announcement | ApprovalRequest | CommitChange | Event | Ignored
"""What one part of a delivery says; when an event was reported is left to whoever takes it in."""


class Webhook(Protocol):
    """One kind of sender."""

    @property
    def proof(self) -> Verifier:
        """How a delivery shows that its sender knows the secret."""

    def parse(self, headers: Headers, body: bytes) -> list[Parsed]:
        """What a delivery says, in its order. Raises BadInput for what its sender would never send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What a sender proves itself with; during a rotation the previous secret is taken as well."""

    __pydantic_config__: ClassVar = STRICT

    secret: SecretStr | None = None
    secret_file: Path | None = None
    previous_secret: SecretStr | None = None
    previous_secret_file: Path | None = None

    def __post_init__(self) -> None:
        if (self.secret is None) is (self.secret_file is None):
            raise ValueError("exactly one of secret and secret_file is needed")
        if self.previous_secret is not None and self.previous_secret_file is not None:
            raise ValueError("only one of previous_secret and previous_secret_file can hold")
        for value in (self.secret, self.previous_secret):
            if value is not None and not value.get_secret_value().strip():
                raise ValueError("an empty secret would let everybody in")
        for file in (self.secret_file, self.previous_secret_file):
            if file is not None and not file.is_file():
                raise ValueError(f"{file} does not exist")

    def read(self) -> tuple[str, ...]:
        """The secrets as they are now, read anew from their files; what cannot be read or is empty lets nobody in."""
        pairs = ((self.secret, self.secret_file), (self.previous_secret, self.previous_secret_file))
        return tuple(secret for value, file in pairs if (secret := _now(value, file)))


SECRETS = frozenset(entry.name for entry in fields(Secrets))
"""The keys of a sender's block that are not settings of its kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """One block under `webhooks`: a kind, its settings, its secrets."""

    kind: str
    webhook: Webhook
    secrets: Secrets

    def proves(self, headers: Headers, body: bytes, now: datetime) -> bool:
        """Whether the delivery was made by somebody who knows one of the secrets; all of them are tried."""
        tried = [self.webhook.proof.verifies(headers, body, secret, now) for secret in self.secrets.read()]
        return any(tried)


def _now(value: SecretStr | None, file: Path | None) -> str | None:
    try:
        return read_secret(value, file)
    except (OSError, UnicodeDecodeError):
        return None
