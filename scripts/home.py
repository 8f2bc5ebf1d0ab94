"""What the metadata of a package says of the project's home; hatchling calls it when it builds."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PLACES = {"Documentation": "blob/{ref}/docs/index.md", "Changelog": "blob/{ref}/CHANGELOG.md", "Issues": "issues"}

PICTURES = (".png", ".svg")


class Home(MetadataHookInterface):
    """Addresses of the project and of what its README shows, from `home` in pyproject.toml."""

    def update(self, metadata: dict[str, Any]) -> None:
        home, text = self.config["home"].rstrip("/"), Path(self.root, "README.md").read_text("utf-8")
        if home:
            ref = f"v{metadata['version']}"
            metadata["urls"] = {"Source": home} | {
                name: f"{home}/{place.format(ref=ref)}" for name, place in PLACES.items()
            }
            text = absolute(text, home, ref)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def absolute(text: str, home: str, ref: str) -> str:
    """The Markdown with each relative picture and link as an address below the home, at a tag."""

    def address(match: re.Match[str]) -> str:
        before, path = match.groups()
        return f"{before}{home}/{'raw' if path.endswith(PICTURES) else 'blob'}/{ref}/{path}"

    return re.sub(r'(\]\(|\bsrc="|\bsrcset=")(?!https?:|#)([^)"]+)', address, text)
