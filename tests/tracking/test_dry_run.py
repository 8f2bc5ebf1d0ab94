"""A delivery tried out before anything is sent."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from afdp_exporter.commands.check import COMMAND
from afdp_exporter.tracking.dry_run import read_delivery

BODY = {
    "deployment": {"id": 1, "sha": "abc", "ref": "v1.4", "environment": "prod", "created_at": "2026-03-02T10:00:00Z"},
    "repository": {"full_name": "acme/shop-checkout"},
}
HEADERS = "POST /webhooks/github HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: deployment\r\n\r\n"


@pytest.mark.parametrize(
    ("content", "headers", "body"),
    [
        (b'{"a": 1}', {}, b'{"a": 1}'),
        (b"X-A: b\n\n{}", {"x-a": "b"}, b"{}"),
        (b"POST /x HTTP/1.1\r\nX-A:  b c \r\nB: d\r\n\r\n{}\n", {"x-a": "b c", "b": "d"}, b"{}\n"),
        (b"X-A: b\n{}", {"x-a": "b"}, b"{}"),
        (b"", {}, b""),
        (b"payload=%7B%7D", {}, b"payload=%7B%7D"),
    ],
)
def test_headers_stand_before_an_empty_line(content: bytes, headers: dict[str, str], body: bytes) -> None:
    assert read_delivery(content) == (headers, body)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """With GitHub, and a rule for its repositories."""
    content: dict[str, Any] = {
        "sources": [{"kind": "recording", "path": str(tmp_path)}],
        "webhooks": [{"kind": "github", "secret": "canary"}],
        "mapping": [
            {"match": {"environment": "pr-.*"}, "ignore": "previews"},
            {"match": {"repository": "acme/shop-(.*)"}, "service": "${1}"},
        ],
    }
    file = tmp_path / "afdp.yml"
    file.write_text(yaml.safe_dump(content))
    return file


def run(config: Path, delivery: str, *more: str) -> Result:
    event = config.parent / "event.txt"
    event.write_bytes(delivery.encode())
    return CliRunner().invoke(COMMAND, [f"--config.file={config}", f"--event={event}", *more])


def test_what_a_delivery_would_become_is_reported_with_what_rules_see(config: Path) -> None:
    found = run(config, HEADERS + json.dumps(BODY))
    assert found.exit_code == 0
    assert found.output.startswith("deployment github:acme:shop-checkout:1: checkout v1.4 in prod, started, 2026-03-02")
    assert "    repository: acme/shop-checkout\n" in found.output
    assert "canary" not in found.output


def test_why_it_would_be_ignored_is_reported(config: Path) -> None:
    previews = BODY | {"deployment": BODY["deployment"] | {"environment": "pr-12"}}
    assert run(config, HEADERS + json.dumps(previews)).output.startswith("ignored: left out by mapping[0]: previews")
    assert run(config, "{}", "--header=X-GitHub-Event: ping").output == "ignored: a ping: the webhook works\n"


def test_a_script_reads_json(config: Path) -> None:
    found = run(config, json.dumps(BODY), "--header", "X-GitHub-Event: deployment", "--output=json", "--kind=github")
    (part,) = json.loads(found.output)
    assert part["deployment"]["service"] == "checkout"
    assert part["facts"]["sender"] == "github"
    assert part["ignored"] is None


def test_a_kind_that_is_not_configured_is_refused(config: Path) -> None:
    found = run(config, "{}", "--kind=gitlab")
    assert found.exit_code == 2
    assert "configured under webhooks: github" in found.output
