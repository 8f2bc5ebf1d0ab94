"""The flags that say where everything is kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from afdp_exporter.commands._options import FOLDER, option
from afdp_exporter.store.opening import DATABASE, url_of_file

_F = TypeVar("_F", bound=Callable[..., Any])


def storage_options(command: _F) -> _F:
    """The two flags that say where everything is kept; `storage_of` makes one URL of them."""
    path = option("--storage.path", "storage", type=FOLDER, default="data/", help="The folder that keeps everything.")
    url = option(
        "--storage.url",
        "storage_url",
        metavar="URL",
        help="postgresql://user@host/database, in place of --storage.path; the password by PGPASSFILE or PGPASSWORD.",
    )
    return path(url(command))


def storage_of(folder: Path, url: str | None) -> str:
    """The URL of the store."""
    return url or url_of_file(folder / DATABASE)
