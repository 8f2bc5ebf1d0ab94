"""Rollbacks and fixes: which deployment is one, and which earlier deployments it takes back."""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta

from afdp_exporter.model.deployments import Deployment, Status

_ROLLBACK = re.compile(r"\b(roll(s|ed|ing)?[ -]?back|revert(s|ed|ing)?)\b", re.IGNORECASE)
_FIX = re.compile(r"\bhot-?fix\b", re.IGNORECASE)


def is_rollback(deployment: Deployment, earlier: Iterable[Deployment] = ()) -> bool:
    """Whether it brings back what ran before: by its own words, or because one of `earlier` replaced its version."""
    if deployment.traits.get("rollback") is True or _ROLLBACK.search(_words(deployment)):
        return True
    return any(
        _same_place(other, deployment) and other.started_at < deployment.started_at and returns_to(deployment, other)
        for other in earlier
    )


def returns_to(later: Deployment, deployment: Deployment) -> bool:
    """Whether a later deployment brings back what ran before."""
    return (
        later.version is not None
        and later.version == deployment.previous_version
        and later.version != deployment.version
    )


def says_that_it_mends(deployment: Deployment) -> bool:
    """Whether its sender calls it a rollback or a hotfix."""
    named = any(deployment.traits.get(name) is True for name in ("rollback", "hotfix"))
    text = _words(deployment)
    return named or bool(_ROLLBACK.search(text) or _FIX.search(text))


def taken_back(remedy: Deployment, earlier: Iterable[Deployment], within: timedelta) -> tuple[Deployment, ...]:
    """Which of the `earlier` deployments a rollback or hotfix takes back, oldest first; none where it is neither.

    A rollback to a version takes back every deployment since the one that replaced that version. A hotfix, or a
    rollback to an unknown version, takes back the newest one that brought the version which it replaces. A rollback
    itself is never taken back, and nothing is that ended more than `within` before.
    """
    if remedy.status in {Status.PLANNED, Status.CANCELLED}:
        return ()
    before = sorted(
        (other for other in earlier if _same_place(other, remedy) and _is_before(other, remedy)),
        key=lambda other: other.started_at,
    )
    own = [
        other
        for place, other in enumerate(before)
        if remedy.started_at <= other.ended_at + within and not is_rollback(other, before[:place])
    ]
    replaced = [place for place, other in enumerate(own) if returns_to(remedy, other)]
    if replaced:
        return tuple(own[replaced[-1] :])
    return _replaced(remedy, own) if says_that_it_mends(remedy) else ()


def _replaced(remedy: Deployment, own: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """The newest deployment that brought the version which `remedy` replaces; the newest of all where none did."""
    brought = [other for other in own if other.version is not None and other.version == remedy.previous_version]
    return tuple((brought or own)[-1:])


def _is_before(other: Deployment, remedy: Deployment) -> bool:
    started = other.started_at < remedy.started_at and other.id != remedy.id
    return started and other.status not in {Status.PLANNED, Status.CANCELLED}


def _same_place(one: Deployment, other: Deployment) -> bool:
    return one.service == other.service and one.environment == other.environment


def _words(deployment: Deployment) -> str:
    return f"{deployment.description or ''} {deployment.version or ''}"
