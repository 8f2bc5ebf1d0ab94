"""Choices -> a configuration file with comments."""

import json
from collections.abc import Sequence

import jinja2
import yaml

from afdp_exporter.proposals import Choice
from afdp_exporter.proposals.convention import Question
from afdp_exporter.proposals.sampling import duration, step


def configuration(source: str, choices: Sequence[Choice], *, revenue: str | None = None) -> str:
    """The file: `source` is the YAML of the source's block, one key a line.

    `revenue` is how the source would be asked for money, as YAML; None: it speaks PromQL.
    """
    services = sorted({service for choice in choices for service in choice.services})
    of_service = {each: [choice.name for choice in choices if each in choice.services] for each in services}
    scraped = min(choice.scraped for choice in choices)
    return _TEMPLATES.get_template("afdp.yml.j2").render(
        source=source, choices=choices, services=of_service, scraped=scraped, step=step(scraped), revenue=revenue
    )


def _quoted(text: str) -> str:
    """A YAML scalar that stands for exactly this text."""
    plain = text.isprintable() and "'" not in text
    return f"'{text}'" if plain else json.dumps(text)


def _asked(question: Question) -> str:
    """A query on one line."""
    if isinstance(question, str):
        return _quoted(question)
    return yaml.safe_dump(question, default_flow_style=True, sort_keys=False, width=10_000).strip()


def _denominator(question: Question) -> str:
    """As `of` is written: a mapping of its own stands under `query`."""
    return _asked(question if isinstance(question, str) else {"query": question})


def _comment(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else "?" for char in text).split())


_TEMPLATES = jinja2.Environment(  # noqa: S701 - YAML; every value is quoted
    loader=jinja2.PackageLoader("afdp_exporter.proposals", "."),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
_TEMPLATES.filters |= {
    "quoted": _quoted,
    "asked": _asked,
    "denominator": _denominator,
    "comment": _comment,
    "duration": duration,
}
