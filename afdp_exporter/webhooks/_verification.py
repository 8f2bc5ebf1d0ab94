"""How senders prove that they know the secret: signatures over the bytes as they came, compared in constant time."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol, TypeAlias

import orjson
from standardwebhooks import Webhook

_WINDOW = timedelta(minutes=5)  # of Standard Webhooks: what is signed earlier or later is a replay
_HASHES = {"sha224", "sha256", "sha384", "sha512"}
_MOST = 16  # signatures of one delivery
_BODY = "{body}"
_TIMES = {"t", "timestamp"}
_NAMES = {"v0", "v1", "v2", "sha1", "sha256", "sha512", "signature", *_TIMES}

Encoding: TypeAlias = Literal["hex", "base64"]


class Verifier(Protocol):
    """One way of proving."""

    def verifies(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:
        """Whether a delivery, with its headers by their lower-case names, was made by one who knows the secret."""


@dataclass(frozen=True, slots=True)
class Signature:
    """`HEADER: sha256=HEX`, the HMAC of the body: GitHub and who does as GitHub does; Flux may name another SHA-2."""

    header: str

    def verifies(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:  # noqa: ARG002
        """The signature is valid for ever; that an event counts once is the store's part."""
        algorithm, _, given = headers.get(self.header, "").partition("=")
        known = algorithm in _HASHES
        expected = hmac.new(secret.encode(), body, algorithm if known else "sha256").hexdigest()
        return _equal(given, expected) and known


@dataclass(frozen=True, slots=True, kw_only=True)
class HMACSignature:
    """An HMAC in a header, alone or after `v1=`, `sha256=` and the like; several, divided by commas.

    `signed` is what it is made of: the body, or the body with the time that `timestamp_header` holds, else the part
    `t` or `timestamp` of the signature's own header. A time that is signed lies within five minutes.
    """

    header: str
    algorithm: str = "sha256"
    encoding: Encoding = "hex"
    signed: str = _BODY
    timestamp_header: str | None = None

    def verifies(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:
        """One of them is that of what was sent, and it was sent now."""
        parts = [_part(each) for each in headers.get(self.header, "").split(",")[:_MOST]]
        timed = "{timestamp}" in self.signed
        moment = headers.get(self.timestamp_header or "") or next((text for name, text in parts if name in _TIMES), "")
        text = self.signed.replace("{timestamp}", moment if timed else "").encode("utf-8", "surrogatepass")
        before, _, after = text.partition(_BODY.encode())
        made = hmac.new(secret.encode(), before + body + after, self.algorithm)
        expected = made.hexdigest() if self.encoding == "hex" else base64.b64encode(made.digest()).decode()
        matches = [_equal(text, expected) for name, text in parts if name not in _TIMES]
        return any(matches) and (not timed or _is_now(moment, now))


@dataclass(frozen=True, slots=True)
class SignedDigest:
    """A JSON Web Signature (HS256) in a header, whose claim `sha256` is the digest of the body: Netlify."""

    header: str

    def verifies(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:  # noqa: ARG002
        """It is made with the secret, and of this body."""
        head, _, rest = headers.get(self.header, "").partition(".")
        claims, _, signature = rest.partition(".")
        made = hmac.new(secret.encode(), f"{head}.{claims}".encode("utf-8", "surrogatepass"), "sha256").digest()
        is_made = _equal(signature, base64.urlsafe_b64encode(made).decode().rstrip("="))
        is_of_body = _equal(str(_claims(claims).get("sha256", "")), hashlib.sha256(body).hexdigest())
        return is_made and is_of_body and _claims(head).get("alg") == "HS256"


@dataclass(frozen=True, slots=True)
class Token:
    """The secret itself, in a header of its own."""

    header: str

    def verifies(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:  # noqa: ARG002
        """The header is the secret."""
        return _equal(headers.get(self.header, ""), secret)


@dataclass(frozen=True, slots=True)
class Credential:
    """`Authorization: Bearer SECRET`, or Basic with any user and the secret as the password."""

    def verifies(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:  # noqa: ARG002
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

    def verifies(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:  # noqa: ARG002
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

    def verifies(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:
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

    by_header: Mapping[str, Verifier]
    otherwise: Verifier | None = None

    def verifies(self, headers: Mapping[str, str], body: bytes, secret: str, now: datetime) -> bool:
        """The chosen one holds."""
        chosen = next((proof for header, proof in self.by_header.items() if header in headers), self.otherwise)
        return chosen is not None and chosen.verifies(headers, body, secret, now)


def _part(text: str) -> tuple[str, str]:
    """The name before the sign =, where it is one that stands there, and the text."""
    name, sign, rest = text.strip().partition("=")
    return (name, rest) if sign and name in _NAMES else ("", text.strip())


def _is_now(moment: str, now: datetime) -> bool:
    """Unix seconds or milliseconds, not long ago and not ahead."""
    if not moment.isascii() or not moment.isdigit() or len(moment) > 13:
        return False
    seconds = int(moment) / (1000 if len(moment) == 13 else 1)
    return abs(now.timestamp() - seconds) <= _WINDOW.total_seconds()


def _claims(encoded: str) -> Mapping[str, object]:
    try:
        found = orjson.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _equal(given: str, expected: str) -> bool:
    return bool(expected) and hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
