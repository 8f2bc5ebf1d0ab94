"""What every sender's parser promises, held against each: its own examples are understood, nothing else harms it."""

import ast
import json
from contextlib import suppress
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdp_exporter import webhooks
from afdp_exporter.errors import BadInput
from afdp_exporter.fields import read_time
from afdp_exporter.model import Announcement, Ignored
from afdp_exporter.tracking.mapping import resolve_service
from afdp_exporter.tracking.merge import merge_announcements
from afdp_exporter.webhooks import Webhook
from webhooks.deliveries import EXAMPLES, KINDS, Example

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FOLDER = Path(webhooks.__file__).parent
BROKEN = {
    "nothing": b"",
    "half an object": b'{"a": ',
    "a list": b"[]",
    "a list of numbers": b"[1, 2]",
    "a word": b'"deployment"',
    "null": b"null",
    "NaN": b'{"a": NaN}',
    "an empty object": b"{}",
    "lists within lists": b"[" * 30_000,
    "objects within objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "a number of 60,000 digits": b'{"id": ' + b"9" * 60_000 + b"}",
    "Latin-1": '{"a": "é"}'.encode("latin-1"),
    "a lone surrogate": b'{"a": "\\ud800"}',
    "a form": b"a=b&c=d",
    "XML": b"<?xml version='1.0'?><a/>",
}


STRANGE = (None, True, -1, 1e300, "", "\x00\u202e", "x" * 9_000, [], [{}], {"": None}, 2**63)


def put_together(webhook: Webhook, headers: dict[str, str], body: bytes) -> None:
    """All the way to a deployment, as far as it goes."""
    with suppress(BadInput):
        for each in webhook.parse(headers, body):
            placed = resolve_service(each, ()) if isinstance(each, Announcement) else each
            if isinstance(placed, Announcement):
                merge_announcements([placed], received_at=NOON)


def values(node: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where the values of a body are."""
    found = [path] if path else []
    if isinstance(node, dict):
        found += [place for key, value in node.items() for place in values(value, (*path, key))]
    elif isinstance(node, list):
        found += [place for index, value in enumerate(node) for place in values(value, (*path, index))]
    return found


def changed(content: object, path: tuple[str | int, ...], value: object) -> bytes:
    copy = json.loads(json.dumps(content))
    node = copy
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return json.dumps(copy).encode()


def matches(expected: object, found: object) -> bool:
    if isinstance(expected, dict):
        return all(matches(value, found[name]) for name, value in expected.items())
    if isinstance(found, tuple):
        return list(found) == expected
    return found == (read_time(expected) if isinstance(found, datetime) else expected)


def said(example: Example, headers: dict[str, str], body: bytes) -> str:
    """What became of a delivery, in a word."""
    try:
        found = example.webhook.parse(headers, body)
    except BadInput as error:
        return "refused by field" if all(fault.field and fault.message for fault in error.faults) else "refused"
    return "ignored" if all(isinstance(each, Ignored) for each in found) else "announced"


def test_every_sender_has_examples_of_its_own() -> None:
    assert {example.kind for example in EXAMPLES if example.announced} == set(KINDS)


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_example_announces_what_it_says(example: Example) -> None:
    found = example.webhook.parse(example.headers, example.body)
    found_parts = [asdict(each) for each in found if not isinstance(each, Ignored)]
    reasons = [each.reason for each in found if isinstance(each, Ignored)]
    assert len(found_parts) == len(example.announced), (found_parts, reasons)
    for expected, each in zip(example.announced, found_parts, strict=True):
        assert matches(expected, each), each
    assert len(reasons) == len(example.ignored), reasons
    assert all(words in reason for words, reason in zip(example.ignored, reasons, strict=True)), reasons


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.announced], ids=str)
def test_what_an_example_announces_becomes_a_deployment_of_its_sender(example: Example) -> None:
    found = [each for each in example.webhook.parse(example.headers, example.body) if isinstance(each, Announcement)]
    for each in found:
        assert each.sender == example.kind
        assert each.key
        assert each.event
        placed = resolve_service(each, ())
        if isinstance(placed, Announcement):
            life = merge_announcements([placed], received_at=NOON)
            assert life is None or life.deployment.received_from == example.kind


@pytest.mark.parametrize("kind", KINDS)
def test_what_no_sender_sends_is_refused_by_field(kind: str) -> None:
    by_settings = {(str(each.settings), str(each.headers)): each for each in EXAMPLES if each.kind == kind}
    for example in by_settings.values():
        for name, body in BROKEN.items():
            assert said(example, example.headers, body) in {"refused by field", "ignored"}, name


@pytest.mark.parametrize("kind", KINDS)
def test_any_value_in_the_place_of_another_is_read_or_refused(kind: str) -> None:
    for example in EXAMPLES:
        if example.kind == kind and example.announced and example.body.lstrip()[:1] in b"{[":
            content, webhook = json.loads(example.body), example.webhook
            for path in values(content):
                for value in STRANGE:
                    put_together(webhook, example.headers, changed(content, path, value))


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_header_that_names_an_event_nothing_breaks(kind: str) -> None:
    for example in EXAMPLES:
        if example.kind == kind:
            assert said(example, {}, example.body)


@pytest.mark.parametrize("kind", KINDS)
@given(body=st.binary(max_size=200), headers=st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=4))
@settings(max_examples=50)
def test_no_bytes_break_a_parser(kind: str, body: bytes, headers: dict[str, str]) -> None:
    plugin = next(each for each in EXAMPLES if each.kind == kind).webhook
    with suppress(BadInput):
        plugin.parse(headers, body)


@pytest.mark.parametrize("kind", KINDS)
@given(headers=st.dictionaries(st.text(max_size=30), st.text(max_size=90), max_size=4), body=st.binary(max_size=100))
@settings(max_examples=50)
def test_no_credential_that_was_not_made_with_the_secret_is_taken(
    kind: str, headers: dict[str, str], body: bytes
) -> None:
    plugin = next(each for each in EXAMPLES if each.kind == kind).webhook
    named = dict.fromkeys(("authorization", "x-hub-signature-256", "x-gitlab-token", "webhook-signature"), "")
    for tried in (headers, named | headers, named):
        assert not plugin.proof.verifies(tried, body, "s3cret", NOON)


@pytest.mark.parametrize("kind", KINDS)
def test_two_senders_do_not_know_each_other(kind: str) -> None:
    for node in ast.walk(ast.parse((FOLDER / f"{kind}.py").read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("afdp_exporter.webhooks."):
            assert (node.module or "").rpartition(".")[2].startswith("_"), node.module


@pytest.mark.parametrize("kind", KINDS)
def test_a_sender_is_named_in_its_documentation(kind: str) -> None:
    page = (FOLDER.parents[1] / "docs/webhooks.md").read_text()
    assert f"`{kind}`" in page
    plugin = next(each for each in EXAMPLES if each.kind == kind).webhook
    assert all(f"`{entry.name}`" in page for entry in fields(plugin))
