"""The demo's world as files: what is read back is the world."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import orjson

from afdp_exporter.config import load
from afdp_exporter.demo import shop
from afdp_exporter.demo.recording import write_recording
from afdp_exporter.demo.world import World
from afdp_exporter.model import Window
from afdp_exporter.sources import ask


async def test_the_written_configuration_reads_the_same_series(world: World, tmp_path: Path) -> None:
    write_recording(world, tmp_path / "new" / "folder")
    config = load(tmp_path / "new" / "folder" / "afdp.yml")
    assert config.metrics == shop.METRICS
    assert tuple(config.services.values()) == shop.SERVICES
    assert config.calendar == (world.sale,)
    window = Window(start=world.end - timedelta(days=9), end=world.end)
    for metric in (*shop.METRICS, None):
        query = metric.query.replace("$service", shop.API) if metric else shop.VISITS
        (found,) = await ask(config.sources["recording"], query, {}, window, shop.STEP)
        (original,) = [s for s in world.series if s.metric == found.metric and s.labels == dict(found.labels)]
        during = np.isin(original.times, found.times)
        assert np.array_equal(found.times, original.times[during])
        assert np.array_equal(found.values, original.values[during])


def test_deployments_and_truth_are_json_lines_by_the_same_ids(world: World, tmp_path: Path) -> None:
    write_recording(world, tmp_path)
    deployments = [orjson.loads(line) for line in (tmp_path / "deployments.jsonl").read_bytes().splitlines()]
    truth = [orjson.loads(line) for line in (tmp_path / "truth.jsonl").read_bytes().splitlines()]
    assert [d["id"] for d in deployments] == [d.id for d in world.deployments]
    assert {effect["deployment_id"] for effect in truth} <= {d["id"] for d in deployments}
    story = next(d for d in deployments if d["id"] == world.update.id)
    assert story["started_at"] == world.update.started_at.isoformat().replace("+00:00", "Z")
    assert story["change_types"] == ["code"]
    assert "received_at" not in story
