"""Parquet files: the same series as from CSV, in a folder or a bucket, and what is wrong is said with its column."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Window
from afdp_exporter.sources import ask
from afdp_exporter.sources.parquet import Parquet

START = 1_700_000_040  # a multiple of 60
WINDOW = Window(start=datetime.fromtimestamp(START, UTC), end=datetime.fromtimestamp(START + 120, UTC))
STEP = timedelta(seconds=60)


def written(file: Path, **columns: object) -> Path:
    table = {"timestamp": [START + 0.0], "metric": ["latency"], "value": [1.0], **columns}
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: column for name, column in table.items() if column is not None}), file)
    return file


async def values_of(path: str) -> Mapping[str, list[float]]:
    found = await ask(Parquet(path=path), "latency", {}, WINDOW, STEP)
    return {each.labels.get("service", ""): each.values.tolist() for each in found}


async def test_files_of_all_folders_below_are_one_recording(tmp_path: Path) -> None:
    written(tmp_path / "day=1/a.parquet", service=["cart"])
    written(tmp_path / "day=2/b.parquet", timestamp=[START + 60], service=["cart"], value=[2])
    written(tmp_path / "day=2/c.parquet", timestamp=[START + 60], service=["cart"], value=[3])
    found = await values_of(str(tmp_path))
    assert found["cart"][:2] == [1, 3]


async def test_time_stamps_dictionaries_and_small_numbers_are_read_too(tmp_path: Path) -> None:
    times = pd.to_datetime(np.array([START, START + 60, START + 120]), unit="s", utc=True)
    written(
        tmp_path / "a.parquet",
        timestamp=pa.array(times, pa.timestamp("ns", "UTC")),
        metric=pa.array(["latency"] * 3).dictionary_encode(),
        service=pa.array(["cart", "cart", None]),
        value=pa.array([0.5, None, 2.0], pa.float32()),
    )
    found = await values_of(str(tmp_path))
    assert np.array_equal(found["cart"], [0.5, np.nan, np.nan], equal_nan=True)
    assert found[""][-1] == 2


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"value": None}, "the column value is missing"),
        ({"a b": ["x"]}, "column 'a b'"),
        ({"timestamp": [START * 1e3]}, "column timestamp"),
        ({"timestamp": pa.array([None], pa.float64())}, "column timestamp"),
        ({"timestamp": ["yesterday"]}, "column timestamp: string"),
        ({"metric": [""]}, "column metric: a name is missing"),
        ({"service": [7]}, "column service: int64"),
        ({"value": ["1"]}, "column value: string"),
    ],
)
async def test_what_is_wrong_is_said_with_its_file_and_column(
    tmp_path: Path, columns: dict[str, object], fault: str
) -> None:
    written(tmp_path / "shop.parquet", **columns)
    with pytest.raises(SourceRefused) as refused:
        await values_of(str(tmp_path))
    assert str(refused.value).startswith("shop.parquet: ")
    assert fault in str(refused.value)


async def test_what_cannot_be_read_or_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused, match=r"holds no \.parquet file"):
        await values_of(str(tmp_path))
    with pytest.raises(SourceRefused, match="cannot be listed"):
        await values_of(str(tmp_path / "absent"))
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(SourceRefused, match=r"broken\.parquet: cannot be read"):
        await values_of(str(tmp_path))


async def test_a_bucket_is_read_like_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path / "a.parquet", service=["cart"])
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        for name, value in {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}.items():
            monkeypatch.setenv(name, value)
        bucket = boto3.client("s3", region_name="us-east-1", endpoint_url=f"http://{host}:{port}")
        bucket.create_bucket(Bucket="history")
        bucket.upload_file(str(file), "history", "series/a.parquet")
        where = f"s3://history/series?region=us-east-1&scheme=http&endpoint_override={host}%3A{port}"
        assert (await values_of(where))["cart"][0] == 1
    finally:
        server.stop()
