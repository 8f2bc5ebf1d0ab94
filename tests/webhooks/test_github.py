"""GitHub's own examples, every one of them."""

import json
from collections import Counter
from typing import Any

from afdp_exporter.fields import read_time
from afdp_exporter.model import Announcement, CommitChange, Deployment, Ignored, Status
from afdp_exporter.settings import build
from afdp_exporter.tracking.mapping import resolve_service
from afdp_exporter.tracking.merge import merge_announcements
from afdp_exporter.webhooks import Parsed

Examples = dict[str, list[dict[str, Any]]]


def parsed(event: str, body: dict[str, Any], **settings: object) -> list[Parsed]:
    found: list[Parsed] = build("webhooks", "github", settings, "").parse(
        {"x-github-event": event, "content-type": "application/json"}, json.dumps(body).encode()
    )
    return found


def deployment(event: str, body: dict[str, Any], **settings: object) -> Deployment:
    placed = [resolve_service(each, ()) for each in parsed(event, body, **settings) if isinstance(each, Announcement)]
    life = merge_announcements([each for each in placed if isinstance(each, Announcement)], received_at=read_time(0))
    assert life is not None
    return life.deployment


def test_every_deployment_ends_as_the_right_one(github_examples: Examples) -> None:
    assert len(github_examples["deployment"]) >= 4
    for body in github_examples["deployment"]:
        found, source = deployment("deployment", body), body["deployment"]
        assert found.id == f"github:{body['repository']['full_name'].replace('/', ':')}:{source['id']}"
        assert (found.service, found.environment) == ("Hello-World", source["environment"])
        assert (found.commit, found.version) == (source["sha"], source["sha"][:7])
        assert (found.status, found.started_at) == (Status.STARTED, read_time(source["created_at"]))
        assert found.actor == source["creator"]["login"]


def test_every_status_ends_as_the_right_deployment(github_examples: Examples) -> None:
    states = {"success": Status.SUCCEEDED, "in_progress": Status.STARTED}
    assert len(github_examples["deployment_status"]) >= 4
    for body in github_examples["deployment_status"]:
        found, state = deployment("deployment_status", body), body["deployment_status"]
        assert found.started_at == read_time(body["deployment"]["created_at"])
        ended = None if state["state"] == "in_progress" else read_time(state["created_at"])
        assert (found.status, found.finished_at) == (states[state["state"]], ended)


def test_a_release_counts_once_it_is_published_for_all(github_examples: Examples) -> None:
    counted = []
    for body in github_examples["release"]:
        (each,) = parsed("release", body)
        counts = body["action"] in {"published", "released"} and not body["release"]["prerelease"]
        assert isinstance(each, Announcement) is counts, body["action"]
        if counts:
            found = deployment("release", body)
            assert (found.version, found.environment, found.status) == ("0.0.1", "production", Status.SUCCEEDED)
            published = read_time("2019-05-15T15:20:53Z")
            assert found.started_at == (published if body["action"] == "published" else found.received_at)
            counted.append(found.id)
    assert len(counted) >= 3
    assert len(set(counted)) == 1


def test_the_runs_of_chosen_workflows_are_deployments(github_examples: Examples) -> None:
    states = []
    for body in github_examples["workflow_run"]:
        assert isinstance(parsed("workflow_run", body)[0], Ignored)
        run = body["workflow_run"]
        if body["action"] == "completed" and run["conclusion"] != "success":
            assert isinstance(parsed("workflow_run", body, workflows=["*"])[0], Ignored)
            continue
        found = deployment("workflow_run", body, workflows=["test.yml", "manually *"])
        assert found.commit == run["head_sha"]
        states.append(found.status)
    assert Counter(states) == {Status.SUCCEEDED: 2, Status.PLANNED: 2}


def test_every_other_event_is_ignored_with_a_reason(github_examples: Examples) -> None:
    others = set(github_examples) - {"deployment", "deployment_status", "release", "workflow_run", "push"}
    assert len(others) > 40
    for event in others:
        for body in github_examples[event]:
            (each,) = parsed(event, body)
            assert isinstance(each, Ignored), event


def test_a_push_shows_what_its_last_commit_changed(github_examples: Examples) -> None:
    described = [
        each for body in github_examples["push"] for each in parsed("push", body) if isinstance(each, CommitChange)
    ]
    assert len(described) == 2
    for change in described:
        assert change.commit == "6113728f27ae82c7b1a177c8d03f9e96e0adf246"
        assert change.traits == {"files_changed": 1.0, "documents_changed": 1.0, "commits": 1.0, "author": "Codertocat"}
