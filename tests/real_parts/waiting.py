"""Waiting for other processes: by their state, never for a fixed time."""

import time
from collections.abc import Callable

_PATIENCE = 180.0  # seconds
_PAUSE = 0.05


def until(reached: Callable[[], object], seen: Callable[[], object] = lambda: "", patience: float = _PATIENCE) -> None:
    """Ask again and again until `reached` holds; when patience ends, fail with what was `seen` last."""
    deadline = time.monotonic() + patience
    while not reached():
        assert time.monotonic() < deadline, f"not reached within {patience:.0f} s: {seen()}"
        time.sleep(_PAUSE)
