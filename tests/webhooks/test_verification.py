"""Who knows the secret gets in, in each of the ways that senders have; nobody else does."""

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from standardwebhooks import Webhook as StandardWebhook

from afdp_exporter.errors import ConfigError
from afdp_exporter.settings import build, parse
from afdp_exporter.webhooks import Secrets, Sender
from afdp_exporter.webhooks._verification import (
    Credential,
    FirstPresent,
    HMACSignature,
    InBody,
    Signature,
    StandardWebhooks,
    Token,
    Verifier,
)

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HUB = Signature("x-hub-signature-256")
PUBLISHED = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
KEY = "whsec_" + base64.b64encode(b"k" * 24).decode()


def test_the_signature_that_github_publishes_is_valid() -> None:
    secret, body = "It's a Secret to Everybody", b"Hello, World!"
    assert HUB.verifies({"x-hub-signature-256": PUBLISHED}, body, secret, NOON)
    assert not HUB.verifies({"x-hub-signature-256": PUBLISHED}, body + b"\n", secret, NOON)
    assert not HUB.verifies({"x-hub-signature-256": PUBLISHED}, body, secret.lower(), NOON)


def signed(algorithm: str) -> str:
    return f"{algorithm}={hmac.new(b's3cret', b'{}', algorithm).hexdigest()}"


@pytest.mark.parametrize("algorithm", ["sha224", "sha256", "sha384", "sha512"])
def test_the_algorithm_of_a_signature_is_read_from_it(algorithm: str) -> None:
    assert HUB.verifies({"x-hub-signature-256": signed(algorithm)}, b"{}", "s3cret", NOON)


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha3_256", "none", ""])
def test_a_weak_or_unknown_algorithm_proves_nothing(algorithm: str) -> None:
    made = hashlib.new(algorithm, b"{}").hexdigest() if algorithm in hashlib.algorithms_available else ""
    weak = hmac.new(b"s3cret", b"{}", "sha1").hexdigest() if algorithm == "sha1" else made
    assert not HUB.verifies({"x-hub-signature-256": f"{algorithm}={weak}"}, b"{}", "s3cret", NOON)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("proof", "headers", "holds"),
    [
        (Token("x-gitlab-token"), {"x-gitlab-token": "s3cret"}, True),
        (Token("x-gitlab-token"), {"x-gitlab-token": "s3cret, s3cret"}, False),
        (Token("x-gitlab-token"), {}, False),
        (Credential(), {"authorization": "Bearer s3cret"}, True),
        (Credential(), {"authorization": "bearer  s3cret "}, True),
        (Credential(), {"authorization": basic("anybody", "s3cret")}, True),
        (Credential(), {"authorization": basic("s3cret", "")}, False),
        (Credential(), {"authorization": "Basic s3cret"}, False),
        (Credential(), {"authorization": "Token s3cret"}, False),
        (Credential(), {"authorization": "s3cret"}, False),
        (Credential(), {}, False),
        (FirstPresent({"a": Token("a"), "b": Token("b")}), {"b": "s3cret"}, True),
        (FirstPresent({"a": Token("a"), "b": Token("b")}), {"a": "", "b": "s3cret"}, False),
        (FirstPresent({"a": Token("a")}), {}, False),
        (HMACSignature(header="s"), {"s": f"v2=abc, {signed('sha256').replace('sha256=', 'v1=')}"}, True),
        (HMACSignature(header="s"), {"s": signed("sha256")[7:]}, True),
        (HMACSignature(header="s"), {"s": "v1="}, False),
        (HMACSignature(header="s"), {}, False),
        (FirstPresent({"a": Token("a")}, otherwise=Token("b")), {"b": "s3cret"}, True),
        (HUB, {"x-hub-signature-256": "sha256=é"}, False),
        (HUB, {"x-hub-signature-256": "sha256=\udcff"}, False),
        (HUB, {"x-hub-signature-256": signed("sha256").upper()}, False),
        (HUB, {"x-hub-signature-256": f"{signed('sha256')}, {signed('sha256')}"}, False),
    ],
)
def test_only_the_secret_itself_is_taken(proof: Verifier, headers: dict[str, str], holds: bool) -> None:
    assert proof.verifies(headers, b"{}", "s3cret", NOON) is holds


@pytest.mark.parametrize(
    ("body", "holds"),
    [
        (b'{"metadata": {"token": "s3cret"}}', True),
        (b'{"metadata": {"token": "other"}}', False),
        (b'{"metadata": {"token": ["s3cret"]}}', False),
        (b'{"metadata": "token"}', False),
        (b'{"token": "s3cret"}', False),
        (b'["s3cret"]', False),
        (b"s3cret", False),
        (b"[" * 30_000, False),
    ],
)
def test_a_secret_in_the_body_is_read_from_its_place_only(body: bytes, holds: bool) -> None:
    assert InBody(("metadata", "token")).verifies({}, body, "s3cret", NOON) is holds


@pytest.fixture
def stamped() -> Callable[..., dict[str, str]]:
    """Headers of Standard Webhooks, signed by its own library."""

    def make(at: datetime = NOON, body: str = "{}", key: str = KEY) -> dict[str, str]:
        signature = StandardWebhook(key).sign("msg_1", at, body)
        return {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": f"v1,b3RoZXI= {signature}",
        }

    return make


@pytest.mark.parametrize(("late", "holds"), [(-6, False), (-5, True), (0, True), (5, True), (6, False)])
def test_a_standard_webhook_holds_for_five_minutes(
    stamped: Callable[..., dict[str, str]],
    late: int,
    holds: bool,
) -> None:
    assert StandardWebhooks().verifies(stamped(), b"{}", KEY, NOON + timedelta(minutes=late)) is holds


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": "1"},
        {"webhook-timestamp": "9" * 5000},
        {"webhook-timestamp": "noon"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": ""},
        {"webhook-id": "\udcff"},
    ],
)
def test_a_standard_webhook_that_was_changed_proves_nothing(
    stamped: Callable[..., dict[str, str]], change: dict[str, str]
) -> None:
    assert not StandardWebhooks().verifies(stamped() | change, b"{}", KEY, NOON)
    assert not StandardWebhooks().verifies(stamped(), b"\xff", KEY, NOON)
    assert not StandardWebhooks().verifies(stamped(), b"{}", "no key of this kind", NOON)


def sender(**block: object) -> Sender:
    return Sender(kind="github", webhook=build("webhooks", "github", {}, ""), secrets=parse(Secrets, block, ""))


def test_during_a_rotation_the_old_and_the_new_secret_let_in_and_afterwards_only_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("new\n")

    def enters(each: Sender, secret: str) -> bool:
        signature = "sha256=" + hmac.new(secret.encode(), b"{}", "sha256").hexdigest()
        return each.proves({"x-hub-signature-256": signature}, b"{}", NOON)

    both = sender(secret_file=str(file), previous_secret="0ld-canary")
    assert [enters(both, secret) for secret in ("new", "0ld-canary", "older", "")] == [True, True, False, False]
    file.write_text("newer")
    assert [enters(both, secret) for secret in ("newer", "new")] == [True, False]
    file.unlink()
    assert not enters(both, "newer")
    assert not enters(sender(secret="new"), "0ld-canary")
    assert "canary" not in repr(both)


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"secret": ""},
        {"secret": " "},
        {"secret": "a", "secret_file": "/dev/null"},
        {"secret": "a", "previous_secret": ""},
        {"secret": "a", "previous_secret": "b", "previous_secret_file": "/dev/null"},
        {"secret_file": "/nowhere"},
    ],
)
def test_a_block_without_a_secret_that_keeps_people_out_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, Exception), match=r"secret|exist"):
        parse(Secrets, block, "webhooks[0]")


def generic(**settings: object) -> Verifier:
    fields = {"id": "$.id", "status": "$.status"}
    found: Verifier = build(
        "webhooks", "generic", {"fields": fields, "signature_header": "X-Sig", **settings}, ""
    ).proof
    return found


SENT = b'{"id": 1}'
STAMP = str(int(NOON.timestamp()))


def made(algorithm: str, text: bytes = SENT, secret: bytes = b"s3cret") -> hmac.HMAC:
    return hmac.new(secret, text, algorithm)


def jws(body: bytes, secret: bytes = b"s3cret", algorithm: str = "HS256") -> str:
    def encoded(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    head = encoded(f'{{"alg":"{algorithm}","typ":"JWT"}}'.encode())
    claims = encoded(f'{{"iss":"netlify","sha256":"{hashlib.sha256(body).hexdigest()}"}}'.encode())
    return f"{head}.{claims}.{encoded(made('sha256', f'{head}.{claims}'.encode(), secret).digest())}"


TIMED = {"signed": "{timestamp}.{body}"}
OWN_TIME = made("sha256", f"{STAMP}.".encode() + SENT).hexdigest()


@pytest.mark.parametrize(
    ("settings", "headers", "holds"),
    [
        ({"signature_algorithm": "sha1"}, {"x-sig": made("sha1").hexdigest()}, True),
        ({"signature_algorithm": "sha1"}, {"x-sig": "sha1=" + made("sha1").hexdigest()}, True),
        ({"signature_algorithm": "sha1"}, {"x-sig": made("sha256").hexdigest()}, False),
        ({}, {"x-sig": made("sha1").hexdigest()}, False),
        ({"signature_algorithm": "sha512"}, {"x-sig": "sha512=" + made("sha512").hexdigest()}, True),
        ({"signature_encoding": "base64"}, {"x-sig": base64.b64encode(made("sha256").digest()).decode()}, True),
        ({"signature_encoding": "base64"}, {"x-sig": "v1=" + base64.b64encode(made("sha256").digest()).decode()}, True),
        ({"signature_encoding": "base64"}, {"x-sig": made("sha256").hexdigest()}, False),
        (TIMED, {"x-sig": f"timestamp={STAMP},signature={OWN_TIME}"}, True),
        (TIMED, {"x-sig": f"t={STAMP}, v1={OWN_TIME}"}, True),
        (TIMED, {"x-sig": f"t={int(STAMP) + 1}, v1={OWN_TIME}"}, False),
        (TIMED, {"x-sig": OWN_TIME}, False),
        (TIMED | {"timestamp_header": "X-Time"}, {"x-sig": OWN_TIME, "x-time": STAMP}, True),
        (TIMED | {"timestamp_header": "X-Time"}, {"x-sig": OWN_TIME, "x-time": "now"}, False),
        ({"signature_encoding": "jws"}, {"x-sig": jws(SENT)}, True),
        ({"signature_encoding": "jws"}, {"x-sig": jws(SENT + b" ")}, False),
        ({"signature_encoding": "jws"}, {"x-sig": jws(SENT, b"other")}, False),
        ({"signature_encoding": "jws"}, {"x-sig": jws(SENT, algorithm="none")}, False),
        ({"signature_encoding": "jws"}, {"x-sig": "a.b.c"}, False),
    ],
)
def test_a_generic_sender_signs_in_its_own_way(
    settings: dict[str, str], headers: dict[str, str], *, holds: bool
) -> None:
    assert generic(**settings).verifies(headers, SENT, "s3cret", NOON) is holds
    assert not generic(**settings).verifies(headers, SENT + b"x", "s3cret", NOON)
    assert not generic(**settings).verifies(headers, SENT, "another", NOON)


@pytest.mark.parametrize("unit", [1, 1000])
def test_what_was_signed_more_than_five_minutes_ago_or_ahead_is_a_replay(unit: int) -> None:
    stamp = str(int(NOON.timestamp()) * unit)
    signature = made("sha256", f"{stamp}.".encode() + SENT).hexdigest()
    for minutes, fresh in ((0, True), (4, True), (-4, True), (6, False), (-6, False)):
        now = NOON + timedelta(minutes=minutes)
        assert generic(**TIMED).verifies({"x-sig": f"t={stamp},v1={signature}"}, SENT, "s3cret", now) is fresh


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"signed": "{timestamp}"}, "hold {body} once"),
        ({"timestamp_header": "X-Time"}, "proves nothing"),
        ({"signature_algorithm": "md5"}, "sha1"),
    ],
)
def test_a_signature_that_would_prove_nothing_is_refused(settings: dict[str, str], why: str) -> None:
    with pytest.raises((ValidationError, ConfigError), match=why.replace("{", r"\{")):
        generic(**settings)
