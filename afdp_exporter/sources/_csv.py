"""CSV files in long form (`timestamp`, `metric`, any labels, `value`) -> series.

As a program it reads a folder for another process: to read a large one takes 70 MB, which only the end of a process
gives back.
"""

import csv
import gzip
import pickle
import signal
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from afdp_exporter.errors import SourceRefused
from afdp_exporter.sources._spooled import LATEST, Joined, SpooledStore, SpoolFile, column_fault, labels_of, spool

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 50_000  # read at once: a hundredth of a second in which no other thread runs
_UNREADABLE = (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error)


def read_folder(folder: Path) -> SpooledStore:
    """All series of the folder's `.csv` and `.csv.gz` files.

    Of two samples of one series at one time the later row counts, of two files the later name. A file is read piece
    by piece, so that neither memory nor other threads notice its size. Raises SourceRefused with file, line and
    column of the first fault.
    """
    files = sorted(path for path in folder.iterdir() if path.name.endswith((".csv", ".csv.gz")))
    if not files:
        raise SourceRefused("bad_recording", f"{folder} holds no .csv or .csv.gz file")
    store = SpooledStore()
    for path in files:
        _read(path, store)
    return store


def _read(path: Path, store: SpooledStore) -> None:
    import pandas as pd  # noqa: PLC0415 - half a second and 40 MB: only who reads a recording shall pay that

    labels = _check_header(path)
    types = {"timestamp": "float64", "value": "float64", **dict.fromkeys(["metric", *labels], "category")}
    try:
        with pd.read_csv(
            path,
            dtype=types,
            keep_default_na=False,
            na_values={"timestamp": [""], "value": ["", "NaN", "nan"]},
            chunksize=_ROWS,
        ) as pieces:
            for frame in pieces:
                shifted = not isinstance(frame.index, pd.RangeIndex)
                if (shifted or _suspicious(frame)) and (fault := _fault(path)):
                    raise fault
                spool(frame, labels, store)
    except (ValueError, *_UNREADABLE) as error:  # pandas' own errors are ValueErrors; they do not name the place
        raise _fault(path) or _refusal(path, f"cannot be read: {error}") from None


def _suspicious(frame: "pd.DataFrame") -> bool:
    """Whether pandas may have read more into the file than it says: it forgives rows that are too short."""
    in_time = frame["timestamp"].between(-LATEST, LATEST).all()
    return not in_time or bool(frame["value"].isna().any() or (frame["metric"] == "").any())


def _check_header(path: Path) -> list[str]:
    """The label columns."""
    try:
        with _open(path) as file:
            columns = next(csv.reader(file), [])
    except _UNREADABLE as error:
        raise _refusal(path, f"cannot be read: {error}") from None
    if fault := column_fault(columns):
        raise _refusal(path, f"line 1: {fault}")
    return labels_of(columns)


def _fault(path: Path) -> SourceRefused | None:
    """The first fault of a file, looked for line by line: slow, and only done when there is reason to."""
    try:
        with _open(path) as file:
            reader = csv.reader(file, strict=True)
            columns = next(reader)
            for row in reader:
                fault = _row_fault(columns, row)
                if fault:
                    return _refusal(path, f"line {reader.line_num}, {fault}")
    except _UNREADABLE as error:
        return _refusal(path, f"cannot be read: {error}")
    return None


def _row_fault(columns: list[str], row: list[str]) -> str | None:
    if not row:
        return None
    if len(row) != len(columns):
        return f"{len(row)} columns where the first line names {len(columns)}"
    cells = dict(zip(columns, row, strict=True))
    timestamp = _number(cells["timestamp"])
    if timestamp is None or not abs(timestamp) <= LATEST:
        return f"column timestamp: {cells['timestamp']!r} is not a time in Unix seconds"
    if not cells["metric"]:
        return "column metric: a name is missing"
    if cells["value"] and _number(cells["value"]) is None:
        return f"column value: {cells['value']!r} is not a number"
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


@contextmanager
def _open(path: Path) -> Iterator[TextIO]:
    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8", newline="") as file:
        yield file


def _refusal(path: Path, fault: str) -> SourceRefused:
    return SourceRefused("bad_recording", f"{path.name}: {fault}")


def main(folder: str, descriptor: str) -> None:
    """Put the values into a file that another process has made, and say where, or what is wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever waits for this is asked to end, too
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # nobody waits for it any more
    answer: list[Joined] | tuple[str, str]
    try:
        answer = read_folder(Path(folder)).joined(SpoolFile(int(descriptor)))
    except SourceRefused as error:
        answer = error.reason, str(error)
    pickle.dump(answer, sys.stdout.buffer, pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    main(*sys.argv[1:])
