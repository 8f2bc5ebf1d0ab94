"""Choices -> a configuration file with comments."""

import json
from collections.abc import Sequence

import jinja2

from afdp_exporter.proposals import Choice
from afdp_exporter.proposals.sampling import duration, step


def configuration(source: str, choices: Sequence[Choice]) -> str:
    """The file: `source` is the YAML of the source's block, one key a line."""
    services = sorted({service for choice in choices for service in choice.services})
    of_service = {each: [choice.name for choice in choices if each in choice.services] for each in services}
    scraped = min(choice.scraped for choice in choices)
    return _TEMPLATES.get_template("afdp.yml.j2").render(
        source=source, choices=choices, services=of_service, scraped=scraped, step=step(scraped)
    )


def _quoted(text: str) -> str:
    """A YAML scalar that stands for exactly this text."""
    plain = text.isprintable() and "'" not in text
    return f"'{text}'" if plain else json.dumps(text)


def _comment(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else "?" for char in text).split())


_TEMPLATES = jinja2.Environment(  # noqa: S701 - YAML; every value is quoted
    loader=jinja2.PackageLoader("afdp_exporter.proposals", "."),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {"quoted": _quoted, "comment": _comment, "duration": duration}
