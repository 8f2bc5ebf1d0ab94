"""What is imported only when it is asked for, since it takes long."""

import gc
import importlib
from typing import Any


def import_for_good(module: str) -> Any:  # noqa: ANN401 - the module
    """A module, imported now. It stays: the collector would walk through all of it again and again."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()
