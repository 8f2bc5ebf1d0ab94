"""GitHub and GitLab: one comment for each deployment on what brought its commit, and the commit's status."""

import html
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from afdp_exporter.errors import ConfigError, DeliveryError
from afdp_exporter.model import Outcome, ShiftState
from afdp_exporter.notify._facts import comment, escaped, marker
from afdp_exporter.settings import build
from loopback import Serve
from receivers import HEADLINE, SHA, Inbox, degradation, notice
from receiving import Forge

TOKEN = {"credentials": "canary"}


async def receiver(serve: Serve, forge: Forge, faults: list[Any] | None = None) -> Any:  # noqa: ANN401
    places = {"github": {"repositories": {"*": "acme/shop"}}, "gitlab": {"projects": {"*": "acme/web/shop"}}}
    url = await serve(Inbox(serves=forge.serves, faults=faults or []).answer)
    return build("notify", forge.kind, {"url": url, "authorization": TOKEN, **places[forge.kind]}, "notify[0]")


@pytest.mark.parametrize("forge", [Forge("github"), Forge("github", app=True), Forge("gitlab")], ids=repr)
async def test_a_deployment_is_one_comment_that_changes_among_many_others(serve: Serve, forge: Forge) -> None:
    forge.chatter(150, body=f"{marker(notice().deployment)}\nnot by us")
    client = await receiver(serve, forge)
    await client.send(notice("nothing is measured yet"))
    await client.send(notice("nothing is measured yet"))
    await client.send(notice(impact=degradation()))
    await client.send(notice("another one", id="d2"))
    assert len(forge.ours) == 2
    assert r"costs \$1,200 an hour" in forge.ours[0]
    states = [status["state"] for status in forge.statuses[SHA]]
    failure = {"github": "failure", "gitlab": "failed"}[forge.kind]
    assert [state for state in states if state != "pending"] == [failure]
    assert all(len(status["description"]) <= 140 for status in forge.statuses[SHA])


@pytest.mark.parametrize("kind", ["github", "gitlab"])
async def test_a_lost_answer_and_a_late_double_leave_one_comment(serve: Serve, kind: str) -> None:
    forge = Forge(kind)
    client = await receiver(serve, forge, faults=[None, None, None, "lost"])
    with pytest.raises(DeliveryError) as raised:
        await client.send(notice("first"))
    assert raised.value.retry
    forge.comments[2000] = dict(forge.comments[1000])
    await client.send(notice("again"))
    assert [body.splitlines()[1] for body in forge.ours] == ["**again**"]


@pytest.mark.parametrize("kind", ["github", "gitlab"])
async def test_a_repository_that_cannot_be_seen_holds_up_no_other_one(serve: Serve, kind: str) -> None:
    client = await receiver(serve, Forge(kind), faults=[404])
    with pytest.raises(DeliveryError, match=r"/shop/|shop/repository") as raised:
        await client.send(notice())
    assert not raised.value.retry


@pytest.mark.parametrize("kind", ["github", "gitlab"])
async def test_where_nobody_may_comment_the_status_is_reported_alone(serve: Serve, kind: str) -> None:
    forge = Forge(kind, locked=True)
    await (await receiver(serve, forge)).send(notice(impact=degradation()))
    assert (forge.ours, len(forge.statuses[SHA])) == ([], 1)


@pytest.mark.parametrize("kind", ["github", "gitlab"])
async def test_what_has_no_commit_or_an_odd_one_is_not_reported(serve: Serve, kind: str) -> None:
    forge = Forge(kind)
    client = await receiver(serve, forge)
    for commit in (None, "main", "../../user", "6dcb09"):
        await client.send(notice(commit=commit))
    assert (forge.comments, forge.statuses) == ({}, {})


@pytest.mark.parametrize("kind", ["github", "gitlab"])
@pytest.mark.parametrize(("outcome", "passed"), [(Outcome.SUCCESS, True), (Outcome.FAILURE, False)])
async def test_a_humans_word_decides_the_status(serve: Serve, kind: str, outcome: Outcome, passed: bool) -> None:
    forge = Forge(kind)
    client = await receiver(serve, forge)
    await client.send(notice(labelled_outcome=outcome, impact=degradation(ShiftState.RECOVERED)))
    assert (forge.statuses[SHA][-1]["state"] == "success") is passed


@pytest.mark.parametrize(
    ("kind", "block"),
    [
        ("github", {"repositories": {"*": "acme/.."}}),
        ("github", {"repositories": {"*": "acme/shop/extra"}}),
        ("github", {}),
        ("gitlab", {"projects": {"*": "shop"}}),
        ("gitlab", {}),
    ],
)
def test_a_place_that_is_none_is_refused(kind: str, block: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        build("notify", kind, {"authorization": TOKEN, **block}, "notify[0]")


@given(text=st.text(alphabet=st.sampled_from("ab 1/@#!<>[]()*_`~\\|&;$%:{}\"'^+=-.\n\t"), min_size=1, max_size=60))
def test_text_from_outside_is_text_in_markdown_whatever_it_holds(text: str) -> None:
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(escaped(text))
    plain = html.unescape(re.sub(r"^<p>|</p>$", "", shown.strip())).replace("\u2060", "")
    assert plain == " ".join(text.split())
    assert not re.search(r"@(?!\u2060)", escaped(text))
    assert not escaped(text).startswith("/")


def test_the_story_stands_in_the_comment() -> None:
    assert HEADLINE in MarkdownIt().render(comment(notice(impact=degradation())))
