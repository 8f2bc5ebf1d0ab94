"""Both stories of the demo's shop, found by the exporter from series alone: a recording's, and a real Prometheus'."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from afdp_exporter.demo import shop
from afdp_exporter.demo.effects import Effect
from afdp_exporter.demo.recording import body, write_recording
from afdp_exporter.model import Deployment
from real_parts.exporter import Exporter
from real_parts.fixtures import running
from real_parts.servers import Prometheus
from real_parts.shop import Shop
from real_parts.waiting import until

MINUTE = timedelta(minutes=1)
PATIENCE = 300.0  # seconds
DAYS = 54  # back to a week before the first update of the API


@dataclass(frozen=True)
class Story:
    """What a deployment truly did, and what was reported of it."""

    deployment: Deployment
    truth: dict[str, Effect]
    report: dict[str, Any]

    @property
    def moved(self) -> dict[str, dict[str, Any]]:
        """The impacts of the planted metrics."""
        return {impact["metric"]: impact for impact in self.report["impacts"] if impact["metric"] in self.truth}

    @property
    def cost(self) -> dict[str, Any]:
        (cost,) = self.report["costs"]
        return dict(cost)


@dataclass(frozen=True)
class Parsed:
    update: Story
    migration: Story
    earlier_updates: tuple[str, ...]  # newest first


def from_a_recording(shop: Shop, folder: Path) -> Iterator[dict[str, Any]]:
    write_recording(replace(shop.world, series=tuple(shop.series(DAYS))), folder / "shop")
    yield yaml.safe_load((folder / "shop" / "afdp.yml").read_text("utf-8"))


def from_a_prometheus(shop: Shop, folder: Path) -> Iterator[dict[str, Any]]:
    write_recording(replace(shop.world, series=()), folder / "shop")
    config = yaml.safe_load((folder / "shop" / "afdp.yml").read_text("utf-8"))
    with running(Prometheus(folder / "prometheus")) as prometheus:
        prometheus.remote_write(shop.series(DAYS))
        yield config | {"sources": [{"name": "prometheus", "kind": "prometheus", "url": prometheus.url}]}


@pytest.fixture(scope="module", params=[from_a_recording, from_a_prometheus])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parsed]:
    """The API's deployments that do something, reported to an exporter that reads the shop's series; both stories."""
    lived, folder = Shop(), tmp_path_factory.mktemp("stories")
    world = lived.world
    stories = (world.update, world.migration)
    effective = [each for each in world.deployments if each.service == shop.API and world.effects(each.id)]
    others = [each for each in effective if each not in stories]
    for config in request.param(lived, folder):
        with running(Exporter(folder / "exporter", config)) as exporter:
            for deployments in (others, stories):
                for deployment in deployments:
                    assert exporter.curl("/api/v1/deployments", body(deployment))[0] == 201
                reports = [answered(exporter, deployment) for deployment in deployments]
        update, migration = (
            Story(each, {effect.metric: effect for effect in world.effects(each.id)}, report)
            for each, report in zip(stories, reports, strict=True)
        )
        alike = {
            effect.deployment_id for effect in world.truth if effect.metric == shop.ABANDONMENT and effect.size > 0
        }
        earlier = tuple(each.id for each in reversed(others) if each.id in alike)
        yield Parsed(update=update, migration=migration, earlier_updates=earlier)


def answered(exporter: Exporter, deployment: Deployment) -> dict[str, Any]:
    """What is reported once each check that is due was answered."""
    path = f"/api/v1/deployments/{deployment.id}"

    def waiting() -> list[dict[str, Any]]:
        now = datetime.now(UTC)
        looks = exporter.get(path)["looks"]
        return [
            each
            for each in looks
            if each["state"] in {"due", "waiting", "running"} and datetime.fromisoformat(each["due_at"]) <= now
        ]

    until(lambda: exporter.get(path)["measured_at"] and not waiting(), lambda: exporter.get(path)["story"], PATIENCE)
    return dict(exporter.get(path))


def names_in_order(story: Story, *groups: tuple[str, ...]) -> None:
    """Each group of names stands in the first sentence, wholly behind the one before."""
    sentence = story.report["story"][0]
    places = [[sentence.index(name) for name in names] for names in groups]
    assert all(max(one) < min(other) for one, other in pairwise(places)), sentence


def every_step_is_found(story: Story) -> None:
    assert {metric: impact["verdict"] for metric, impact in story.moved.items()}.keys() == story.truth.keys()
    assert all(impact["verdict"] in {"attributed", "transient"} for impact in story.moved.values())
    followed = {link["to"] for link in story.report["sequence"]}
    first = min(effect.onset for effect in story.truth.values())
    assert {metric for metric, effect in story.truth.items() if effect.onset > first} <= followed
    for link in story.report["sequence"]:
        cause, effect = (story.truth[link[end]].onset for end in ("from", "to"))
        if not link["together"]:
            assert cause < effect, link["sentence"]


def test_the_update_is_reported_step_by_step_in_its_order(both: Parsed) -> None:
    every_step_is_found(both.update)
    names_in_order(both.update, ("request latency p95",), ("mobile sessions", "cart abandonment"), ("revenue",))


def test_the_true_values_of_the_update_lie_inside_their_ranges_and_so_does_its_money(both: Parsed) -> None:
    for metric, impact in both.update.moved.items():
        effect = both.update.truth[metric]
        assert impact["low"] <= effect.size <= impact["high"], metric
        onset = datetime.fromisoformat(impact["onset_low"]), datetime.fromisoformat(impact["onset_high"])
        assert onset[0] <= effect.onset <= onset[1], metric
    assert both.update.cost["per_hour"]["low"] <= 1200 <= both.update.cost["per_hour"]["high"]
    assert not both.update.cost["ended"]


def test_the_update_did_what_three_earlier_ones_did(both: Parsed) -> None:
    assert len(both.earlier_updates) == 3
    assert both.update.report["seen_before"]["deployments"] == list(both.earlier_updates)
    assert "the same sequence followed three earlier deployments" in both.update.report["story"][0]


def test_the_migration_is_reported_with_its_times_and_its_money(both: Parsed) -> None:
    every_step_is_found(both.migration)
    names_in_order(both.migration, ("db lock wait", "request latency p95", "error"), ("queue backlog jobs", "revenue"))
    for metric, impact in both.migration.moved.items():
        effect = both.migration.truth[metric]
        assert effect.duration
        lasted = timedelta(seconds=impact["duration_seconds"])
        assert abs(lasted - effect.duration) <= MINUTE + effect.duration / 10, metric
        if metric != shop.BACKLOG:  # it has no one size: it grows and drains
            assert impact["low"] <= effect.size <= impact["high"], metric
    total, true = both.migration.cost["total"], 2400 / 6
    assert total["low"] <= true <= total["high"]
    assert both.migration.cost["ended"]
