"""What a feed says, as the expected values of the recorded streams are written."""

from datetime import UTC, datetime
from typing import Any

import pytest

from afdp_exporter.feeds import Step
from afdp_exporter.model import Announcement, Status
from afdp_exporter.tracking.mapping import resolve_service
from afdp_exporter.tracking.merge import merge_announcements


def ends(announcements: list[Announcement]) -> list[dict[str, Any]]:
    found = [each for each in announcements if each.status is not Status.STARTED]
    known = {(str(each.status), each.at): each for each in found}
    return [{"status": status, "at": at and at.timestamp()} for status, at in sorted(known, key=lambda key: key[1])]


def rollouts(steps: list[Step]) -> list[dict[str, Any]]:
    """As the expected values are written."""
    by_key: dict[str, list[Announcement]] = {}
    for each in steps:
        if isinstance(each, Announcement):
            by_key.setdefault(each.key, []).append(each)
    found = []
    for announcements in by_key.values():
        placed = [one for each in announcements if isinstance(one := resolve_service(each, ()), Announcement)]
        life = merge_announcements(placed, received_at=datetime.now(UTC))
        assert life is not None
        deployment = life.deployment
        assert deployment.status == (ends(announcements)[-1]["status"] if ends(announcements) else "started")
        found.append(
            {
                "service": deployment.service,
                "version": deployment.version,
                "previous_version": deployment.previous_version,
                "start": deployment.started_at.timestamp(),
                "ends": ends(announcements),
            }
        )
    return sorted(found, key=lambda each: (each["start"], each["service"]))


def alike(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Equal, with times within a second of each other; an end whose second was not recorded may be at any."""
    wanted = sorted(expected, key=lambda each: (each["start"], each["service"]))
    words = ("service", "version", "previous_version")
    assert sorted([each[word] for word in words] for each in found) == sorted(
        [each.get(word) for word in words] for each in wanted
    )
    if len({each["service"] for each in wanted}) > 1:  # many at once: by their names
        found, wanted = (sorted(each, key=lambda one: one["service"]) for each in (found, wanted))
    for each, rollout in zip(found, wanted, strict=True):
        assert each["start"] == pytest.approx(rollout["start"], abs=1), each
        assert [end["status"] for end in each["ends"]] == [end["status"] for end in rollout["ends"]], each
        for end, known in zip(each["ends"], rollout["ends"], strict=True):
            assert known["at"] is None or end["at"] == pytest.approx(known["at"], abs=1), each
