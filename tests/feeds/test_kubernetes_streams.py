"""What a real API server said during twenty scenarios becomes the rollouts that `streams/expected.json` names.

Whole, with a restart at every event, and over HTTP in chunks of any size.
"""

import random
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import cast

import pytest

from afdp_exporter.feeds import PollRequest, Step
from afdp_exporter.feeds._cluster import Cluster
from afdp_exporter.feeds.kubernetes import Kubernetes, _Walk
from feeds.recorded_kubernetes import EXPECTED, Recorded, Stream
from feeds.rollouts import alike, rollouts

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
        if walk is not None and walk.ask_at is not None and walk.ask_at <= now:
            steps += await walk.ask(walk.ask_at)
        if walk is None or cluster.upto in chosen:
            cursor = walk.reached().cursor if walk is not None else None
            since = PollRequest(at=stream.since, now=now, cursor=cursor)
            walk = _Walk(FEED, cast("Cluster", cluster), since)
            changes = cluster.lists()
        else:
            changes = cluster.changes()
        for resource, change in changes:
            steps += walk.take(resource, change, now)
        cluster.upto += 1
    if walk is not None and walk.ask_at is not None:
        steps += await walk.ask(walk.ask_at)
    return steps


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
async def test_a_stream_becomes_the_rollouts_that_took_place(stream: Stream) -> None:
    alike(rollouts(await followed(stream)), EXPECTED[stream.name]["rollouts"])


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
async def test_a_restart_at_any_event_loses_nothing_and_adds_nothing(stream: Stream) -> None:
    places = list(range(stream.first() + 1, stream.last() + 1))
    alike(rollouts(await followed(stream, places[:: max(len(places) // 60, 1)])), EXPECTED[stream.name]["rollouts"])
    for restart in random.Random(stream.name).sample(places, min(len(places), MOST_READ // len(places))):
        alike(rollouts(await followed(stream, [restart])), EXPECTED[stream.name]["rollouts"])
