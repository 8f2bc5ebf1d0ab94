"""What a real engine said during nine scenarios becomes the updates that `streams/expected.json` names; also where the
exporter is started again at any event, and where it was away from it until the end."""

import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pytest

from afdp_exporter.feeds import Step
from afdp_exporter.feeds.swarm import Swarm, _Cursor
from feeds.recorded_kubernetes import FOLDER
from feeds.rollouts import alike, rollouts

EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())["swarm"]


@dataclass(frozen=True)
class Stream:
    """A scenario: what the service was found to be, and when; the first and the last were listed."""

    name: str

    @cached_property
    def services(self) -> list[tuple[datetime, dict[str, Any]]]:
        with gzip.open(FOLDER / f"swarm/{self.name}.jsonl.gz", "rt") as text:
            lines = [json.loads(line) for line in text]
        return [
            (datetime.fromtimestamp(line["at"], UTC), each)
            for line in lines
            if line["kind"] != "event"
            for each in (line["body"] if line["kind"] == "services" else [line["body"]])
        ]


STREAMS = [Stream(name) for name in EXPECTED]
FEED = Swarm()


def followed(stream: Stream, restarts: Iterable[int] = ()) -> list[Step]:
    """Everything that a feed says which is started again at some places; there it lists what it finds."""
    cursor = _Cursor(since=datetime.fromtimestamp(EXPECTED[stream.name]["since"], UTC))
    steps: list[Step] = []
    listed = {0, *restarts}
    for place, (at, service) in enumerate(stream.services):
        cursor = _Cursor.model_validate_json(cursor.model_dump_json())
        steps += FEED._steps(service, cursor, listed_at=at if place in listed else None)
    return steps


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_stream_becomes_the_updates_that_took_place(stream: Stream) -> None:
    alike(rollouts(followed(stream)), EXPECTED[stream.name]["rollouts"])


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_a_restart_at_any_event_loses_nothing_and_adds_nothing(stream: Stream) -> None:
    places = range(1, len(stream.services))
    alike(rollouts(followed(stream, places)), EXPECTED[stream.name]["rollouts"])
    for place in places:
        alike(rollouts(followed(stream, [place])), EXPECTED[stream.name]["rollouts"])


@pytest.mark.parametrize("name", ["scale-during-update", "label-during-update", "image-update"])
def test_an_update_that_ended_while_nobody_followed_is_reported_from_the_end(name: str) -> None:
    stream = Stream(name)
    cursor = _Cursor(since=datetime.fromtimestamp(EXPECTED[name]["since"], UTC))
    (first, before), (last, after) = stream.services[0], stream.services[-1]
    steps: list[Step] = [*FEED._steps(before, cursor, listed_at=first), *FEED._steps(after, cursor, listed_at=last)]
    (found,) = rollouts(steps)
    assert (found["version"], found["previous_version"]) == ("2", "1")
    assert [end["status"] for end in found["ends"]] == ["succeeded"]


def test_an_update_that_a_label_hides_is_reported_when_it_was_through_at_the_latest() -> None:
    """The newest change resets the status, and there was nothing left for it to do."""
    stream = Stream("image-update")
    cursor = _Cursor(since=datetime.fromtimestamp(EXPECTED["image-update"]["since"], UTC))
    (first, before), (last, after) = stream.services[0], stream.services[-1]
    hidden = {name: part for name, part in after.items() if name not in {"UpdateStatus", "PreviousSpec"}}
    hidden |= {"PreviousSpec": after["Spec"]}
    late = datetime.fromtimestamp(last.timestamp() + 600, UTC)
    steps: list[Step] = [*FEED._steps(before, cursor, listed_at=first), *FEED._steps(hidden, cursor, listed_at=late)]
    (found,) = rollouts(steps)
    assert (found["version"], found["previous_version"]) == ("2", "1")
    assert found["ends"][0]["at"] == found["start"]


def test_an_update_that_another_one_overtakes_is_called_off() -> None:
    first, second = Stream("image-update"), Stream("failing-and-paused")
    cursor = _Cursor(since=datetime.fromtimestamp(EXPECTED["image-update"]["since"], UTC))
    updating = next(service for _, service in first.services if (service.get("UpdateStatus") or {}).get("State"))
    overtaken = next(service for _, service in second.services if (service.get("UpdateStatus") or {}).get("State"))
    overtaken = {**overtaken, "ID": updating["ID"], "Spec": {**overtaken["Spec"], "Name": "image-update"}}
    steps: list[Step] = []
    for service in (first.services[0][1], updating, overtaken):
        steps += FEED._steps(service, cursor)
    assert [(each["version"], [end["status"] for end in each["ends"]]) for each in rollouts(steps)] == [
        ("2", ["cancelled"]),
        ("bad", []),
    ]
