"""The runbooks of the alerts: Markdown that ships with the package, as HTML for the pages."""

from functools import cache
from importlib.resources import files

from markdown_it import MarkdownIt

_FOLDER = files("afdp_exporter.alerts") / "runbooks"


@cache
def names() -> tuple[str, ...]:
    """The alerts that have a runbook, in order."""
    return tuple(sorted(entry.name.removesuffix(".md") for entry in _FOLDER.iterdir() if entry.name.endswith(".md")))


@cache
def title_of(name: str) -> str:
    """What an alert means, in one sentence: the bold beginning of its runbook."""
    lead = next(line for line in _text(name).splitlines() if line.startswith("**"))
    return lead.split("**")[1].replace("`", "")


@cache
def html_of(name: str) -> str:
    """The runbook of one of `names` as HTML without its heading."""
    body = _text(name).split("\n", 1)[1]
    return str(MarkdownIt("commonmark", {"html": False}).render(body))


def _text(name: str) -> str:
    return (_FOLDER / f"{name}.md").read_text(encoding="utf-8")
