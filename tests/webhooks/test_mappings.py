"""The ready mappings of `deploy/senders` for the parser `generic`: a delivery is proven, read and placed."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from afdp_exporter import config
from afdp_exporter.fields import read_time
from afdp_exporter.tracking.dry_run import rehearse

ROOT = Path(__file__).parents[2]
NAMES = (
    "bitbucket buildkite circleci forgejo gitea harness heroku netlify octopus teamcity vercel".split()  # noqa: SIM905
)
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
SECRET = "s3cret"


@dataclass(frozen=True)
class Case:
    """A delivery by one of the mappings, and what becomes of it."""

    name: str
    body: bytes
    deployment: dict[str, Any] | None
    ignored: str | None

    def __str__(self) -> str:
        return f"{self.name}: {self.ignored or 'announced'}"


def mapping(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / f"deploy/senders/{name}/afdp.yml").read_text())
    for block in found["webhooks"]:
        assert block.pop("secret_file") == f"/run/secrets/{name}"
        block["secret"] = SECRET
    return found


def proven(block: dict[str, Any], body: bytes) -> dict[str, str]:
    """The headers with which its sender proves a delivery."""
    if header := block.get("token_header"):
        return {header.lower(): SECRET}
    header = block.get("signature_header")
    if header is None:
        return {"authorization": "Basic " + base64.b64encode(f"afdp:{SECRET}".encode()).decode()}
    if block.get("signature_encoding") == "jws":
        return {header.lower(): jws(body)}
    stamp = str(int(NOON.timestamp()))
    text = f"{stamp}.".encode() + body if "{timestamp}" in block.get("signed", "") else body
    made = hmac.new(SECRET.encode(), text, block.get("signature_algorithm", "sha256"))
    encoded = base64.b64encode(made.digest()).decode() if "signature_encoding" in block else made.hexdigest()
    return {header.lower(): f"timestamp={stamp},signature={encoded}" if "signed" in block else encoded}


def jws(body: bytes) -> str:
    def encoded(content: bytes) -> str:
        return base64.urlsafe_b64encode(content).decode().rstrip("=")

    claims = json.dumps({"iss": "netlify", "sha256": hashlib.sha256(body).hexdigest()})
    text = f"{encoded(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{encoded(claims.encode())}"
    return f"{text}.{encoded(hmac.new(SECRET.encode(), text.encode(), 'sha256').digest())}"


CASES = [
    Case(entry["mapping"], json.dumps(entry["body"]).encode(), entry.get("deployment"), entry.get("ignored"))
    for entry in yaml.safe_load((Path(__file__).parent / "mappings.yml").read_text())
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_delivery_is_proven_read_and_placed(case: Case, tmp_path: Path) -> None:
    content = mapping(case.name)
    loaded = config.read({"sources": [{"kind": "recording", "path": str(tmp_path)}], **content})
    (sender,) = loaded.senders
    headers = proven(content["webhooks"][0], case.body)
    assert sender.proves(headers, case.body, NOON)
    assert not sender.proves(headers, case.body + b" ", NOON) or "signature_header" not in content["webhooks"][0]
    assert not sender.proves({}, case.body, NOON)
    (found,) = rehearse(sender, loaded.mapping, headers, case.body, now=NOON)
    if case.deployment is None:
        assert found.ignored is not None
        assert case.ignored is not None
        assert case.ignored in found.ignored
        return
    assert found.deployment is not None, found.ignored
    wanted = {name: read_time(text) if name.endswith("_at") else text for name, text in case.deployment.items()}
    assert {name: getattr(found.deployment, name) for name in wanted} == wanted


def test_each_mapping_has_a_delivery_and_is_in_the_documentation() -> None:
    assert {case.name for case in CASES if case.deployment is not None} == set(NAMES)
    page = (ROOT / "docs/webhooks.md").read_text()
    assert all(f"deploy/senders/{name}/afdp.yml" in page for name in NAMES)
