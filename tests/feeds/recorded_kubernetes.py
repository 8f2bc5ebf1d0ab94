"""Streams of a real API server: what it listed, and what its watches said, in the order in which it arrived."""

import copy
import gzip
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from afdp_exporter.feeds._cluster import Changed, Listed
from afdp_exporter.feeds._rollouts import KINDS, Resource

FOLDER = Path(__file__).parent / "streams"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text())["kubernetes"]
RESOURCES: dict[str, Resource] = {
    each.plural: each for each in (*(kind.revisions for kind in KINDS.values()), *KINDS.values())
}


@dataclass(frozen=True)
class Entry:
    """A line of a stream: a list, an event or the end of a watch."""

    at: float
    resource: str
    items: tuple[dict[str, Any], ...] | None = None
    version: int = 0
    type: str = ""
    content: dict[str, Any] = field(default_factory=dict)
    absent: bool = False


@dataclass(frozen=True)
class Stream:
    """A scenario."""

    name: str

    @cached_property
    def entries(self) -> list[Entry]:
        """All lines."""
        with gzip.open(FOLDER / f"kubernetes/{self.name}.jsonl.gz", "rt") as lines:
            return [_entry(json.loads(line)) for line in lines]

    @property
    def since(self) -> datetime:
        """What ended before is not reported."""
        return datetime.fromtimestamp(EXPECTED[self.name]["since"], UTC)

    def first(self) -> int:
        """Where the events begin."""
        return next(place for place, each in enumerate(self.entries) if each.items is None and not each.absent)

    def last(self) -> int:
        """Where only the lists at the end are left."""
        return max(place for place, each in enumerate(self.entries, 1) if each.type)

    def state(self, resource: str, upto: int) -> dict[str, dict[str, Any]]:
        """The objects of a resource after some entries; never older than the newest event among them."""
        found: dict[str, dict[str, Any]] = {}
        newest = max((each.version for each in self.entries[:upto]), default=0)
        for place, each in enumerate(self.entries):
            if each.resource != resource or (place >= upto and not 0 < each.version <= newest):
                continue
            if each.items is not None:
                found = {item["metadata"]["uid"]: item for item in each.items}
            elif each.type == "DELETED":
                found.pop(each.content["metadata"]["uid"], None)
            elif each.type in {"ADDED", "MODIFIED"}:
                found[each.content["metadata"]["uid"]] = each.content
        return copy.deepcopy(found)


@dataclass
class Recorded:
    """The cluster of a stream as it was after some entries, for a walk that asks it for revisions."""

    stream: Stream
    upto: int = 0
    namespaces: tuple[str | None, ...] = (None,)

    async def kept(self, revisions: Resource, namespace: str | None, _: object) -> list[dict[str, Any]]:
        """As the server lists them."""
        found = self.stream.state(revisions.plural, self.upto).values()
        return [each for each in found if each["metadata"]["namespace"] == namespace]

    def lists(self) -> list[tuple[Resource, Changed | Listed]]:
        """Everything, as it is listed at the start."""
        found: list[tuple[Resource, Changed | Listed]] = []
        for plural, resource in RESOURCES.items():
            found += [(resource, Changed(each)) for each in self.stream.state(plural, self.upto).values()]
            found.append((resource, Listed()))
        return found

    def changes(self) -> list[tuple[Resource, Changed | Listed]]:
        """What the newest entry says to a reader who follows."""
        each = self.stream.entries[self.upto - 1]
        resource = RESOURCES[each.resource]
        if each.items is not None:
            return [*((resource, Changed(item)) for item in each.items), (resource, Listed())]
        if each.type in {"ADDED", "MODIFIED", "DELETED"}:
            return [(resource, Changed(each.content, deleted=each.type == "DELETED"))]
        return []


def _entry(line: dict[str, Any]) -> Entry:
    at, resource = line["at"], line["resource"]
    if event := line.get("event"):
        content = event["object"]
        version = int(content.get("metadata", {}).get("resourceVersion") or 0)
        return Entry(at, resource, version=version, type=event["type"], content=content)
    if listed := line.get("list"):
        version = int(listed["metadata"]["resourceVersion"])
        return Entry(at, resource, items=tuple(listed["items"]), version=version)
    return Entry(at, resource, absent="end" not in line)
