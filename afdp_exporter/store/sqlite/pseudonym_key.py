"""The key of the pseudonyms in training data: random, beside the data, made when it is first needed."""

import os
import secrets
from pathlib import Path

from afdp_exporter.errors import StoreError

_BYTES = 32


def pseudonym_key(folder: Path) -> bytes:
    """The folder's key; of several that are made at once the first stays. Raises StoreError."""
    path = folder / "salt"
    try:
        if not path.exists():
            _make(path)
        found = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}") from None
    if len(found) != _BYTES:
        raise StoreError(f"{path} is no key: {_BYTES} bytes are expected")
    return found


def _make(path: Path) -> None:
    draft = path.with_name(f"salt.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        path.hardlink_to(draft)
    except FileExistsError:
        return
    finally:
        draft.unlink()
