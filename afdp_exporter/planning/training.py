"""The use case for other people's models: what was measured as training data, as bytes or as a folder of files."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from afdp_exporter.errors import ConfigError
from afdp_exporter.model import MeasuredDeployment
from afdp_exporter.planning.forecast import training_examples
from afdp_exporter.planning.plans import Calendar
from afdp_exporter.responses import time_json
from afdp_exporter.training_data.dataset import Cell, Dataset, Feature, Kind, Split, dataset
from afdp_exporter.training_data.metadata import File, card, croissant, datapackage, feature_dictionary
from afdp_exporter.watching.watch import Schedule

FORMATS = ("csv", "jsonl", "parquet")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs what begins so
_SPREAD = timedelta(hours=1)  # rollouts that end later than they start reach further beyond a cut

_Columns: TypeAlias = Mapping[str, Sequence[Cell]]


def lay_out(
    history: Sequence[MeasuredDeployment], known: Calendar, *, salt: bytes, schedule: Schedule, free_text: bool
) -> Dataset:
    """The training data of a history; its embargo is longer than the last look is after a deployment. Pure."""
    cases = training_examples(history, known)
    return dataset(cases, salt=salt, embargo=max(schedule.looks) + _SPREAD, free_text=free_text)


def laid_out(
    history: Sequence[MeasuredDeployment],
    known: Calendar,
    salt: bytes,
    schedule: Schedule,
    *,
    free_text: bool,
    form: str,
) -> bytes:
    """All rows as one file of a format. Pure; run by a worker."""
    data = lay_out(history, known, salt=salt, schedule=schedule, free_text=free_text)
    return encode(data.features, data.columns, form)


def encode(features: Sequence[Feature], columns: _Columns, form: str) -> bytes:
    """Columns as a file: CSV whose texts no spreadsheet runs, JSON lines, or parquet. Raises ConfigError."""
    return {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[form](features, columns)


def write(data: Dataset, folder: Path, form: str, *, created: datetime, license_url: str) -> tuple[Path, ...]:
    """Write the splits and all that describes them. Raises ConfigError for a folder that is not empty, and OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ConfigError("output", f"{folder} is not empty")
    contents: dict[str, bytes] = {
        f"data/{split}.{form}": encode(data.features, data.part(split), form) for split in Split
    }
    files = [
        File(split=split, path=path, format=form, sha256=hashlib.sha256(content).hexdigest(), size=len(content))
        for split, (path, content) in zip(Split, contents.items(), strict=True)
    ]
    contents["feature_dictionary.json"] = _json(feature_dictionary(data))
    contents["datapackage.json"] = _json(datapackage(data, files, created=created))
    if form != "jsonl":  # Croissant reads tables only
        contents["croissant.json"] = _json(croissant(data, files, created=created, license_url=license_url))
    contents["README.md"] = card(data, files, created=created).encode()
    sums = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(contents.items())]
    contents["SHA256SUMS"] = "".join(sums).encode()
    for path, content in contents.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    return tuple(folder / path for path in contents)


def _json(content: object) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _csv(features: Sequence[Feature], columns: _Columns) -> bytes:
    import pandas as pd  # noqa: PLC0415 - half a second, and who serves may never be asked for this

    table = {feature.name: [_cell(feature, cell) for cell in columns[feature.name]] for feature in features}
    text = StringIO()
    pd.DataFrame(table, dtype=object).to_csv(text, index=False, lineterminator="\n")
    return text.getvalue().encode()


def _cell(feature: Feature, cell: Cell) -> object:
    match cell:
        case bool():
            return "true" if cell else "false"
        case datetime():
            return time_json(cell)
        case str() if feature.kind is Kind.TEXT and cell.startswith(_FORMULA):
            return f"'{cell}"
    return cell


def _jsonl(features: Sequence[Feature], columns: _Columns) -> bytes:
    names = [feature.name for feature in features]
    rows = zip(*([_plain(cell) for cell in columns[name]] for name in names), strict=True)
    return b"".join(orjson.dumps(dict(zip(names, row, strict=True)), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def _plain(cell: Cell) -> Any:  # noqa: ANN401 - what JSON knows
    return time_json(cell) if isinstance(cell, datetime) else cell


def _parquet(features: Sequence[Feature], columns: _Columns) -> bytes:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ModuleNotFoundError:
        raise ConfigError("format", "parquet needs the package pyarrow: pip install 'afdp-exporter[parquet]'") from None
    types = {
        Kind.TEXT: pa.string(),
        Kind.NUMBER: pa.float64(),
        Kind.BOOLEAN: pa.bool_(),
        Kind.TIME: pa.timestamp("us", tz="UTC"),
    }
    table = pa.table({each.name: pa.array(columns[each.name], type=types[each.kind]) for each in features})
    written = BytesIO()
    pq.write_table(table, written)
    return written.getvalue()
