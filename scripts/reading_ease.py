"""How easy what people read is: `.venv/bin/python scripts/reading_ease.py [FOLDER]`, a table.

Sentence length, passives and words that are in neither the glossary nor everyday English are counted over the README,
the documentation, the pages, the help of the command line, alerts and runbooks. FOLDER is another checkout, to compare.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = {
    "README": ["README.md"],
    "docs": ["docs/*.md"],
    "pages": ["afdp_exporter/handlers/templates/*.html"],
    "help": ["afdp_exporter/commands/*.py"],
    "alerts and runbooks": ["afdp_exporter/alerts/rules/*.j2", "afdp_exporter/alerts/runbooks/*.md"],
}
LONG = 30  # words of a sentence that one has to read twice
TERMS = frozenset(
    {
        "attribution", "baseline", "canary", "control", "gate", "onset", "outcome", "p-value", "placebo", "primary",
        "rival", "rollout", "trait", "verdict",
    }
)  # fmt: skip
"""Words of the glossary of docs/in-plain-words.md that a reader may have to look up."""
_IRREGULAR = "known|shown|seen|kept|held|found|told|made|given|taken|read|written|sent|left|put|set|built|drawn|begun"
_PASSIVE = re.compile(rf"\b(?:is|are|was|were|be|been|being)\s+(?:\w+ly\s+)?(?:\w+ed|{_IRREGULAR})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ease:
    """What was counted over some text; `grade` is the Flesch reading ease, 100 easy and 30 hard."""

    sentences: int
    words: float
    long: float
    passive: float
    terms: float
    grade: float


def prose(text: str, kind: str) -> Iterator[str]:
    """The sentences of a file, without code, tables, markup and links."""
    if kind == ".py":
        text = " ".join(
            re.findall(r'^    """(.+?)"""', text, re.DOTALL | re.MULTILINE) + re.findall(r'help="([^"]+)"', text)
        )
    if kind in {".html", ".j2"}:
        text = re.sub(r"{%.*?%}|\[%.*?%\]|{{.*?}}|\[\[.*?\]\]|<svg.*?</svg>", " ", text, flags=re.DOTALL)
        text = re.sub(r"</?(p|li|h\d|td|th|dt|dd|caption|section|div)[^>]*>", ". ", text)
        text = re.sub(r"<[^>]+>|^\s*(expr|alert|for|labels|record):.*$|^.*\bon \(.*$", " ", text, flags=re.MULTILINE)
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    text = re.sub(r"^\|.*$|^#.*$|!\[[^\]]*\]\([^)]*\)|^>.*$", " ", text, flags=re.MULTILINE)
    text = re.sub(r"`[^`]*`", "code", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text))
    for part in re.split(r"(?<=[.!?:;])\s+|\n\s*\n|\n- ", text):
        if len(words_of(part)) > 3:
            yield part


def words_of(text: str) -> list[str]:
    """The words of a sentence."""
    return re.findall(r"[A-Za-z][A-Za-z'-]*", text)


def ease(sentences: list[str]) -> Ease:
    """What is counted over sentences."""
    words = [word for sentence in sentences for word in words_of(sentence)]
    syllables = sum(max(len(re.findall(r"[aeiouy]+", re.sub(r"e$", "", word.lower()))), 1) for word in words)
    each = len(words) / len(sentences)
    return Ease(
        sentences=len(sentences),
        words=each,
        long=sum(len(words_of(sentence)) > LONG for sentence in sentences) / len(sentences),
        passive=sum(bool(_PASSIVE.search(sentence)) for sentence in sentences) / len(sentences),
        terms=sum(word.lower().rstrip("s") in TERMS for word in words) / len(words),
        grade=206.835 - 1.015 * each - 84.6 * syllables / len(words),
    )


def measured(root: Path) -> dict[str, Ease]:
    """Each place of a checkout."""
    found = {}
    for name, patterns in PLACES.items():
        files = [file for pattern in patterns for file in sorted(root.glob(pattern))]
        sentences = [
            each
            for file in files
            for each in prose(re.sub(r"```.*?```", " ", file.read_text("utf-8"), flags=re.DOTALL), file.suffix)
        ]
        if sentences:
            found[name] = ease(sentences)
    return found


def main() -> None:
    """Print the table."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    print("| text | sentences | words a sentence | longer than 30 | passive | glossary words | reading ease |")
    print("|---|---|---|---|---|---|---|")
    for name, found in measured(root).items():
        print(
            f"| {name} | {found.sentences} | {found.words:.1f} | {found.long:.0%} | {found.passive:.0%} "
            f"| {found.terms:.1%} | {found.grade:.0f} |"
        )


if __name__ == "__main__":
    main()
