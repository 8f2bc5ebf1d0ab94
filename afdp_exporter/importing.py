"""What is imported only when it is asked for, since it takes long."""

import gc
import importlib
import sys
from typing import Any


def import_for_good(module: str) -> Any:  # noqa: ANN401 - the module
    """A module, imported now. It stays: the collector would walk through all of it again and again."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


def import_without(module: str, other: str) -> Any:  # noqa: ANN401 - the module
    """A module, imported now, without another one that it does not need and would import where it is installed.

    No other thread may import that one meanwhile.
    """
    if module in sys.modules or other in sys.modules:
        return importlib.import_module(module)
    sys.modules[other] = None  # type: ignore[assignment]  # how Python is told that there is none
    try:
        return importlib.import_module(module)
    finally:
        del sys.modules[other]
