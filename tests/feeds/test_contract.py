"""What every feed promises, and what is made of it: kept before its place is, once, and never stopped by one."""

import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds import Checkpoint, PollRequest, Step
from afdp_exporter.model import Announcement, Ignored, Origin, Status
from afdp_exporter.settings import kinds
from feeds.conftest import START, Listening

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", kinds("feeds"))
def test_a_feed_has_its_method_its_rest_its_page_and_its_tests(kind: str) -> None:
    plugin = import_module(f"afdp_exporter.feeds.{kind}").PLUGIN
    assert inspect.isasyncgenfunction(plugin.deployments)
    assert isinstance(plugin.interval, timedelta)
    assert f"\n## `{kind}`\n" in (ROOT / "docs/feeds.md").read_text()
    assert (ROOT / f"tests/feeds/test_{kind}.py").exists()


@pytest.mark.parametrize("kind", kinds("feeds"))
def test_every_setting_of_a_feed_is_on_its_page(kind: str) -> None:
    plugin = import_module(f"afdp_exporter.feeds.{kind}").PLUGIN
    page = (ROOT / "docs/feeds.md").read_text()
    settings = {name for name in inspect.signature(plugin).parameters if not name.startswith("_")}
    assert not [name for name in sorted(settings) if f"`{name}`" not in page]


def announced(number: int, service: str | None = "api") -> Announcement:
    return Announcement(
        sender="scripted",
        key=str(number),
        event="done",
        at=START + timedelta(minutes=number),
        status=Status.SUCCEEDED,
        origin=Origin(service=service),
        version=f"v{number}",
    )


@dataclass(frozen=True)
class Scripted:
    """Yields what it is given, walk by walk."""

    walks: list[list[Step | Exception]]
    interval: timedelta = timedelta(milliseconds=1)
    asked: list[PollRequest] = field(default_factory=list)

    async def deployments(self, since: PollRequest) -> AsyncIterator[Step]:
        self.asked.append(since)
        for step in self.walks.pop(0) if self.walks else [Checkpoint("end")]:
            if isinstance(step, Exception):
                raise step
            yield step


async def test_what_is_reported_before_a_feed_breaks_off_stays_and_is_reported_again_as_the_same(
    listening: Listening,
) -> None:
    feed = Scripted(
        [
            [announced(1), Checkpoint("1"), announced(2), FeedError("away")],
            [announced(2), announced(3), Checkpoint("3")],
        ]
    )
    async with listening.following(feed) as ear:
        await ear.until(lambda: ear.states == [False, True] or len(ear.states) > 2)
    assert [each.key for each in ear.heard] == ["1", "2", "3"]
    assert [since.cursor for since in feed.asked[:2]] == [None, "1"]
    assert await listening.store.cursors.find("feed") in {"3", "end"}
    assert len(await listening.deployments()) == 3


async def test_one_that_nobody_can_use_is_left_out_and_stops_nothing(listening: Listening) -> None:
    ahead = Announcement(
        sender="scripted",
        key="0",
        event="done",
        at=listening.now + timedelta(days=1),
        status=Status.SUCCEEDED,
        origin=Origin(service="api"),
    )
    feed = Scripted([[ahead, announced(1, service=None), Ignored(reason="by itself"), announced(2), Checkpoint("2")]])
    assert await listening.catch_up(feed) == 1
    assert len(listening.ear.ignored) == 3
    assert "clock" in listening.ear.ignored[0]


async def test_a_fault_that_nobody_foresaw_keeps_no_other_feed_waiting(listening: Listening) -> None:
    odd, well = Scripted([[KeyError("odd")]]), Scripted([[announced(1), Checkpoint("1")]])
    async with listening.following(odd) as ear:
        await ear.until(lambda: False in ear.states)
    async with listening.following(well):
        await ear.until(lambda: True in ear.states)
    assert len(ear.heard) == 1


async def test_a_feed_that_was_never_read_begins_a_day_ago_and_an_import_where_it_is_asked_to(
    listening: Listening,
) -> None:
    feed = Scripted([])
    await listening.catch_up(feed, since=START - timedelta(days=300))
    async with listening.following(Scripted([], asked=feed.asked)) as ear:
        await ear.until(lambda: True in ear.states)
    first, then = feed.asked[:2]
    assert first.at == START - timedelta(days=300)
    assert (then.cursor, then.at) == ("end", then.now - timedelta(days=1))
