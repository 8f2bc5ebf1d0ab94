"""Series whose values lie on disk, put together from pieces in any order."""

import os
import re
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from afdp_exporter.errors import SourceRefused
from afdp_exporter.model import Floats

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("timestamp", "metric", "value")
"""The columns of samples in long form; each other one is a label."""

LATEST = 1e11
"""The year 5138 in seconds; a time beyond it was written in milliseconds or less."""

_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_SIZE = 8  # bytes of a float64

Key: TypeAlias = tuple[str, tuple[tuple[str, str], ...]]
"""The name of a series and its labels."""

_Piece: TypeAlias = tuple[int, int, int]  # where its times lie, where its values do, how many they are

Joined: TypeAlias = tuple[Key, Floats, int]
"""A series, its times (n,) in order, and where the first of its values lies in a file."""


class SpooledSegment:
    """So many values in a row of a file; a slice reads what it needs."""

    def __init__(self, file: "SpoolFile", first: int, length: int) -> None:
        self._file = file
        self._first = first
        self._length = length

    def __getitem__(self, part: slice, /) -> Floats:
        begin, end, _ = part.indices(self._length)
        return self._file.read(self._first + begin, max(end - begin, 0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpooledSeries:
    """A recorded series: its times (n,) in memory, its values (n,) on disk."""

    metric: str
    labels: Mapping[str, str]
    times: Floats
    values: SpooledSegment


class SpooledStore:
    """Takes the pieces of many series in any order, and gives each series whole."""

    def __init__(self) -> None:
        self._pieces = SpoolFile()
        self._places: dict[Key, list[_Piece]] = {}

    def add(self, keys: list[Key], starts: list[int], times: Floats, values: Floats) -> None:
        """Keep samples that are sorted by series: `keys[i]` begins at `starts[i]`."""
        first = self._pieces.append(times)
        self._pieces.append(values)
        for key, begin, end in zip(keys, starts, [*starts[1:], times.size], strict=True):
            place = (first + begin, first + times.size + begin, end - begin)
            self._places.setdefault(key, []).append(place)

    def series(self) -> list[SpooledSeries]:
        """Every series in order of time; of two samples at one time the one that was added last."""
        whole = SpoolFile()
        return spooled(self.joined(whole), whole)

    def joined(self, whole: "SpoolFile") -> list[Joined]:
        """The same, with their values in a file; series with the same times share them."""
        shared: dict[tuple[int, float, float], Floats] = {}
        return [self._joined(key, places, whole, shared) for key, places in self._places.items()]

    def _joined(
        self,
        key: Key,
        places: list[_Piece],
        whole: "SpoolFile",
        shared: dict[tuple[int, float, float], Floats],
    ) -> Joined:
        times = np.concatenate([self._pieces.read(at, length) for at, _, length in places])
        values = np.concatenate([self._pieces.read(at, length) for _, at, length in places])
        if not (times[1:] > times[:-1]).all():
            order = np.argsort(times, kind="stable")
            times, values = times[order], values[order]
            last = np.append(times[1:] != times[:-1], True)
            times, values = times[last], values[last]
        known = shared.setdefault((times.size, float(times[0]), float(times[-1])), times)
        if np.array_equal(known, times):
            times = known
        return key, times, whole.append(values)


def spooled(joined: Sequence[Joined], whole: "SpoolFile") -> list[SpooledSeries]:
    """The series whose values lie in a file."""
    for _, times, _ in joined:
        times.setflags(write=False)
    return [
        SpooledSeries(
            metric=metric, labels=dict(labels), times=times, values=SpooledSegment(whole, first, times.size)
        )
        for (metric, labels), times, first in joined
    ]  # fmt: skip


class SpoolFile:
    """Float64 numbers in a file without a name, which is gone with its last user. Raises SourceRefused without room.

    With a `descriptor` it is the empty one that another process has made.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        try:
            self.descriptor = _nameless() if descriptor is None else descriptor
        except OSError as error:
            raise _no_room(error) from None
        weakref.finalize(self, os.close, self.descriptor)
        self._length = 0

    def append(self, numbers: Floats) -> int:
        """Write at the end; where the first of them lies."""
        first, left = self._length, memoryview(numbers.tobytes())
        self._length += numbers.size
        try:
            while left:
                left = left[os.write(self.descriptor, left) :]
        except OSError as error:
            raise _no_room(error) from None
        return first

    def read(self, first: int, length: int) -> Floats:
        """So many numbers, read-only."""
        return np.frombuffer(os.pread(self.descriptor, length * _SIZE, first * _SIZE), dtype=np.float64)


def _nameless() -> int:
    with tempfile.TemporaryFile(prefix="afdp-recording-") as file:
        return os.dup(file.fileno())


def _no_room(error: OSError) -> SourceRefused:
    return SourceRefused(
        "no_room", f"the recording does not fit on the disk: {error.strerror}; TMPDIR names its folder"
    )


def column_fault(columns: Sequence[str]) -> str | None:
    """What is wrong with the columns of samples in long form."""
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        return f"the column {missing[0]} is missing; there are: {', '.join(columns) or 'none'}"
    wrong = (each for each in columns if not _LABEL.fullmatch(each) or columns.count(each) > 1)
    return next((f"column {each!r}: not a label's name, or there twice" for each in wrong), None)


def labels_of(columns: Sequence[str]) -> list[str]:
    """The columns that are labels."""
    return [name for name in columns if name not in REQUIRED]


def spool(frame: "pd.DataFrame", labels: list[str], store: SpooledStore) -> None:
    """Put samples in long form away by series: `metric` and each label a categorical column, an empty label absent."""
    if frame.empty:
        return
    columns = [frame[name].cat for name in ("metric", *labels)]
    series = np.zeros(len(frame), dtype=np.int64)
    for column in columns:
        # numbered anew after each column, so that many columns do not overflow
        series = np.unique(series * len(column.categories) + column.codes.to_numpy(), return_inverse=True)[1]
    order = np.argsort(series, kind="stable")
    starts = np.flatnonzero(np.diff(series[order], prepend=-1))
    keys = []
    for row in order[starts]:
        metric, *values = (str(column.categories[column.codes.iloc[row]]) for column in columns)
        named = zip(labels, values, strict=True)
        keys.append((metric, tuple(sorted((label, value) for label, value in named if value))))
    store.add(keys, starts.tolist(), frame["timestamp"].to_numpy()[order], frame["value"].to_numpy()[order])
