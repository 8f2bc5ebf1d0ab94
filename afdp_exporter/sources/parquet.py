"""A recording in Parquet files, on this machine or in a bucket: what a backfill reads without a metrics server."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Series
from afdp_exporter.settings import STRICT
from afdp_exporter.sources._spooled import LATEST, SpooledSeries, SpooledStore, column_fault, labels_of, spool
from afdp_exporter.sources.recording import Recorded

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.fs import FileSystem

NO_PACKAGE = "Parquet needs the package pyarrow: pip install 'afdp-exporter[parquet]'"

_ROWS = 200_000  # read at once
_MICROSECONDS = 1e6


@dataclass(frozen=True, kw_only=True)
class Parquet(Recorded):
    """The `.parquet` files of a folder or of `s3://BUCKET/PREFIX`, whose region and keys are found as AWS' SDKs do.

    Columns: `timestamp` (Unix seconds, or a time stamp in UTC), `metric`, any labels (texts), `value`.
    """

    __pydantic_config__: ClassVar = STRICT

    path: str

    def read(self) -> list[SpooledSeries]:
        """All series, joined across files; of two samples of one series at one time that of the later name counts."""
        try:
            import pyarrow.fs  # noqa: PLC0415 - an extra
        except ImportError:
            raise SourceRefused("no_package", NO_PACKAGE) from None
        store = SpooledStore()
        try:
            system, root = _place(self.path)
            found = system.get_file_info(pyarrow.fs.FileSelector(root, recursive=True))
            files = sorted(each.path for each in found if each.is_file and each.path.endswith(".parquet"))
        except (OSError, ValueError) as error:
            raise _refusal(self.path, f"cannot be listed: {error}") from None
        if not files:
            raise _refusal(self.path, "holds no .parquet file")
        for file in files:
            _read(system, file, store)
        return store.series()


def write(file: Path, found: Iterable[Series]) -> int:
    """Keep series as one file that this source reads, whole or not at all; how many samples there are, gaps included.

    The labels of all series are the same. Raises SourceRefused where the package is missing, and OSError.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise SourceRefused("no_package", NO_PACKAGE) from None
    series = sorted(found, key=lambda each: sorted(each.labels.items()))
    lengths = [each.times.size for each in series]

    def texts(words: Iterable[str]) -> "pa.Array":
        return pa.array(np.repeat(np.array(list(words), dtype=object), lengths), pa.string()).dictionary_encode()

    columns = {"timestamp": pa.array(np.concatenate([each.times for each in series]))}
    columns["metric"] = texts(each.metric for each in series)
    for label in series[0].labels:
        columns[label] = texts(each.labels[label] for each in series)
    columns["value"] = pa.array(np.concatenate([each.values for each in series]), from_pandas=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    pq.write_table(pa.table(columns), unfinished, compression="zstd")
    unfinished.replace(file)
    return sum(lengths)


def _place(path: str) -> "tuple[FileSystem, str]":
    from pyarrow.fs import FileSystem, LocalFileSystem  # noqa: PLC0415

    if "://" in path:
        system, root = FileSystem.from_uri(path)
        return system, str(root)
    return LocalFileSystem(), path


def _read(system: "FileSystem", path: str, store: SpooledStore) -> None:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with system.open_input_file(path) as opened, pq.ParquetFile(opened) as file:
            columns = file.schema_arrow.names
            if fault := column_fault(columns):
                raise _refusal(path, fault)
            labels = labels_of(columns)
            for batch in file.iter_batches(batch_size=_ROWS, columns=["timestamp", "metric", *labels, "value"]):
                spool(pd.DataFrame(dict(_columns(path, batch, labels))), labels, store)
    except (OSError, pa.ArrowException) as error:
        raise _refusal(path, f"cannot be read: {error}") from None


def _columns(path: str, batch: "pa.RecordBatch", labels: list[str]) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa  # noqa: PLC0415

    times = _numbers(path, "timestamp", batch.column("timestamp"))
    if not (np.abs(times) <= LATEST).all():
        raise _refusal(path, "column timestamp: not everywhere a time in Unix seconds, or a time stamp")
    yield "timestamp", times
    for name in ("metric", *labels):
        texts = batch.column(name)
        plain = texts.type.value_type if pa.types.is_dictionary(texts.type) else texts.type
        if not (pa.types.is_string(plain) or pa.types.is_large_string(plain)):
            raise _refusal(path, f"column {name}: {plain}, where texts belong")
        yield name, pd.Categorical(texts.cast(plain).fill_null("").to_pandas())
    if not all(batch.column("metric").cast(pa.string()).fill_null("").to_pandas()):
        raise _refusal(path, "column metric: a name is missing")
    yield "value", _numbers(path, "value", batch.column("value"))


def _numbers(path: str, name: str, column: "pa.Array") -> Any:  # noqa: ANN401 - an array of float64
    import pyarrow as pa  # noqa: PLC0415

    scale = 1.0
    if pa.types.is_timestamp(column.type) and name == "timestamp":
        column, scale = column.cast(pa.timestamp("us")).cast(pa.int64()), _MICROSECONDS
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise _refusal(path, f"column {name}: {column.type}, where numbers belong")
    return column.cast(pa.float64()).to_numpy(zero_copy_only=False) / scale


def _refusal(path: str, fault: str) -> SourceRefused:
    return SourceRefused("bad_recording", f"{path.rstrip('/').rpartition('/')[2]}: {fault}")


PLUGIN = Parquet
