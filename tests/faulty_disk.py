"""A disk for SQLite that fails where a test asks it to, and that loses or tears what was not synced at a power cut.

A VFS (sqlite.org/vfs.html) over SQLite's own: the files are real, so that everybody reads what was written, as from a
page cache; what surely survives a cut is remembered beside them.
"""

import ctypes
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from pysqlite3 import _sqlite3

SECTOR = 512
_OK, _READ, _WRITE, _SYNC, _TRUNCATE, _DELETED, _FULL, _CANTOPEN = 0, 266, 778, 1034, 1546, 2570, 13, 14

_P, _I, _Q = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
_CLOSE = ctypes.CFUNCTYPE(_I, _P)
_TRANSFER = ctypes.CFUNCTYPE(_I, _P, _P, _I, _Q)
_RESIZE = ctypes.CFUNCTYPE(_I, _P, _Q)
_FLAGGED = ctypes.CFUNCTYPE(_I, _P, _I)
_OPEN = ctypes.CFUNCTYPE(_I, _P, _P, _P, _I, _P)
_DELETE = ctypes.CFUNCTYPE(_I, _P, ctypes.c_char_p, _I)


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", _I), ("close", _CLOSE), ("read", _TRANSFER), ("write", _TRANSFER), ("truncate", _RESIZE),
        ("sync", _FLAGGED), ("others", _P * 13),
    ]  # fmt: skip


class _VFS(ctypes.Structure):
    _fields_ = [
        ("version", _I), ("file_size", _I), ("longest_path", _I), ("next", _P), ("name", ctypes.c_char_p),
        ("data", _P), ("open", _OPEN), ("delete", _DELETE), ("others", _P * 14),
    ]  # fmt: skip


_SQLITE = ctypes.CDLL(_sqlite3.__file__)
_SQLITE.sqlite3_vfs_find.restype = ctypes.POINTER(_VFS)
_ORIGINAL = _SQLITE.sqlite3_vfs_find(None).contents


class Trouble(Enum):
    """What becomes of a call."""

    IO = "EIO"  # nothing is done
    FULL = "ENOSPC"  # of a write: nothing is written
    TORN = "torn"  # of a write: some sectors are written, then EIO


class Call(NamedTuple):
    """Of SQLite to its disk: the how manyth, what, and of which file (its suffix: "", "-wal", "-shm")."""

    number: int
    what: str
    file: str


@dataclass
class _Content:
    """What of a file is surely on the disk, and what came after that: bytes at an offset, or a new length."""

    durable: bytearray
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def settle(self, survivors: Iterable[tuple[int, bytes | None]]) -> None:
        """These came through, and the others are gone for good."""
        for offset, written in survivors:
            if written is None:
                self.durable[offset:] = bytes(max(0, offset - len(self.durable)))
            else:
                self.durable.extend(bytes(max(0, offset - len(self.durable))))
                self.durable[offset : offset + len(written)] = written
        self.pending = []


@dataclass
class FaultyDisk:
    """Of one folder. `strikes` is asked at each call that changes something; reads fail while `unreadable` is set."""

    folder: Path
    strikes: Callable[[Call], Trouble | None] = lambda _: None
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    calls: int = 0
    unreadable: bool = False
    is_dead: bool = False
    _contents: dict[str, _Content] = field(default_factory=dict)
    _files: dict[int, str] = field(default_factory=dict)
    _methods: dict[int, _Methods] = field(default_factory=dict)

    def cut_power(self) -> None:
        """Of what was not synced some is there, some in part; connections have to be closed, with `is_dead`, before."""
        for name, content in self._contents.items():
            content.settle(list(self._torn(content.pending)))
            (self.folder / name).write_bytes(content.durable)

    def _torn(self, pending: Iterable[tuple[int, bytes | None]]) -> Iterator[tuple[int, bytes | None]]:
        share = self.chance.choice([0.0, 0.5, 1.0])
        for offset, written in pending:
            if self.chance.random() >= share:
                continue
            if written is not None and self.chance.random() < 0.3:
                yield offset, written[: self.chance.randrange(0, len(written) + 1, SECTOR)]
            else:
                yield offset, written

    # what SQLite calls

    def _trouble(self, what: str, name: str) -> Trouble | None:
        if self.is_dead:
            return Trouble.IO
        self.calls += 1
        return self.strikes(Call(self.calls, what, name))

    def _open(self, vfs: int, path: int | None, file: int, flags: int, out: int) -> int:
        place = None if path is None else Path(ctypes.string_at(path).decode())
        if place is None or place.parent != self.folder:
            return _ORIGINAL.open(vfs, path, file, flags, out)  # type: ignore[no-any-return]
        name = place.name
        is_new = not place.exists()
        if is_new and self._trouble("open", name) is not None:
            ctypes.cast(file, ctypes.POINTER(_P))[0] = None
            return _CANTOPEN
        answer: int = _ORIGINAL.open(vfs, path, file, flags, out)
        if answer == _OK:
            if name not in self._contents:
                self._contents[name] = _Content(bytearray(place.read_bytes()))
            self._files[file] = name
            opened = ctypes.cast(file, ctypes.POINTER(ctypes.POINTER(_Methods)))
            opened[0] = ctypes.pointer(self._watched(opened[0]))
        return answer

    def _delete(self, vfs: int, path: bytes, sync: int) -> int:
        name = Path(path.decode()).name
        if Path(path.decode()).parent == self.folder:
            if self._trouble("delete", name) is not None:
                return _DELETED
            self._contents.pop(name, None)
        return _ORIGINAL.delete(vfs, path, sync)  # type: ignore[no-any-return]

    def _watched(self, methods: Any) -> _Methods:  # noqa: ANN401 - a pointer
        address = ctypes.addressof(methods.contents)
        if address not in self._methods:
            original = methods.contents
            made = _Methods.from_buffer_copy(original)
            made.read = _TRANSFER(self._reading(original))
            made.write = _TRANSFER(self._writing(original))
            made.truncate = _RESIZE(self._truncating(original))
            made.sync = _FLAGGED(self._syncing(original))
            self._methods[address] = made
        return self._methods[address]

    def _reading(self, original: _Methods) -> Callable[..., int]:
        def read(file: int, data: int, size: int, offset: int) -> int:
            if self.unreadable:
                return _READ
            return original.read(file, data, size, offset)  # type: ignore[no-any-return]

        return read

    def _writing(self, original: _Methods) -> Callable[..., int]:
        def write(file: int, data: int, size: int, offset: int) -> int:
            name = self._files[file]
            trouble = self._trouble("write", name)
            kept = size
            if trouble is not None:
                kept = self.chance.randrange(0, size, SECTOR) if trouble is Trouble.TORN else 0
            if kept:
                answer: int = original.write(file, data, kept, offset)
                if answer != _OK:
                    return answer
                self._contents[name].pending.append((offset, ctypes.string_at(data, kept)))
            return _OK if trouble is None else _FULL if trouble is Trouble.FULL else _WRITE

        return write

    def _truncating(self, original: _Methods) -> Callable[..., int]:
        def truncate(file: int, size: int) -> int:
            if self._trouble("truncate", self._files[file]) is not None:
                return _TRUNCATE
            self._contents[self._files[file]].pending.append((size, None))
            return original.truncate(file, size)  # type: ignore[no-any-return]

        return truncate

    def _syncing(self, original: _Methods) -> Callable[..., int]:
        def sync(file: int, flags: int) -> int:
            content = self._contents[self._files[file]]
            if self._trouble("sync", self._files[file]) is not None:
                content.settle(())  # as Linux has it: what could not be written is not tried again
                return _SYNC
            content.settle(content.pending)
            return _OK

        return sync


@contextmanager
def faulty(disk: FaultyDisk) -> Iterator[FaultyDisk]:
    """Have every file that SQLite opens meanwhile on this disk, where it is in its folder."""
    mine = _VFS.from_buffer_copy(_ORIGINAL)
    mine.name, mine.open, mine.delete = b"faulty", _OPEN(disk._open), _DELETE(disk._delete)
    _SQLITE.sqlite3_vfs_register(ctypes.byref(mine), 1)
    try:
        yield disk
    finally:
        _SQLITE.sqlite3_vfs_unregister(ctypes.byref(mine))
        _SQLITE.sqlite3_vfs_register(ctypes.byref(_ORIGINAL), 1)
