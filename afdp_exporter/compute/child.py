"""A child process that makes one call after the other, and ends at the deadline of one.

It is started as a program of its own: a Dask worker is a daemonic process, which may have no children of
`multiprocessing`. Its system ends it at the deadline, whatever the call does, and also where the worker has died.
"""

import importlib
import os
import signal
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from afdp_exporter.compute.calls import answered
from afdp_exporter.errors import AnalysisError

_START = 120.0  # seconds until it has imported everything, on a machine that is busy
_NICENESS = 10  # the worker has to answer its scheduler


class Child:
    """The parent's side: one call at a time."""

    def __init__(self) -> None:
        """Raises AnalysisError where no process can be started."""
        self._pipe, theirs = Pipe()
        command = [sys.executable, "-m", __name__, str(theirs.fileno())]
        try:
            with theirs:
                self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)  # noqa: S603
            self._pipe.send(sys.path)
            if not self._pipe.poll(_START):
                self.end()
            self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise AnalysisError(f"no child process can be started: {str(error) or 'it ended'}") from error

    @property
    def alive(self) -> bool:
        """Whether it can take a call."""
        return self._process.poll() is None

    def answer(self, content: bytes, seconds: float) -> bytes:
        """Have a call made. Raises AnalysisError when that takes longer, or ends the process."""
        try:
            self._pipe.send((content, seconds))
            return self._pipe.recv_bytes()
        except (EOFError, OSError):
            status = self._process.wait()
        if status == -signal.SIGALRM:
            raise AnalysisError(f"the analysis took longer than {seconds:g} s")
        raise AnalysisError(f"the process of the analysis died with status {status}")

    def end(self) -> None:
        """Kill it."""
        self._process.kill()


def _work(pipe: Connection) -> None:
    """The child's side, until the parent is gone."""
    sys.path[:] = pipe.recv()
    importlib.import_module("afdp_exporter.worker_preload")
    pipe.send_bytes(b"")
    while True:
        try:
            content, seconds = pipe.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds)
        answer = answered(content)
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            pipe.send_bytes(answer)
        except BrokenPipeError:
            return


def main(descriptor: str) -> None:
    """Make calls that come through a pipe."""
    os.nice(_NICENESS)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the worker is asked to end, and this ends with it
    _work(Connection(int(descriptor)))


if __name__ == "__main__":
    main(sys.argv[1])
