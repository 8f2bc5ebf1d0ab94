"""Names that somebody typed, beside those that are known."""

from collections.abc import Iterable
from difflib import get_close_matches

_SHOWN = 10


def unknown_service(name: str, known: Iterable[str]) -> str:
    """That a service is not known, which ones are, and which of them was probably meant."""
    names = sorted(known)
    by_key = {each.casefold(): each for each in names}
    near = get_close_matches(name.casefold(), by_key, n=1, cutoff=0.6)
    meant = f"; did you mean {by_key[near[0]]}?" if near else "."
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"The service {name} is not known{meant} Known: {', '.join(names[:_SHOWN])}{more}."
