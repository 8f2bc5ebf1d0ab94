"""The changes of a schema, in order. sqlite-utils applies them, and is loaded only where one has to be."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from afdp_exporter.importing import import_without

if TYPE_CHECKING:
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

_Step: TypeAlias = "Callable[[Database], None]"


class Steps:
    """Decorates each function that changes the schema; its name is that of the migration."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._steps: list[_Step] = []

    def __call__(self, step: _Step) -> _Step:
        """One more."""
        self._steps.append(step)
        return step

    @property
    def names(self) -> tuple[str, ...]:
        """Of all of them."""
        return tuple(step.__name__ for step in self._steps)

    @cached_property
    def migrations(self) -> "Migrations":
        """All of them, to be applied."""
        found: Migrations = import_without("sqlite_utils.migrations", "pandas").Migrations(self._name)
        for step in self._steps:
            found()(step)
        return found
