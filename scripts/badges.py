"""Draws the badges of the README from what the project says of itself: python scripts/badges.py [--check]"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs/images/badges"
CHARACTER, PADDING = 6.4, 10  # pixels, of 11 px text
BADGE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" aria-label="{label}: {value}">
<title>{label}: {value}</title>
<rect width="{width}" height="20" rx="3" fill="#3f51b5"/>
<path d="M3 0h{left_less}v20h-{left_less}a3 3 0 0 1-3-3V3a3 3 0 0 1 3-3z" fill="#444"/>
<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
<text x="{label_at}" y="14">{label}</text><text x="{value_at}" y="14">{value}</text>
</g>
</svg>
"""


def badges() -> dict[str, str]:
    """Name of a file -> its SVG."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (covered,) = re.findall(r"^\| \*\*all\*\* .* ([\d.]+) % \|", (ROOT / "docs/coverage.md").read_text(), re.MULTILINE)
    values = {
        "licence": project["license"],
        "python": project["requires-python"].removeprefix(">=") + " or newer",
        "branches covered": f"{covered} %",
    }
    return {f"{label.split()[0]}.svg": badge(label, value) for label, value in values.items()}


def badge(label: str, value: str) -> str:
    """What is said, on the left, and how it is, on the right."""
    left, right = (round(CHARACTER * len(text)) + PADDING for text in (label, value))
    return BADGE.format(
        label=label, value=value, width=left + right, left_less=left - 3, label_at=left / 2, value_at=left + right / 2
    )


def main() -> int:
    """Write the files, or compare them with what would be written; 1 where one differs."""
    check = sys.argv[1:] == ["--check"]
    for name, picture in badges().items():
        file = FOLDER / name
        if not check:
            file.write_text(picture, encoding="utf-8")
        elif file.read_text("utf-8") != picture:
            print(f"{file} is out of step: run .venv/bin/python scripts/badges.py")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
