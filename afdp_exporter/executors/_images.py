"""Which version an image is of: one rule for every target that runs images."""

import re

from afdp_exporter.fields import image_tag
from afdp_exporter.versions import spellings

_COMMIT = re.compile(r"[0-9a-f]{7,39}")  # short, as versions that are commits are kept


def is_of(image: str, version: str) -> bool:
    """Whether an image is of a version: by its tag, with a `v` or without, its digest, or the whole commit as tag."""
    tag, digest = image_tag(image) or "", image.partition("@")[2]
    if spellings(version) & ({tag, digest, digest.rpartition(":")[2]} - {""}):
        return True
    return _COMMIT.fullmatch(version) is not None and re.fullmatch(rf"{version}[0-9a-f]+", tag) is not None
