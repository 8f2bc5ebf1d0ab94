"""Waiting for other processes: by their state, never for a fixed time."""

import time
from collections.abc import Callable

_PATIENCE = 180.0  # seconds
_PAUSE = 0.05
_LONGEST_PAUSE = 2.0


def until(reached: Callable[[], object], seen: Callable[[], object] = lambda: "", patience: float = _PATIENCE) -> None:
    """Ask again and again until `reached` holds; when patience ends, fail with what was `seen` last.

    Asking takes a fifth of the time at most: what is waited for needs the processor more.
    """
    deadline = time.monotonic() + patience
    while True:
        began = time.monotonic()
        if reached():
            return
        now = time.monotonic()
        assert now < deadline, f"not reached within {patience:.0f} s: {seen()}"
        time.sleep(min(max(_PAUSE, 4 * (now - began)), _LONGEST_PAUSE))
