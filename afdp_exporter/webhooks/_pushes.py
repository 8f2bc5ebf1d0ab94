"""What was pushed: the paths of its commits, which GitHub and GitLab tell in the same words."""

from collections.abc import Sequence

from pydantic import Field

from afdp_exporter.changes import ChangedFile, traits_of, types_of
from afdp_exporter.model import Change, Ignored
from afdp_exporter.webhooks._payload import Payload

_NONE = "0" * 40


class Commit(Payload):
    """One commit of a push."""

    added: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


class Push(Payload):
    """The push of a branch or a tag."""

    after: str = Field(max_length=64)
    commits: tuple[Commit, ...] = ()


def change_of(told: Push, author: str | None) -> Change | Ignored:
    """What a push changed, for the deployment of its last commit."""
    if told.after == _NONE or not told.commits:
        return Ignored(reason="a push that brings no commit changes nothing")
    files = _files(told.commits)
    size = {"commits": float(len(told.commits))} | ({"author": author} if author else {})
    return Change(commit=told.after, traits=traits_of(files) | size, change_types=types_of(files))


def _files(commits: Sequence[Commit]) -> list[ChangedFile]:
    paths = (path for each in commits for path in (*each.added, *each.modified, *each.removed))
    return [ChangedFile(path) for path in dict.fromkeys(paths)]
