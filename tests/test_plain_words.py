"""What people read is written in the field's plain English: words that an earlier register used oddly stay out."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from afdp_exporter import cli
from shipped import ROOT

PLACES = (
    "README.md", "SECURITY.md", "CONTRIBUTING.md", "docs/*.md", "deploy/**/*.md", "grafana/*.md", "alerting/*.md",
    "afdp_exporter/handlers/templates/*.html", "afdp_exporter/alerts/runbooks/*.md", "afdp_exporter/alerts/rules/*.j2",
)  # fmt: skip
FILES = [file for place in PLACES for file in sorted(ROOT.glob(place))]
OLD = {
    r"foret(ell|old)\w*": "predict",
    r"whoever": "anyone who, people who",
    r"by and by": "gradually",
    r"dear(er|est)?": "expensive",
    r"the surest": "most certain",
    r"mend(s|ed|ing)?": "fix",
    r"tell(s|ing)? of|told of": "report",
    r"(is|are|was|were|be|been) (also |never |not )?told(?! (apart|from))": "reported",
    r"rest(s|ed)? on": "is based on",
    r"held against": "compared with",
    r"speaks? of": "names, applies to",
    r"honestly wide": "wide",
    r"regularit(y|ies)": "pattern",
    r"takes in what comes": "healthy",
    r"by itself it (moves|moved)|moves by itself": "normal variation",
    r"nobody can tell": "unknown",
    r"seen on them|what was moved": "would be found",
}


def read(file: Path) -> str:
    """What of a file people read: no code, and nothing that a template fills in."""
    text = file.read_text("utf-8")
    text = re.sub(r"```.*?```|`[^`\n]*`|{%.*?%}|{{.*?}}|\[%.*?%\]|\[\[.*?\]\]|<[^>]+>", " ", text, flags=re.DOTALL)
    return re.sub(r"^\s*expr:.*$", " ", text, flags=re.MULTILINE)


def odd(text: str) -> list[str]:
    """Each old word with what says it better."""
    found = ((re.search(rf"\b({old})\b", text, re.IGNORECASE), better) for old, better in OLD.items())
    return [f"{match[0]!r}: rather {better}" for match, better in found if match is not None]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_page_uses_the_old_words(file: Path) -> None:
    assert odd(read(file)) == []


@pytest.mark.parametrize("command", cli._Commands().list_commands(None))  # type: ignore[arg-type]
def test_no_help_uses_the_old_words(command: str) -> None:
    assert odd(CliRunner().invoke(cli._afdp, [command, "--help"], terminal_width=400).output) == []


def test_an_old_word_is_found() -> None:
    assert odd("Deployments that were told are told apart.") == ["'were told': rather reported"]
    assert odd("two that cannot be told apart") == []
