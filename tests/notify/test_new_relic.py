"""New Relic: mutations that GraphQL's own parser reads, whatever stands in them."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from graphql import FieldNode, OperationDefinitionNode, parse
from graphql.utilities import value_from_ast_untyped
from hypothesis import given, settings
from hypothesis import strategies as st

from afdp_exporter.errors import DeliveryError
from afdp_exporter.model import Announcement, Outcome
from afdp_exporter.notify.new_relic import _event, _graphql
from afdp_exporter.settings import build
from loopback import Serve
from receivers import HEADLINE, NOON, REPORT, SHA, Inbox, degradation, notice

DASHBOARD = Path(__file__).parents[2] / "deploy/new-relic/dashboard.json"
QUERY = re.compile(
    r"SELECT [\w ,()=!/'*]+ FROM ChangeTrackingEvent WHERE [\w ='!]+?"
    r"(?: FACET \w+(?:, \w+)*)?(?: TIMESERIES)?(?: LIMIT \d+)?"
)
VALUES = re.compile(r"'(\w+)'")


async def opened(serve: Serve, inbox: Inbox) -> Any:  # noqa: ANN401
    return build("notify", "new_relic", {"url": await serve(inbox.answer), "api_key": "canary"}, "notify[0]")


def argument(document: str) -> Any:  # noqa: ANN401
    (operation,) = parse(document).definitions
    assert isinstance(operation, OperationDefinitionNode)
    (field,) = operation.selection_set.selections
    assert isinstance(field, FieldNode)
    assert field.name.value == "changeTrackingCreateEvent"
    return value_from_ast_untyped(field.arguments[0].value)


async def test_the_change_holds_version_story_money_and_link(serve: Serve) -> None:
    inbox = Inbox()
    receiver = await opened(serve, inbox)
    await receiver.reach()
    await receiver.send(notice(impact=degradation()))
    await receiver.send(notice("later", impact=degradation()))
    first, later = (argument(call.json["query"]) for call in inbox.calls[1:])
    assert inbox.calls[1].headers["API-Key"] == "canary"
    deployment = first["categoryAndTypeData"]["categoryFields"]["deployment"]
    assert deployment == {"version": "v2.1.0", "commit": SHA, "deepLink": REPORT}
    assert first["description"].startswith(HEADLINE)
    assert first["customAttributes"]["outcome"] == "degradation"
    assert float(first["customAttributes"]["cost_per_hour_high"]) == 1400.0
    assert int(first["timestamp"]) == int(NOON.timestamp()) * 1000
    assert first["groupId"] == later["groupId"]


async def test_what_we_send_our_own_inbound_side_reads_as_that_deployment(serve: Serve) -> None:
    inbox = Inbox()
    await (await opened(serve, inbox)).send(notice(impact=degradation()))
    (read,) = build("webhooks", "new_relic", {}, "webhooks[0]").parse({}, inbox.calls[0].body)
    assert isinstance(read, Announcement)
    assert (read.at, read.version, read.commit) == (NOON, "v2.1.0", SHA)


async def test_the_dashboard_asks_for_nothing_that_is_not_sent(serve: Serve) -> None:
    inbox = Inbox()
    await (await opened(serve, inbox)).send(notice(impact=degradation()))
    sent = set(argument(inbox.calls[0].json["query"])["customAttributes"]) | {"timestamp", "category", "groupId"}
    dashboard = json.loads(DASHBOARD.read_text())
    assert set(dashboard) == {"name", "description", "permissions", "pages", "variables"}
    asked: set[str] = set()
    for widget in (each for page in dashboard["pages"] for each in page["widgets"]):
        layout, configuration = widget["layout"], widget["rawConfiguration"]
        assert 1 <= layout["column"] <= layout["column"] + layout["width"] - 1 <= 12
        assert ("text" in configuration) is (widget["visualization"]["id"] == "viz.markdown")
        for query in configuration.get("nrqlQueries", ()):
            assert query["accountIds"] == [0]
            text = re.sub(r"'[^'\\]*'", "''", query["query"])
            parts = QUERY.fullmatch(text)
            assert parts, text
            assert text.count("(") == text.count(")")
            words = set(re.findall(r"\b(?!\w+\()[a-z]\w*", text))
            assert words <= sent, text
            assert set(re.findall(r"\w+(?=\()", text)) <= {"filter", "uniqueCount", "min", "max"}
            asked |= words
    assert asked >= {"outcome", "harm", "currency", "cost_per_hour_low", "cost_per_hour", "cost_per_hour_high"}
    values = {
        text
        for each in re.findall(r"outcome (?:IN \(|!= )([^)]*?'(?!,))", DASHBOARD.read_text())
        for text in VALUES.findall(each)
    }
    assert values <= set(Outcome)


async def test_an_old_deployment_has_no_time_that_new_relic_would_refuse(serve: Serve) -> None:
    inbox = Inbox()
    await (await opened(serve, inbox)).send(notice(started_at=NOON - timedelta(days=2)))
    assert "timestamp" not in argument(inbox.calls[0].json["query"])


@pytest.mark.parametrize(
    ("word", "retry"), [("TOO_MANY_REQUESTS", True), ("ACCESS_DENIED", True), ("BAD_USER_INPUT", False), ("", False)]
)
async def test_an_error_within_an_answer_is_one(serve: Serve, word: str, retry: bool) -> None:
    errors = {"errors": [{"message": "canary", "extensions": {"errorClass": word}}]}
    receiver = await opened(serve, Inbox(serves=lambda _: (200, errors)))
    with pytest.raises(DeliveryError) as raised:
        await receiver.send(notice())
    assert raised.value.retry is retry
    assert "canary" not in str(raised.value)


@settings(max_examples=500)
@given(text=st.text(min_size=1, max_size=40) | st.text(alphabet=st.sampled_from("'\\\"}{)(n$"), min_size=1))
def test_no_name_leaves_its_place(text: str) -> None:
    event = _event(notice(text, service=text, version=text), "name = '$service'")
    read = argument(f"mutation{{changeTrackingCreateEvent(changeTrackingEvent:{_graphql(event)}){{messages}}}}")
    inner = re.fullmatch(r"name = '((?:[^'\\]|\\.)*)'", read["entitySearch"]["query"], re.DOTALL)
    assert inner is not None
    assert re.sub(r"\\(.)", r"\1", inner[1], flags=re.DOTALL) == text
    assert read["customAttributes"]["service"] == text
