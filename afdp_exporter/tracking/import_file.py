"""A file of past deployments, JSON lines or CSV -> Deployments, oldest first; every fault with its line and field."""

import csv
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO, TypeAlias

import orjson

from afdp_exporter.errors import BadInput, Fault
from afdp_exporter.model import Deployment, Status
from afdp_exporter.tracking.intake import read_deployment

KIND = "import"
_FAULTS = 20  # reported at once
_SEPARATORS = re.compile(r"[,;\s]+")

_Body: TypeAlias = Mapping[str, object]


class _Faulty(Exception):
    """A line that cannot be read at all."""


def read_history(path: Path, *, now: datetime) -> tuple[Deployment, ...]:
    """The deployments of a file, by their start. `.csv` is CSV, everything else JSON lines.

    Each line is a body of `POST /api/v1/deployments` with a time; in CSV the columns have the same names, with
    `traits.NAME` and `labels.NAME`, and an empty cell is nothing. Raises BadInput for all faults together.
    """
    found: dict[str, Deployment] = {}
    faults: list[Fault] = []
    for place, body in _bodies(path):
        try:
            deployment = read_past(body, now=now) if not isinstance(body, _Faulty) else _refuse(str(body))
            if deployment.id in found:
                _refuse(f"the deployment {deployment.id} is there twice", "id")
            found[deployment.id] = deployment
        except BadInput as error:
            faults += [Fault(f"{path.name}, {place}, {fault.field}", fault.message) for fault in error.faults]
    if faults:
        more = len(faults) - _FAULTS
        raise BadInput(*faults[:_FAULTS], *([Fault(path.name, f"{more} more faults")] if more > 0 else []))
    return tuple(sorted(found.values(), key=lambda each: (each.started_at, each.id)))


def read_past(body: _Body, *, now: datetime) -> Deployment:
    """A deployment of the past; one without an id gets the same id whenever it is reported. Raises BadInput."""
    deployment = read_deployment(body, now=now, new_id=KIND, received_from=KIND)
    if body.get("started_at") is None and body.get("finished_at") is None:
        _refuse("a deployment of the past needs its time", "started_at")
    return deployment if body.get("id") is not None else replace(deployment, id=_id(deployment))


def only_past(deployments: tuple[Deployment, ...]) -> tuple[Deployment, ...]:
    """The deployments themselves. Raises BadInput where one of them was only planned."""
    planned = [each for each in deployments if each.status is Status.PLANNED]
    if planned:
        raise BadInput(*(Fault(each.id, "a planned deployment has done nothing") for each in planned[:_FAULTS]))
    return deployments


def _id(deployment: Deployment) -> str:
    parts = (deployment.service, deployment.environment, deployment.version or "", _instant(deployment.started_at))
    return f"{KIND}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}"


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).isoformat()


def _refuse(message: str, field: str = "line") -> Any:  # noqa: ANN401 - never returns
    raise BadInput(Fault(field, message))


def _bodies(path: Path) -> Iterator[tuple[str, _Body | _Faulty]]:
    """Every line that says something, with its number."""
    read = _csv if path.suffix.lower() == ".csv" else _lines
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, body in read(file):
                yield f"line {number}", body
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(Fault(str(path), f"cannot be read: {error}")) from None


def _lines(file: TextIO) -> Iterator[tuple[int, _Body | _Faulty]]:
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                body = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                yield number, _Faulty(f"is not JSON: {error.msg}")
            else:
                yield number, body if isinstance(body, dict) else _Faulty("a JSON object is expected")


def _csv(file: TextIO) -> Iterator[tuple[int, _Body | _Faulty]]:
    reader = csv.reader(file, strict=True)
    columns = next(reader, [])
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        yield 1, _Faulty(f"the column {twice[0]} is there twice")
        return
    for row in reader:
        if len(row) == len(columns):
            yield reader.line_num, _body({name: cell for name, cell in zip(columns, row, strict=True) if cell})
        elif row:
            yield reader.line_num, _Faulty(f"{len(row)} columns where the first line names {len(columns)}")


def _body(cells: Mapping[str, str]) -> _Body:
    body: dict[str, Any] = {}
    for name, cell in cells.items():
        block, dot, key = name.partition(".")
        if dot and block in {"traits", "labels"}:
            body.setdefault(block, {})[key] = _value(cell) if block == "traits" else cell
        elif name == "change_types":
            body[name] = [word for word in _SEPARATORS.split(cell) if word]
        else:
            body[name] = _value(cell) if name == "traffic_ratio" else cell
    return body


def _value(cell: str) -> bool | float | str:
    if cell.lower() in {"true", "false"}:
        return cell.lower() == "true"
    try:
        return float(cell)
    except ValueError:
        return cell
