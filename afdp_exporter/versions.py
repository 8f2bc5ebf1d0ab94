"""Versions, as people tag what they deploy: numbered (PEP 440, semantic versions), by the calendar, or by a commit."""

import re

from packaging.version import InvalidVersion, Version

_DOTTED = re.compile(r"\d\.\d")
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_SHORT = 7  # characters of a commit, as people write it
_LONGEST = 100  # characters; what is longer is no version
_RUN = re.compile(r"(\d{9})\d+")  # of digits: more of them are no number that anybody compares
_NAMED = re.compile(r"(?:^|.*?[-_/])v?(?=\d)", re.IGNORECASE)  # `v2.1`, `api-v2.1`, `release/2.1`
_NUMBERS = re.compile(r"\d+(?:\.\d+)+(?![0-9A-Za-z.])")
_COUNTER = re.compile(r"\d{1,6}")  # a running number; more digits, or letters among them, are a commit
_CALENDAR = re.compile(
    r"(?P<year>(?:19|20)\d\d)(?P<sign>[.\-_]?)(?P<month>0?[1-9]|1[0-2])"
    r"(?:(?P=sign)(?P<day>0?[1-9]|[12]\d|3[01]))?(?:[.\-_T](?P<more>\d{1,9}))?(?![0-9A-Za-z.])"
)


def version_jump(previous: str | None, version: str | None) -> str | None:
    """`major`, `minor` or `patch` by the first of three numbers that differs, `back` or `same`; None where unknown.

    Of a calendar version the numbers are year, month and what follows. A pre-release comes before its release, build
    metadata counts for nothing, and between the two kinds of versions there is no order.
    """
    before, after = _read(previous), _read(version)
    if before is None or after is None or before[0] is not after[0]:
        return None
    old, new = before[1], after[1]
    if Version(new.public) == Version(old.public):
        return "same"
    if new < old:
        return "back"
    numbers = zip(("major", "minor", "patch"), _three(old), _three(new), strict=True)
    return next((name for name, one, other in numbers if one != other), "patch")


def spellings(version: str) -> set[str]:
    """A version as it may be tagged: as it is, and with a `v` before it or without."""
    bare = version.removeprefix("v")
    return {version, bare, f"v{bare}"}


def _read(text: str | None) -> tuple[bool, Version] | None:
    """Whether a text is a calendar version, and the version; None where it holds none."""
    shown = _RUN.sub(r"\1", (text or "").strip())[:_LONGEST]
    named = _NAMED.match(shown)
    if named is None:
        return None
    core = shown[named.end() :]
    dated = _CALENDAR.match(core)
    if dated is not None and (dated["sign"] or dated["day"]):
        parts = [dated["year"], dated["month"], dated["day"] or "0", dated["more"] or "0"]
        return True, Version(".".join(parts))
    if _COUNTER.fullmatch(core):
        return False, Version(core)
    numbers = _NUMBERS.match(core)
    if "." not in core:
        return None
    try:
        return False, Version(core)
    except InvalidVersion:
        return (False, Version(numbers[0])) if numbers else None


def _three(version: Version) -> tuple[int, int, int]:
    first, second, third = (*version.release, 0, 0, 0)[:3]
    return first, second, third


def version_of(ref: str | None, commit: str | None) -> str | None:
    """A tag such as `v1.4.0` itself, else the commit, short where it is a whole one; else the ref."""
    name = (ref or "").removeprefix("refs/tags/")
    if _DOTTED.search(name):
        return name
    return shortened(commit) or ref


def shortened(commit: str | None) -> str | None:
    """The first characters of a whole commit; anything else as it is."""
    return commit[:_SHORT] if commit and _COMMIT.fullmatch(commit) else commit
