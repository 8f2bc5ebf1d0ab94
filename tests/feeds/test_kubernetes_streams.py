"""What a real API server said during twenty scenarios becomes the rollouts that `streams/expected.json` names.

Whole, with a restart at every event, and over HTTP in chunks of any size.
"""

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from afdp_exporter.feeds import Since, Step
from afdp_exporter.feeds._cluster import Cluster
from afdp_exporter.feeds.kubernetes import Kubernetes, _Walk
from afdp_exporter.model import Announcement, Status
from afdp_exporter.tracking.life import assemble
from afdp_exporter.tracking.mapping import place
from feeds.recorded_kubernetes import EXPECTED, Recorded, Stream

STREAMS = [Stream(name) for name in EXPECTED]
FEED = Kubernetes()
MOST_READ = 6000  # entries of a stream, over all of its restarts


async def followed(stream: Stream, restarts: Iterable[int] = ()) -> list[Step]:
    """Everything that a feed says of a stream which is started again behind some of its entries."""
    cluster = Recorded(stream, upto=stream.first())
    steps: list[Step] = []
    walk: _Walk | None = None
    chosen, cursor = set(restarts), None
    while cluster.upto <= stream.last():
        now = datetime.fromtimestamp(stream.entries[cluster.upto - 1].at, UTC)
        if walk is None or cluster.upto in chosen:
            cursor = walk.reached().cursor if walk is not None else None
            since = Since(at=stream.since, now=now, cursor=cursor)
            walk = _Walk(FEED, cast("Cluster", cluster), since)
            changes = cluster.lists()
        else:
            changes = cluster.changes()
        for resource, change in changes:
            steps += await walk.take(resource, change, now)
        cluster.upto += 1
    return steps


def ends(told: list[Announcement]) -> list[dict[str, Any]]:
    found = [each for each in told if each.status is not Status.STARTED]
    known = {(str(each.status), each.at): each for each in found}
    return [{"status": status, "at": at and at.timestamp()} for status, at in sorted(known, key=lambda key: key[1])]


def rollouts(steps: list[Step]) -> list[dict[str, Any]]:
    """As the expected values are written."""
    by_key: dict[str, list[Announcement]] = {}
    for each in steps:
        if isinstance(each, Announcement):
            by_key.setdefault(each.key, []).append(each)
    found = []
    for told in by_key.values():
        placed = [one for each in told if isinstance(one := place(each, ()), Announcement)]
        life = assemble(placed, received_at=datetime.now(UTC))
        assert life is not None
        deployment = life.deployment
        assert deployment.status == (ends(told)[-1]["status"] if ends(told) else "started")
        found.append(
            {
                "service": deployment.service,
                "version": deployment.version,
                "previous_version": deployment.previous_version,
                "start": deployment.started_at.timestamp(),
                "ends": ends(told),
            }
        )
    return sorted(found, key=lambda each: (each["start"], each["service"]))


def alike(found: list[dict[str, Any]], stream: Stream) -> None:
    """Equal, with times within a second of each other; an end whose second was not recorded may be at any."""
    wanted = sorted(EXPECTED[stream.name]["rollouts"], key=lambda each: (each["start"], each["service"]))
    words = ("service", "version", "previous_version")
    assert sorted([each[word] for word in words] for each in found) == sorted(
        [each.get(word) for word in words] for each in wanted
    )
    if len({each["service"] for each in wanted}) > 1:  # many at once: by their names
        found, wanted = (sorted(each, key=lambda one: one["service"]) for each in (found, wanted))
    for each, expected in zip(found, wanted, strict=True):
        assert each["start"] == pytest.approx(expected["start"], abs=1), each
        assert [end["status"] for end in each["ends"]] == [end["status"] for end in expected["ends"]], each
        for end, known in zip(each["ends"], expected["ends"], strict=True):
            assert known["at"] is None or end["at"] == pytest.approx(known["at"], abs=1), each


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
async def test_a_stream_becomes_the_rollouts_that_took_place(stream: Stream) -> None:
    alike(rollouts(await followed(stream)), stream)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
async def test_a_restart_at_any_event_loses_nothing_and_adds_nothing(stream: Stream) -> None:
    places = list(range(stream.first() + 1, stream.last() + 1))
    alike(rollouts(await followed(stream, places[:: max(len(places) // 60, 1)])), stream)
    for restart in random.Random(stream.name).sample(places, min(len(places), MOST_READ // len(places))):
        alike(rollouts(await followed(stream, [restart])), stream)
