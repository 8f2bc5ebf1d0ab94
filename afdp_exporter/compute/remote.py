"""What runs on a worker of a cluster: a batch of calls, each made by a child process of the thread that has the batch.

A call that is late, or that kills its process, fails alone; the rest of its batch goes on in a new one.
"""

import hashlib
import platform
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock, local

import afdp_exporter
from afdp_exporter.compute.child import Child
from afdp_exporter.errors import AnalysisError, EngineUnavailable

_ALIKE = ("numpy", "scipy", "ruptures", "pandas")  # what a result depends on to its last bit
_REMEMBERED = 10_000  # ends of calls that have not come here yet

_of_thread = local()
_lock = Lock()
_under_way: dict[str, Child] = {}
_ended: deque[str] = deque(maxlen=_REMEMBERED)


@dataclass(frozen=True, slots=True)
class Call:
    """A packed call, and how long it may take."""

    id: str
    content: bytes
    seconds: float


@cache
def versions() -> dict[str, str]:
    """What has to be the same on all machines, so that it does not matter where a call is made."""
    python = ".".join(platform.python_version_tuple()[:2])
    ours = f"{afdp_exporter.__version__} {_digest(Path(afdp_exporter.__file__).parent)}"
    return {"afdp-exporter": ours, "python": python, **{name: version(name) for name in _ALIKE}}


def _digest(folder: Path) -> str:
    """Of the code: two checkouts may call themselves alike."""
    found = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        found.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:12]


def answer(calls: Sequence[Call], expected: Mapping[str, str]) -> list[bytes | AnalysisError]:
    """Make the calls, one after the other; for each what `calls.answered` gives, or why there is nothing.

    Raises EngineUnavailable where this worker has other versions than who asks.
    """
    own = versions()
    other = [f"{name} {own.get(name)}, not {wanted}" for name, wanted in expected.items() if own.get(name) != wanted]
    if other:
        raise EngineUnavailable(f"the Dask worker on {platform.node()} has {'; '.join(other)}")
    return [_answer(each) for each in calls]


def _answer(asked: Call) -> bytes | AnalysisError:
    try:
        child: Child | None = getattr(_of_thread, "child", None)
        if child is None or not child.alive:
            child = _of_thread.child = Child()
        with _lock:
            if asked.id in _ended:
                return AnalysisError("the analysis was ended")
            _under_way[asked.id] = child
        try:
            return child.answer(asked.content, asked.seconds)
        finally:
            with _lock:
                del _under_way[asked.id]
    except AnalysisError as error:
        return error


def end(calls: Sequence[str]) -> None:
    """End calls that are under way here, or are yet to come: nobody waits for them."""
    with _lock:
        _ended.extend(calls)
        for each in calls:
            if each in _under_way:
                _under_way[each].end()
