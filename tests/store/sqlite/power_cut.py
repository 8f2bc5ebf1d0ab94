"""What a disk may hold after a power cut, from the system calls of a process that wrote to it.

Until a file is synced each of its writes may have reached the disk or not, in any order and in part. Making and
removing a file is taken to be durable at once, and a file's shared memory is never there after a cut.
"""

import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CHILD = Path(__file__).with_name("writing_child.py")
CALLS = "pwrite64,write,fsync,fdatasync,ftruncate,unlink"
SECTOR = 512

_CALL = re.compile(r"(\d+) +(\w+)\((?:(\d+)<([^>]*)>(?:, )?)?(.*)")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>")


@dataclass
class File:
    """What is surely on the disk, and what came after that: bytes at an offset, or a new length."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def after(self, survivors: list[tuple[int, bytes | None]]) -> bytearray:
        """The contents when only these of the pending writes came through."""
        data = bytearray(self.durable)
        for offset, written in survivors:
            if written is None:
                data[offset:] = bytes(max(0, offset - len(data)))
            else:
                data.extend(bytes(max(0, offset - len(data))))
                data[offset : offset + len(written)] = written
        return data


@dataclass
class Disk:
    """All files of one folder, and what was acknowledged by now."""

    folder: Path
    files: dict[str, File] = field(default_factory=dict)
    acked: set[str] = field(default_factory=set)
    _syncing: dict[str, str] = field(default_factory=dict)

    def apply(self, line: str) -> None:
        """One line of the trace."""
        if resumed := _RESUMED.match(line):
            self._sync(self._syncing.pop(resumed[1], ""))
        elif call := _CALL.match(line):
            thread, name, descriptor, place, rest = call.groups()
            if name == "write" and descriptor == "1":
                self.acked.update(_bytes(rest).decode().split())
            elif name == "unlink":
                self.files.pop(self._name(_bytes(rest).decode()), None)
            else:
                self._change(thread, name, self._name(_bytes(f'"{place}"').decode()), rest)

    def states(self, chance: random.Random) -> Iterator[dict[str, bytearray]]:
        """Three of the many: nothing that was not synced, a torn part of it, all of it."""
        yield {name: file.durable for name, file in self.files.items()}
        yield {name: file.after(list(_torn(file.pending, chance))) for name, file in self.files.items()}
        yield {name: file.after(file.pending) for name, file in self.files.items()}

    def _change(self, thread: str, name: str, file: str, rest: str) -> None:
        if not file or file.endswith(("-shm", ".lock")):
            return
        if name in {"fsync", "fdatasync"} and "unfinished" in rest:
            self._syncing[thread] = file
        elif name in {"fsync", "fdatasync"}:
            self._sync(file)
        elif name == "ftruncate":
            self._file(file).pending.append((int(rest.partition(")")[0]), None))
        elif name == "pwrite64":
            offset = re.search(r'", \d+, (\d+)', rest)
            assert offset is not None
            self._file(file).pending.append((int(offset[1]), _bytes(rest)))

    def _sync(self, name: str) -> None:
        if name in self.files:
            file = self.files[name]
            self.files[name] = File(durable=file.after(file.pending))

    def _file(self, name: str) -> File:
        return self.files.setdefault(name, File())

    def _name(self, place: str) -> str:
        path = Path(place)
        return path.name if path.parent == self.folder else ""


def _bytes(text: str) -> bytes:
    quoted = re.search(r'"((?:\\x[0-9a-f]{2})*)"', text)
    return bytes.fromhex(quoted[1].replace("\\x", "")) if quoted else b""


def _torn(pending: list[tuple[int, bytes | None]], chance: random.Random) -> Iterator[tuple[int, bytes | None]]:
    for offset, written in pending:
        if chance.random() < 0.5:
            continue
        if written is not None and chance.random() < 0.5:
            yield offset, written[: chance.randrange(0, len(written) + 1, SECTOR)]
        else:
            yield offset, written


def trace(folder: Path, count: int, defect: str) -> list[str]:
    """The system calls of a child that records so many deployments into `store.db` of an empty folder."""
    record = folder.parent / f"{folder.name}.trace"
    command = ["strace", "-f", "-y", "-qq", "-xx", "-s", "70000", "-e", f"trace={CALLS}", "-o", str(record)]
    command += [sys.executable, str(CHILD), str(folder / "store.db"), str(count), defect]
    subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=120)
    return record.read_text(encoding="ascii").splitlines()
