"""How senders prove that they know the secret: signatures over the bytes as they came, compared in constant time."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import orjson
from standardwebhooks import Webhook

_WINDOW = timedelta(minutes=5)  # of Standard Webhooks: what is signed earlier or later is a replay
_HASHES = {"sha224", "sha256", "sha384", "sha512"}
_MOST = 16  # signatures of one delivery


class Proof(Protocol):
    """One way of proving."""

    def holds(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:
        """Whether a delivery, with its headers by their lower-case names, was made by one who knows the secret."""


@dataclass(frozen=True, slots=True)
class Signature:
    """`HEADER: sha256=HEX`, the HMAC of the body: GitHub and who does as GitHub does; Flux may name another SHA-2."""

    header: str

    def holds(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:  # noqa: ARG002
        """The signature is valid for ever; that an event counts once is the store's part."""
        algorithm, _, given = headers.get(self.header, "").partition("=")
        known = algorithm in _HASHES
        expected = hmac.new(secret.encode(), body, algorithm if known else "sha256").hexdigest()
        return _equal(given, expected) and known


@dataclass(frozen=True, slots=True)
class VersionedSignature:
    """The HMAC-SHA256 of the body in a header: hex, alone or after `v1=` or `sha256=`; several, divided by commas."""

    header: str

    def holds(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:  # noqa: ARG002
        """One of them is that of the body."""
        expected = hmac.new(secret.encode(), body, "sha256").hexdigest()
        given = [each.strip() for each in headers.get(self.header, "").split(",")[:_MOST]]
        matches = [_equal(each.removeprefix("v1=").removeprefix("sha256="), expected) for each in given]
        return any(matches)


@dataclass(frozen=True, slots=True)
class Token:
    """The secret itself, in a header of its own."""

    header: str

    def holds(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:  # noqa: ARG002
        """The header is the secret."""
        return _equal(headers.get(self.header, ""), secret)


@dataclass(frozen=True, slots=True)
class Credential:
    """`Authorization: Bearer SECRET`, or Basic with any user and the secret as the password."""

    def holds(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:  # noqa: ARG002
        """One of the two is there with the secret."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        given = given.strip()
        if kind.lower() == "basic":
            given = _password(given)
        return _equal(given, secret) and kind.lower() in {"bearer", "basic"}


@dataclass(frozen=True, slots=True)
class InBody:
    """The secret itself in the body, for a sender that knows no headers: `metadata.token` of Flagger."""

    place: tuple[str, ...]

    def holds(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:  # noqa: ARG002
        """The text at this place is the secret."""
        try:
            node = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        for name in self.place:
            node = node.get(name) if isinstance(node, dict) else None
        return _equal(node if isinstance(node, str) else "", secret)


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature` of Standard Webhooks 1.0, within five minutes."""

    def holds(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:
        """One of the signatures is that of id, time and body."""
        try:
            signed_at = datetime.fromtimestamp(int(headers.get("webhook-timestamp", "")), UTC)
            expected = Webhook(secret).sign(headers.get("webhook-id", ""), signed_at, body.decode())
        except (ValueError, OverflowError, OSError):  # no time, no text, or no secret of Standard Webhooks
            return False
        given = headers.get("webhook-signature", "").split(" ")[:_MOST]
        matches = [_equal(each, expected) for each in given]
        return any(matches) and abs(now - signed_at) <= _WINDOW


@dataclass(frozen=True, slots=True)
class FirstPresent:
    """Of several proofs by their header the first whose header is there; where none is, the last resort, if any."""

    by_header: Mapping[str, Proof]
    otherwise: Proof | None = None

    def holds(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:
        """The chosen one holds."""
        chosen = next((proof for header, proof in self.by_header.items() if header in headers), self.otherwise)
        return chosen is not None and chosen.holds(headers, body, secret, now)


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _equal(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
