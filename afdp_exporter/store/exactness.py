"""What a store cannot keep exactly is refused: numbers that are not finite, text that UTF-8 cannot carry."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from functools import cache

from afdp_exporter.errors import BadInput, Fault, StoreError

_HARMLESS = (int, bool, datetime, timedelta)


def check_storable(thing: object) -> None:
    """Raise BadInput for what cannot be kept exactly, by field."""
    if _is_plain(thing):
        return
    faults = [Fault(field=place, message=message) for place, message in _unstorable(thing, "")]
    if faults:
        raise BadInput(*faults)


def refuse_unstorable(value: object, name: str) -> None:
    """Raise StoreError for what cannot be kept exactly; `name` is what it is."""
    if _is_plain(value):
        return
    for place, message in _unstorable(value, ""):
        raise StoreError(f"{name} cannot be kept: {place} {message}")


def _is_plain(value: object) -> bool:
    """Whether there is nothing in it that has to be looked at more closely, as in nearly everything."""
    kind = type(value)
    if value is None or kind in _HARMLESS:
        return True
    if isinstance(value, str):
        return value.isascii()
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type]
    if isinstance(value, Mapping):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    names = _fields(kind)  # type: ignore[arg-type] # a class can be hashed
    parts = [getattr(value, name) for name in names]
    closer = [part for part in parts if part is not None and type(part) not in _HARMLESS]
    return bool(names) and all(map(_is_plain, closer))


def _unstorable(value: object, place: str) -> Iterator[tuple[str, str]]:
    """Where a value holds a number that is not finite, or text that UTF-8 cannot carry."""
    if isinstance(value, str) and not _encodes(value):
        yield place.lstrip("."), "is no valid Unicode text"
    if isinstance(value, float) and not math.isfinite(value):
        yield place.lstrip("."), "is not a finite number"
    for name, part in _parts(value):
        if part is not None and not isinstance(part, _HARMLESS) and not (isinstance(part, str) and part.isascii()):
            yield from _unstorable(part, place + name)


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            name = ascii(key).strip("'")
            yield f".{name}", key
            yield f".{name}", entry
    elif isinstance(value, (tuple, list)):
        for index, entry in enumerate(value):
            yield f"[{index}]", entry
    else:
        for name in _fields(type(value)):  # type: ignore[arg-type] # a class can be hashed
            yield f".{name}", getattr(value, name)


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else ()


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
