"""The world as files: a recording, its deployments, its truth, and a configuration that reads them."""

import gzip
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
import yaml
from numpy.typing import NDArray
from pydantic import TypeAdapter

from afdp_exporter.demo import shop
from afdp_exporter.demo.effects import Effect
from afdp_exporter.demo.world import World
from afdp_exporter.model import CalendarEntry, Deployment, Metric, Series, Service

_RECEIPT = {"received_at", "received_from"}


def write_recording(world: World, folder: Path) -> None:
    """Write `recording/*.csv.gz`, `deployments.jsonl`, `truth.jsonl` and `afdp.yml` into `folder`, made if need be.

    Raises OSError.
    """
    recording = folder / "recording"
    recording.mkdir(parents=True, exist_ok=True)
    for metric, series in groupby(sorted(world.series, key=_metric), key=_metric):
        content = b"timestamp,metric,service,value\n" + b"".join(map(_rows, series))
        (recording / f"{metric}.csv.gz").write_bytes(gzip.compress(content, compresslevel=1, mtime=0))
    (folder / "deployments.jsonl").write_bytes(_lines(map(body, world.deployments)))
    (folder / "truth.jsonl").write_bytes(_lines(map(_plain, world.truth)))
    configuration = yaml.safe_dump(_configuration(world, recording), sort_keys=False, allow_unicode=True)
    (folder / "afdp.yml").write_text(configuration, encoding="utf-8")


def body(deployment: Deployment) -> dict[str, Any]:
    """A deployment as its sender reports it: a body of `POST /api/v1/deployments`."""
    return _plain(deployment, exclude=_RECEIPT)


def _metric(series: Series) -> str:
    return series.metric


def _rows(series: Series) -> bytes:
    name = f",{series.metric},{series.labels.get('service', '')},".encode()
    rows = zip(_numbers(series.times.astype("int64")), _numbers(series.values), strict=True)
    return b"\n".join(map(name.join, rows)) + b"\n"


def _numbers(values: NDArray[Any]) -> list[bytes]:
    """Every value as text; by far the fastest way to write two million of them."""
    return orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


def _lines(values: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE) for value in values)


def _configuration(world: World, recording: Path) -> dict[str, Any]:
    return {
        "sources": [{"name": "recording", "kind": "recording", "path": str(recording.resolve())}],
        "metrics": [_plain(metric) for metric in shop.METRICS],
        "services": [_plain(service) for service in shop.SERVICES],
        "calendar": [_plain(world.sale)],
    }


def _plain(
    value: Deployment | Effect | Metric | CalendarEntry | Service, exclude: Iterable[str] = ()
) -> dict[str, Any]:
    """What a value says beyond its defaults, in the types of JSON and YAML."""
    plain: dict[str, Any] = TypeAdapter(type(value)).dump_python(
        value, mode="json", exclude_defaults=True, exclude=set(exclude)
    )
    return plain
