"""What a version is called: by its tag where there is one, else by its commit as people write it."""

import re

_VERSION = re.compile(r"\d+\.\d+")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_SHORT = 7


def version_of(ref: str | None, commit: str | None) -> str | None:
    """A tag such as `v1.4.0` itself, else the commit, short where it is a whole one; else the ref."""
    name = (ref or "").removeprefix("refs/tags/")
    if _VERSION.search(name):
        return name
    return shortened(commit) or ref


def shortened(commit: str | None) -> str | None:
    """The first characters of a whole commit; anything else as it is."""
    return commit[:_SHORT] if commit and _COMMIT.fullmatch(commit) else commit
