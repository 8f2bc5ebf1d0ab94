"""`$service` and the others in a text: which there are, and what stands for each."""

import re
from collections.abc import Iterable, Mapping

from afdp_exporter.errors import SourceRefused

VARIABLE = re.compile(r"\$([a-zA-Z_]\w*)")
NUMBERS = frozenset({"traffic_ratio"})  # they stand for a number
_KNOWN = frozenset({"service", "environment", "version", "previous_version", "traffic_ratio"})


def variables(*texts: str) -> frozenset[str]:
    """The variables of some texts. Raises SourceRefused for one that nothing can fill."""
    found = frozenset(match[1] for text in texts for match in VARIABLE.finditer(text))
    check(found)
    return found


def check(names: Iterable[str]) -> None:
    """Raises SourceRefused for a variable that nothing can fill."""
    for name in sorted(set(names) - _KNOWN):
        if not re.fullmatch(r"label_\w+", name):
            known = ", ".join(f"${each}" for each in (*sorted(_KNOWN), "label_NAME"))
            raise SourceRefused("bad_query", f"${name} is unknown; known: {known}")


def value(name: str, values: Mapping[str, str]) -> str:
    """What stands for a variable. Raises SourceRefused where the deployment does not say it."""
    if name not in values:
        raise SourceRefused("missing_value", f"the query needs ${name}, which this deployment does not say")
    return values[name]


def filled(text: str, values: Mapping[str, str], allowed: re.Pattern[str], where: str) -> str:
    """The text with its variables filled, each value as it is. Raises SourceRefused for one that is not `allowed`."""

    def place(match: re.Match[str]) -> str:
        found = value(match[1], values)
        if not allowed.fullmatch(found):
            raise SourceRefused("bad_value", f"{match[0]} is {found!r}, which cannot stand in {where}")
        return found

    return VARIABLE.sub(place, text)
